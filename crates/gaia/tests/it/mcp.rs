//! `gaia mcp`: the tool servers as other programs start them.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use gaia_testkit::{FakeOpenMeteo, FeedServer, MCP_REVISIONS, Page, foreign_mcp};
use serde_json::{Value, json};

use crate::binary::Gaia;

/// Where the SDK of that client is kept.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
const RSS: &str = include_str!("../../../gaia-mcp/tests/it/feeds/city.rss");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_starts_each_server_and_talks_to_it_over_pipes() {
    let (weather, feeds) = (FakeOpenMeteo::start().await, FeedServer::start().await);
    feeds.put("/feed", Page::of(RSS));
    let gaia = env!("CARGO_BIN_EXE_gaia");
    let servers = [
        (
            json!([gaia, "mcp", "location"]),
            json!(["find_place", { "name": "Lima" }]),
            "Peru",
        ),
        (
            json!([
                gaia,
                "mcp",
                "weather",
                "--forecast-url",
                weather.url(),
                "--geocoding-url",
                weather.url()
            ]),
            json!(["now", { "place": "Lima" }]),
            "partly cloudy",
        ),
        (
            json!([gaia, "mcp", "news", "--feed", feeds.url("/feed")]),
            json!(["latest", {}]),
            "Old bridge",
        ),
    ];
    for (mode, revision) in MCP_REVISIONS {
        for (command, call, words) in &servers {
            let saw = foreign_mcp(FOLDER, mode, command.clone(), json!([call])).await;
            assert_eq!(saw["protocol"], revision, "{command}");
            let answer = &saw["answers"][0];
            assert_eq!(answer["is_error"], false, "{command}: {answer}");
            assert!(answer["text"].as_str().unwrap().contains(words), "{command}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_listens_until_it_is_told_to_stop() {
    let gaia = Gaia::new();
    let mut command = gaia.command(&["mcp", "location", "--listen", "127.0.0.1:0"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}/mcp", line["address"].as_str().unwrap());
    let saw = foreign_mcp(
        FOLDER,
        "auto",
        json!(url),
        json!([["distance", { "from": "Lima", "to": "Quito" }]]),
    )
    .await;
    assert!(
        saw["answers"][0]["content"]["kilometres"].as_f64().unwrap() > 1_300.0,
        "{saw}"
    );
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "", "standard output is for MCP alone");
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let gaia = Gaia::new();
    for (arguments, words) in [
        (&["mcp", "news"][..], "--feed"),
        (&["mcp", "news", "--feed", "file:///etc/passwd"], "https://"),
        (&["mcp", "weather", "--forecast-url", "ftp://example.org/"], "https://"),
        (
            &["mcp", "weather", "--key-variable", "NO_SUCH_VARIABLE_HERE"],
            "NO_SUCH_VARIABLE_HERE",
        ),
        (&["mcp", "location", "--listen", "0.0.0.0:0"], "--host"),
        (&["mcp", "location", "--host", "weather.internal"], "--listen"),
    ] {
        let answer = gaia.run(arguments).exits(64);
        assert!(answer.err.contains(words), "{answer:?}");
    }
}

#[test]
fn a_client_that_says_nothing_or_nonsense_ends_the_server_quietly() {
    let gaia = Gaia::new();
    assert_eq!(gaia.run(&["mcp", "location"]).exits(0).out, "");
    let answer = gaia.run_with(&["mcp", "location"], "nonsense\n{}\n");
    assert!(!answer.err.contains("panicked"), "{answer:?}");
}
