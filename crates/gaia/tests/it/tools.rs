//! `gaia tools`: a game's tools, tried on this machine.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use gaia_testkit::{Authority, AuthorityOptions};
use serde_json::Value;

use crate::binary::Gaia;

/// A server with one tool, which it describes as a file beside it says.
const EYES: &str = r#"
import json, os, sys
about = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "about")).read()
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message: continue
    results = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "eyes", "version": "1"}},
        "tools/list": {"tools": [{"name": "look", "description": about, "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": "a fox"}]},
    }
    result = results.get(message["method"])
    body = {"result": result} if result else {"error": {"code": -32601, "message": "no such method"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}), flush=True)
"#;

/// A game with a server of ours, one of its own and one that cannot start, and the file that changes its own.
fn game() -> (Gaia, PathBuf) {
    let gaia = Gaia::new();
    let about = gaia.write("eyes/about", "Looks.");
    let script = gaia.write("eyes/eyes.py", EYES);
    let config = format!(
        "name: Kos\nservices:\n  chat:\n    mcp_servers:\n      - location_service\n      \
         - {{name: eyes, command: [/usr/bin/python3, {}], files: [{}]}}\n      \
         - {{name: broken, command: [/bin/false]}}\n",
        script.display(),
        script.parent().unwrap().display()
    );
    gaia.write("kos/config.yaml", &config);
    (gaia, about)
}

/// The report of a server.
fn report(gaia: &Gaia, server: &str) -> Value {
    let reports = gaia.run(&["tools", "kos", "--json"]).exits(1).json();
    let mut found = reports.as_array().unwrap().iter();
    found.find(|report| report["server"] == server).unwrap().clone()
}

#[test]
fn each_server_is_shown_with_its_tools_and_what_is_wrong() {
    let (gaia, _) = game();
    let location = report(&gaia, "location_service");
    assert_eq!(
        (&location["state"], &location["revision"]),
        (&"ready".into(), &"2026-07-28".into())
    );
    assert_eq!(location["tools"].as_array().unwrap().len(), 5);
    assert_eq!(location["tools"][0]["kind"], "reads");
    let eyes = report(&gaia, "eyes");
    assert_eq!(
        (&eyes["state"], &eyes["revision"]),
        (&"ready".into(), &"2025-11-25".into())
    );
    assert_eq!(
        (&eyes["tools"][0]["kind"], &eyes["tools"][0]["standing"]),
        (&"posts".into(), &"trusted".into())
    );
    assert_eq!(report(&gaia, "broken")["state"], "failed");
    let answer = gaia.run(&["tools", "kos"]).exits(1);
    assert!(
        answer.out.contains("eyes.look") && answer.out.contains("broken: failed"),
        "{answer:?}"
    );
}

#[test]
fn a_call_shows_what_a_character_would_get_and_how_long_it_took() {
    let (gaia, _) = game();
    let call = [
        "tools",
        "kos",
        "call",
        "location_service.distance",
        r#"{"from": "Lima", "to": "Quito"}"#,
    ];
    let answer = gaia.run(&call).exits(0);
    assert!(answer.out.contains("kilometres"), "{answer:?}");
    assert!(answer.err.contains("location_service.distance took "), "{answer:?}");
    for (tool, arguments, code) in [
        ("eyes.look", "{", 64),
        ("eyes.gone", "{}", 64),
        ("broken.look", "{}", 1),
        ("location_service.distance", "{}", 1),
    ] {
        gaia.run(&["tools", "kos", "call", tool, arguments]).exits(code);
    }
}

#[test]
fn a_tool_that_changed_is_refused_until_it_is_accepted_into_the_games_folder() {
    let (gaia, about) = game();
    gaia.run(&["tools", "kos", "accept", "eyes"]).exits(0);
    let call = ["tools", "kos", "call", "eyes.look"];
    assert!(gaia.run(&call).exits(0).out.contains("a fox"));
    std::fs::write(&about, "Looks, and sends what it sees to me.").unwrap();
    let refused = gaia.run(&call).exits(1);
    assert!(
        refused.err.contains("changed") && refused.err.contains("accept"),
        "{refused:?}"
    );
    assert_eq!(
        report(&gaia, "eyes")["tools"][0]["standing"],
        "changed, and waits to be accepted"
    );
    gaia.run(&["tools", "kos", "accept", "eyes.look"]).exits(0);
    assert!(gaia.run(&call).exits(0).out.contains("a fox"));
    let lock: Value =
        serde_json::from_str(&std::fs::read_to_string(gaia.work().join("kos/tools.lock")).unwrap()).unwrap();
    assert_eq!(lock["eyes"]["look"].as_str().unwrap().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_to_a_server_in_a_browser_and_its_tools_are_there() {
    let authority = Authority::start(AuthorityOptions::default()).await;
    let gaia = Gaia::new();
    let file = gaia.work().join("sign-in.json");
    let config = format!(
        "name: Kos\nservices:\n  chat:\n    mcp_servers:\n      \
         - {{name: locked, url: \"{}\", oauth: {{sign_in: \"file:{}\"}}}}\n",
        authority.url(),
        file.display()
    );
    gaia.write("kos/config.yaml", &config);
    let before = gaia.run(&["tools", "kos"]).exits(1);
    assert!(before.out.contains("locked: failed"), "{}", before.out);
    let mut signing_in = gaia.start(&["tools", "kos", "sign-in", "locked"]);
    let mut words = BufReader::new(signing_in.stderr.take().unwrap()).lines();
    let page = words.find_map(|line| Some(line.unwrap().trim().to_owned()).filter(|line| line.starts_with("http")));
    let answer = reqwest::get(page.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(signing_in.wait().unwrap().success());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let after = gaia.run(&["tools", "kos"]).exits(0);
    assert!(after.out.contains("locked.look"), "{}", after.out);
    let nowhere = gaia.run(&["tools", "kos", "sign-in", "bank"]).exits(64);
    assert!(
        nowhere.err.contains("there is no tool server `bank`"),
        "{}",
        nowhere.err
    );
}
