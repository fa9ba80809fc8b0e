//! Tool servers beside the service, and what is kept of their tools.

use std::{collections::BTreeMap, fs};

use gaia_protocol::{
    bundle::{ToolOauth, ToolServer, ToolTransport},
    chat::PublishBundle,
};
use gaia_testkit::{Authority, AuthorityOptions, eventually, scratch_folder};
use gaia_tools::{SignInTo, sign_in};

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

#[tokio::test]
async fn processes_that_share_a_sign_in_renew_it_one_at_a_time_and_find_it_again() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let to = SignInTo {
        url: &authority.url(),
        client_id: None,
        client_secret: None,
        scopes: &[],
        client_name: "a game",
    };
    let agree = async |address: &str| drop(reqwest::get(address).await.unwrap());
    let given = sign_in(to, agree).await.unwrap();
    authority.revoke();
    let url = authority.url();
    let mut chat = Chat::start_with(|bundle, settings, _| {
        let oauth = ToolOauth {
            client_id: None,
            client_key: None,
            client_secret: None,
            sign_in: Some("locked.sign_in".to_owned()),
            scopes: Vec::new(),
        };
        let transport = ToolTransport::Http {
            url,
            key: None,
            oauth: Some(oauth),
        };
        bundle.tool_servers = vec![ToolServer::new("locked", transport)];
        settings.tool_secrets.insert("locked.sign_in".to_owned(), given);
    })
    .await;
    let listed = async |many: usize| {
        let by_all = async || (authority.listed() >= many).then_some(());
        eventually("every process has listed the tools", by_all).await;
    };
    listed(1).await;
    for many in 2..=4 {
        // One more comes whose token does not hold, as that of all others.
        authority.revoke();
        chat.start_instance();
        listed(many).await;
    }
    assert!(!authority.was_shown_again(), "a refresh token was shown twice");
    let owner = chat.game.owner().await;
    let query = "SELECT tokens, renewing IS NULL FROM chat.tool_sign_ins WHERE game_id = $1 AND server = 'locked'";
    let is_kept = async || {
        let row = owner.query_one(query, &[&chat.game.id.as_str()]).await.unwrap();
        (row.get::<_, String>(0).contains("refresh-") && row.get::<_, bool>(1)).then_some(())
    };
    eventually("the newest tokens are kept and nobody renews them", is_kept).await;
}

/// Whether some process was started with this among its arguments.
fn is_running(mark: &str) -> bool {
    let commands = fs::read_dir("/proc").unwrap().filter_map(|process| {
        let command = fs::read(process.ok()?.path().join("cmdline")).ok()?;
        String::from_utf8(command).ok()
    });
    commands.into_iter().any(|command| command.contains(mark))
}
