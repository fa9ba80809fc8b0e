//! Tool servers that misbehave.

use std::collections::BTreeMap;

use gaia_protocol::bundle::{ToolServer, ToolTransport};

/// A server that misbehaves in one way, and has the way's name: see the script for what there is. `plain` does not.
#[must_use]
pub fn hostile(mode: &str) -> ToolServer {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../gaia-tools/tests/data/hostile.py");
    let transport = ToolTransport::Command {
        command: ["/usr/bin/python3", script, mode].map(str::to_owned).to_vec(),
        environment: BTreeMap::new(),
        files: vec![script.into()],
        has_network: false,
    };
    ToolServer {
        name: mode.to_owned(),
        is_available: true,
        transport,
        tools: Vec::new(),
        timeout_ms: 5_000,
        kinds: BTreeMap::new(),
        is_trusted: true,
        pins: BTreeMap::new(),
    }
}
