//! The one gate.

use anyhow::Result;

use crate::{shell, tidy};

/// Runs everything. The suite runs twice: with a cluster per game, and with two games in one set of services.
pub(crate) fn run() -> Result<()> {
    shell::cargo(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    shell::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ])?;
    shell::cargo(&["test", "--release", "--workspace"])?;
    let shared = [
        "test",
        "--release",
        "--package",
        "gaia-auth",
        "--package",
        "gaia-chat",
        "--package",
        "gaia-gateway",
    ];
    shell::cargo_with(&shared, &[("GAIA_TEST_CLUSTERS", "shared")])
}
