//! The one gate.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{shell, tidy};

/// The services whose suites run in several ways.
const SERVICES: &[&str] = &["gaia-auth", "gaia-chat", "gaia-gateway"];

/// How the services' suites run once more, and which of their tests: with two games in one set of services, and, where
/// Redis matters, with one in cluster mode.
const ONCE_MORE: [(&str, &str, &[&str]); 2] = [
    ("GAIA_TEST_CLUSTERS", "shared", &[]),
    (
        "GAIA_TEST_REDIS",
        "cluster",
        &[
            "stores::",
            "throttle::",
            "budget::",
            "context::",
            "outages::",
            "lost::",
            "limits::",
            "openai",
        ],
    ),
];

/// Runs everything; the services' suites in all their ways.
pub(crate) fn run() -> Result<()> {
    shell::cargo(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    shell::cargo(&[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ])?;
    shell::cargo(&["test", "--release", "--workspace"])?;
    for suite in service_suites()? {
        for (name, value, tests) in ONCE_MORE {
            shell::say(&format!("==> {name}={value} {}", suite.display()));
            let status = Command::new(&suite)
                .env(name, value)
                .args(tests)
                .current_dir(shell::root())
                .status()?;
            if !status.success() {
                bail!("the suite failed with {name}={value}");
            }
        }
    }
    Ok(())
}

/// The programs that `cargo test` built for the services. To select their packages anew would build the dependencies
/// with other features.
fn service_suites() -> Result<Vec<PathBuf>> {
    let arguments = [
        "test",
        "--release",
        "--workspace",
        "--no-run",
        "--quiet",
        "--message-format",
        "json",
    ];
    let built = shell::output("cargo", &arguments)?;
    let messages = built
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let suites = messages.filter(|message| {
        let package = message["package_id"].as_str().unwrap_or_default();
        message["target"]["name"] == "it" && SERVICES.iter().any(|name| package.contains(&format!("/{name}#")))
    });
    let suites: Vec<PathBuf> = suites
        .filter_map(|message| Some(message["executable"].as_str()?.into()))
        .collect();
    if suites.len() != SERVICES.len() {
        bail!("cargo built {} of the suites of {}", suites.len(), SERVICES.join(", "));
    }
    Ok(suites)
}
