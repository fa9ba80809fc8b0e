//! MCP's own conformance suite against our servers, in both revisions.
//!
//! Its scenarios are written for a server with fixtures (`test_simple_text`, `test://static-text`, ...). A server that is
//! of use has none of them, so these run: what holds for every server.
//!
//! The rest of what the revisions require needs a fixture tool (`tools-call-*`, `input-required-*`, `elicitation-*`,
//! `server-sse-multiple-streams`), resources (`resources-*`, `sep-2164-*`), prompts (`prompts-*`), completion
//! (`completion-complete`) or the log level (`logging-set-level`), none of which these servers offer or announce.

use std::{path::Path, process::Command};

use gaia_mcp::location;
use serde_json::Value;

use crate::client::listening;

/// Each revision and the scenarios that hold for every server.
const SCENARIOS: [(&str, &[&str]); 2] = [
    (
        "2025-11-25",
        &["server-initialize", "ping", "tools-list", "dns-rebinding-protection"],
    ),
    (
        "2026-07-28",
        &[
            "server-stateless",
            "tools-list",
            "dns-rebinding-protection",
            "caching",
            "http-header-validation",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_servers_conform_to_both_revisions() {
    let url = listening(location::server()).await;
    for (revision, scenarios) in SCENARIOS {
        for scenario in scenarios {
            let url = url.clone();
            let checks = tokio::task::spawn_blocking(move || run(&url, revision, scenario))
                .await
                .unwrap();
            let status = |check: &&Value, wanted: &str| check["status"] == wanted;
            let passed = checks.iter().filter(|check| status(check, "SUCCESS")).count();
            let failed: Vec<_> = checks
                .iter()
                .filter(|check| status(check, "FAILURE") && !is_beside_the_point(check))
                .collect();
            assert!(failed.is_empty(), "{revision} {scenario}: {failed:#?}");
            assert!(passed > 0, "{revision} {scenario} checked nothing: {checks:#?}");
        }
    }
}

/// Whether a check is of a fixture, as the suite marks it, or of a method that these servers do not announce.
fn is_beside_the_point(check: &Value) -> bool {
    let details = &check["details"];
    let is_about_others = ["prompts/", "resources/"].iter().any(|method| {
        details["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .starts_with(method)
    });
    details["untestable"] == true || (details["error"]["code"] == -32601 && is_about_others)
}

/// What the suite found in one scenario.
fn run(url: &str, revision: &str, scenario: &str) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/mcp-conformance");
    let installed = Command::new(script).arg(env!("CARGO_TARGET_TMPDIR")).output().unwrap();
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    let paths = String::from_utf8(installed.stdout).unwrap();
    let path = |name: &str| {
        let mut lines = paths
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        lines.next().unwrap().to_owned()
    };
    let results = tempfile::tempdir().unwrap();
    let output = Command::new(path("node"))
        .args([
            &path("suite"),
            "server",
            "--url",
            url,
            "--scenario",
            scenario,
            "--spec-version",
            revision,
        ])
        .args(["--output-dir", results.path().to_str().unwrap()])
        .current_dir(results.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let found = files_named("checks.json", results.path());
    assert!(
        !found.is_empty(),
        "{scenario}: {told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read = |file| serde_json::from_slice::<Vec<Value>>(&std::fs::read(file).unwrap()).unwrap();
    found.into_iter().flat_map(read).collect()
}

fn files_named(name: &str, folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_named(name, &path),
            false => Vec::from_iter(path.ends_with(name).then_some(path)),
        })
        .collect()
}
