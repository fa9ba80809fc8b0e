//! An MCP client that is not ours: the protocol's own Python SDK.

use std::{path::Path, process::Command};

use serde_json::Value;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// The revisions of MCP that the client speaks, as the SDK calls them and as they name themselves.
pub const MCP_REVISIONS: [(&str, &str); 2] = [("legacy", "2025-11-25"), ("auto", "2026-07-28")];

/// What the client sees of a server, which is an address or a command that it starts, and what that answers to the calls,
/// each a tool and its arguments. The SDK is installed into the folder, once.
///
/// # Panics
///
/// Where the SDK cannot be installed, or the client ends in an error.
pub async fn foreign_mcp(folder: &'static str, mode: &'static str, server: Value, calls: Value) -> Value {
    let driven = tokio::task::spawn_blocking(move || {
        let sdk = output(Command::new(Path::new(CRATE).join("../../scripts/mcp-python")).arg(folder));
        let sdk = String::from_utf8(sdk).expect("a path is text");
        let mut client = Command::new("python3");
        client
            .arg(Path::new(CRATE).join("data/foreign_mcp.py"))
            .args([mode, &server.to_string(), &calls.to_string()])
            .env("PYTHONPATH", sdk.trim());
        serde_json::from_slice(&output(&mut client)).expect("it prints JSON")
    });
    driven.await.expect("it does not panic")
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
