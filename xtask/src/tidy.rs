//! The walls that no compiler keeps.

mod crates;
mod files;
mod metrics;

use anyhow::{Result, bail};

use crate::shell;

/// Checks every rule and names every place that breaks one.
pub(crate) fn run() -> Result<()> {
    let mut broken = Vec::new();
    files::check(&mut broken)?;
    crates::check(&mut broken)?;
    metrics::check(&mut broken)?;
    if broken.is_empty() {
        shell::say("tidy: every wall stands");
        return Ok(());
    }
    for place in &broken {
        shell::say(place);
    }
    bail!("tidy: {} places break a wall", broken.len())
}
