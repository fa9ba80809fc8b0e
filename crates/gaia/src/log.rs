//! Logs of the processes that are no services, in the services' own form: JSON on standard error.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// Starts the log, once per process.
///
/// # Errors
///
/// If `GAIA_LOG` cannot be read.
pub(crate) fn start() -> anyhow::Result<()> {
    let directives = gaia_service::telemetry::directives(gaia_service::run::environment("GAIA_LOG").as_deref());
    let filter = EnvFilter::try_new(directives).context("GAIA_LOG cannot be read: give directives such as `info`")?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
