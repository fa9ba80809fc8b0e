//! The life of a service's process: settings, then ports, then work, then drain.

use std::{path::Path, process::ExitCode, time::Duration};

use gaia_names::Service;
use gaia_protocol::settings::Settings;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Tasks, settings, telemetry};

/// How long work in hand may take when the process is told to stop.
pub const DRAIN: Duration = Duration::from_secs(20);
/// `EX_USAGE`: what was given cannot be used, so starting again will not help.
const BAD_INPUT: u8 = 64;

/// Why a service stopped.
pub type Stopped = Box<dyn std::error::Error + Send + Sync>;

/// Reads the settings, starts the service and keeps it until the process is told to stop.
pub async fn run<G: DeserializeOwned>(
    service: Service,
    settings: &Path,
    start: impl AsyncFnOnce(Settings<G>, &Tasks) -> Result<(), Stopped>,
) -> ExitCode {
    let settings = match settings::read::<G>(settings) {
        Ok(settings) => settings,
        Err(fault) => return refuse(&fault),
    };
    let telemetry = match telemetry::start(service, settings.instance) {
        Ok(telemetry) => telemetry,
        Err(fault) => return refuse(&fault),
    };
    let tasks = Tasks::default();
    let instance = settings.instance;
    if let Err(fault) = start(settings, &tasks).await {
        let chain = telemetry::chain(&*fault);
        tracing::error!(error = %chain, "{service} cannot start: {chain}");
        return ExitCode::FAILURE;
    }
    tracing::info!(instance = %instance, "{service} is up");
    told_to_stop().await;
    tracing::info!("{service} takes in no more work");
    if !tasks.drain(DRAIN).await {
        tracing::warn!("{service} gave up work that took over {} s", DRAIN.as_secs());
    }
    telemetry.flush();
    ExitCode::SUCCESS
}

/// Resolves at SIGTERM or SIGINT.
pub async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The one place where services read the environment. An empty variable counts as none.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::print_stderr, reason = "there is no log yet, and a person reads this")]
fn refuse(fault: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("error: {}", telemetry::chain(fault));
    ExitCode::from(BAD_INPUT)
}
