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
        is_trusted: true,
        ..ToolServer::new(mode, transport)
    }
}
