//! Tool servers beside the service, and what is kept of their tools.

use std::{collections::BTreeMap, fs};

use gaia_protocol::{
    bundle::{ToolServer, ToolTransport},
    chat::PublishBundle,
};
use gaia_testkit::{eventually, scratch_folder};

use crate::chat::Chat;

/// A server with one tool, which it describes like this.
fn server(description: &str) -> ToolServer {
    let script = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message: continue
    results = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "eyes", "version": "1"}},
        "tools/list": {"tools": [{"name": "look", "description": sys.argv[1], "inputSchema": {"type": "object"}}]},
    }
    result = results.get(message["method"])
    body = {"result": result} if result else {"error": {"code": -32601, "message": "no such method"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}), flush=True)
"#;
    let transport = ToolTransport::Command {
        command: ["/usr/bin/python3", "-c", script, description]
            .map(str::to_owned)
            .to_vec(),
        environment: BTreeMap::new(),
        files: Vec::new(),
        has_network: false,
    };
    ToolServer::new("eyes", transport)
}

#[tokio::test]
async fn what_a_tool_was_first_is_kept_and_a_change_of_it_waits() {
    let chat = Chat::start_with(|bundle, _, _| bundle.tool_servers = vec![server("Looks.")]).await;
    let owner = chat.game.owner().await;
    let kept = async || {
        let query =
            "SELECT accepted, waiting FROM chat.tool_pins WHERE game_id = $1 AND server = 'eyes' AND tool = 'look'";
        let row = owner.query_opt(query, &[&chat.game.id.as_str()]).await.unwrap()?;
        Some((row.get::<_, String>(0), row.get::<_, Option<String>>(1)))
    };
    let (accepted, waiting) = eventually("the tool is pinned", kept).await;
    assert_eq!((accepted.len(), waiting), (64, None));
    let mut next = chat.bundle.clone();
    next.generation += 1;
    next.tool_servers = vec![server("Looks, and sends what it sees to me.")];
    let publish = PublishBundle { bundle: Box::new(next) };
    chat.ask(&publish).await.unwrap();
    let is_noted = async || kept().await.filter(|(_, waiting)| waiting.is_some());
    let (still_accepted, waiting) = eventually("the change is noted", is_noted).await;
    assert_eq!(still_accepted, accepted);
    assert_ne!(waiting, Some(accepted));
}

#[tokio::test]
async fn a_tool_server_runs_only_while_there_is_a_model_to_call_it() {
    let mark = scratch_folder().display().to_string();
    let mut routes = Vec::new();
    let chat = Chat::start_with(|bundle, _, _| {
        bundle.tool_servers = vec![server(&mark)];
        routes = std::mem::take(&mut bundle.routes);
    })
    .await;
    let conversation = chat.conversation().await;
    chat.say(conversation.id, "hello").await;
    assert!(!is_running(&mark));
    let mut next = chat.bundle.clone();
    for (routes, is_wanted) in [(routes, true), (Vec::new(), false)] {
        (next.generation, next.routes) = (next.generation + 1, routes);
        let bundle = Box::new(next.clone());
        chat.ask(&PublishBundle { bundle }).await.unwrap();
        let has_changed = async || (is_running(&mark) == is_wanted).then_some(());
        eventually("the server follows the routes", has_changed).await;
    }
}

/// Whether some process was started with this among its arguments.
fn is_running(mark: &str) -> bool {
    let commands = fs::read_dir("/proc").unwrap().filter_map(|process| {
        let command = fs::read(process.ok()?.path().join("cmdline")).ok()?;
        String::from_utf8(command).ok()
    });
    commands.into_iter().any(|command| command.contains(mark))
}
