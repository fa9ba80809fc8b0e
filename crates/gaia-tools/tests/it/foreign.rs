//! Servers that others wrote, from npm and PyPI: they know nothing of Gaia.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use gaia_protocol::bundle::{ToolServer, ToolSetting, ToolTransport};
use gaia_testkit::eventually_within;
use gaia_tools::{AskPlayer, Question, Reply, ToolCall};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    http::at,
    support::{House, a_call, done, inside, program},
};

const EVERYTHING: &str = "@modelcontextprotocol/server-everything";
const MEMORY: &str = "@modelcontextprotocol/server-memory";
const NPM_VERSION: &str = "2026.8.31";
const TIME_VERSION: &str = "2026.10.19";

/// Installs something once into the folder of what is built.
fn installed(name: &str, install: impl FnOnce(&Path) -> Command) -> PathBuf {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        return folder;
    }
    let unfinished = folder.with_extension("unfinished");
    fs::create_dir_all(&unfinished).unwrap();
    let output = install(&unfinished).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, &folder).unwrap();
    folder
}

pub(crate) fn from_npm(name: &str, packages: &[&str]) -> PathBuf {
    installed(name, |folder| {
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ]);
        npm.arg(folder).args(packages);
        npm
    })
}

pub(crate) fn from_pypi(name: &str, package: &str) -> PathBuf {
    installed(name, |folder| {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
        ]);
        pip.arg(folder).arg(package);
        pip
    })
}

fn npm_servers() -> PathBuf {
    let packages = [EVERYTHING, MEMORY].map(|package| format!("{package}@{NPM_VERSION}"));
    let packages: Vec<_> = packages.iter().map(String::as_str).collect();
    from_npm(&format!("mcp-servers-{NPM_VERSION}"), &packages)
}

fn node(name: &str, package: &str) -> ToolServer {
    let folder = npm_servers();
    let main = folder.join("node_modules").join(package).join("dist/index.js");
    program(name, &["node", main.to_str().unwrap()], &[folder.to_str().unwrap()])
}

fn everything() -> ToolServer {
    node("everything", EVERYTHING)
}

#[tokio::test]
async fn everything_over_stdio() {
    let house = House::of(&[everything()]).await;
    assert_eq!(house.report("everything").reason, None);
    uses_everything(&house, "everything").await;
    let environment = house.call("everything.get-env", json!({})).await;
    let environment: Value = serde_json::from_str(inside(&environment)).unwrap();
    assert_eq!(environment["TOKEN"], "hunter2-token");
    assert!(environment.get("CARGO_MANIFEST_DIR").is_none(), "{environment}");
}

async fn uses_everything(house: &House, server: &str) {
    let tool = |name: &str| format!("{server}.{name}");
    let echo = house.call(&tool("echo"), json!({"message": "hello"})).await;
    assert_eq!(inside(&echo), "Echo: hello");
    let sum = house.call(&tool("get-sum"), json!({"a": 2, "b": 3})).await;
    assert!(inside(&sum).contains('5'), "{sum:?}");
    let weather = house
        .call(&tool("get-structured-content"), json!({"location": "Chicago"}))
        .await;
    let weather: Value = serde_json::from_str(inside(&weather)).unwrap();
    assert!(weather["temperature"].is_number(), "{weather}");
    let picture = house.call(&tool("get-tiny-image"), json!({})).await;
    assert!(inside(&picture).contains("[a picture: image/png]"), "{picture:?}");
    let links = house.call(&tool("get-resource-links"), json!({"count": 2})).await;
    assert!(inside(&links).contains("demo://resource"), "{links:?}");
    let wrong = house.call(&tool("get-sum"), json!({"a": "two"})).await;
    assert!(wrong.is_error, "{wrong:?}");
    let (progress, mut told) = mpsc::channel(16);
    let (wire_name, allowed) = (format!("{server}__trigger-long-running-operation"), [server.to_owned()]);
    let call = ToolCall {
        progress: Some(progress),
        ..a_call(&wire_name, &allowed, json!({"duration": 1, "steps": 4}))
    };
    assert!(!done(house.host.call(call).await).is_error);
    assert_eq!(told.recv().await.unwrap().total, Some(4.0));
    let wire_name = format!("{server}__trigger-elicitation-request");
    let question = "Please provide inputs for the following fields:";
    let asked = ToolCall {
        player: Some(Arc::new(Says(question, json!({"name": "Ann Example", "check": true})))),
        ..a_call(&wire_name, &allowed, json!({}))
    };
    let answer = done(house.host.call(asked).await);
    assert!(inside(&answer).contains("Ann Example"), "{answer:?}");
    let declined = done(house.host.call(a_call(&wire_name, &allowed, json!({}))).await);
    assert!(inside(&declined).contains("declined"), "{declined:?}");
}

/// A player who answers this question with these values.
struct Says(&'static str, Value);

impl AskPlayer for Says {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        assert_eq!(question.message, self.0);
        std::future::ready(Reply::Accept(Some(self.1.clone()))).boxed()
    }
}

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server over HTTP, which is told its port, and waits until it listens.
async fn served(start: impl FnOnce(&str) -> Command) -> (Served, ToolServer) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut command = start(&port);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let served = Served(command.spawn().unwrap());
    eventually_within(Duration::from_secs(30), "it listens", async || {
        std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok()
    })
    .await;
    (served, at(&format!("http://127.0.0.1:{port}/mcp")))
}

#[tokio::test]
async fn everything_over_http() {
    let main = npm_servers()
        .join("node_modules")
        .join(EVERYTHING)
        .join("dist/index.js");
    let start = |port: &str| {
        let mut node = Command::new("node");
        node.arg(main).arg("streamableHttp").env("PORT", port);
        node
    };
    let (_served, server) = served(start).await;
    let house = House::of(&[server]).await;
    assert_eq!(house.report("remote").reason, None);
    uses_everything(&house, "remote").await;
}

#[tokio::test]
async fn a_memory_that_writes_where_it_may() {
    let folder = npm_servers();
    let main = folder.join("node_modules").join(MEMORY).join("dist/index.js");
    // It writes beside its own program unless it is told otherwise, and there it may not.
    let line = format!("MEMORY_FILE_PATH=$HOME/memory.jsonl exec node {}", main.display());
    let server = program("memory", &["sh", "-c", &line], &[folder.to_str().unwrap()]);
    let house = House::of(&[server]).await;
    assert_eq!(house.report("memory").reason, None);
    let fox = json!({"entities": [{"name": "fox", "entityType": "animal", "observations": ["red"]}]});
    let created = house.call("memory.create_entities", fox).await;
    assert!(!created.is_error, "{created:?}");
    let found = house.call("memory.search_nodes", json!({"query": "fox"})).await;
    assert!(inside(&found).contains("red"), "{found:?}");
}

#[tokio::test]
async fn the_time_from_python_in_the_modern_era() {
    let folder = from_pypi(
        &format!("mcp-server-time-{TIME_VERSION}"),
        &format!("mcp-server-time=={TIME_VERSION}"),
    );
    let mut server = program(
        "time",
        &["/usr/bin/python3", "-m", "mcp_server_time"],
        &[folder.to_str().unwrap()],
    );
    if let ToolTransport::Command { environment, .. } = &mut server.transport {
        environment.insert(
            "PYTHONPATH".to_owned(),
            ToolSetting::Plain(folder.to_str().unwrap().to_owned()),
        );
    }
    let house = House::of(&[server]).await;
    assert_eq!(house.report("time").reason, None);
    assert_eq!(house.report("time").revision.as_deref(), Some("2026-07-28"));
    let now = house
        .call("time.get_current_time", json!({"timezone": "Etc/UTC"}))
        .await;
    assert!(inside(&now).contains("Etc/UTC"), "{now:?}");
    let nowhere = house
        .call("time.get_current_time", json!({"timezone": "Nowhere/Here"}))
        .await;
    assert!(nowhere.is_error, "{nowhere:?}");
}

/// Where MCP's own Python SDK is, and a server made with it.
fn friendly() -> (String, String) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sdk = Command::new(crate_folder.join("../../scripts/mcp-python"))
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    assert!(sdk.status.success(), "{}", String::from_utf8_lossy(&sdk.stderr));
    let script = crate_folder.join("tests/data/friendly.py").display().to_string();
    (String::from_utf8(sdk.stdout).unwrap().trim().to_owned(), script)
}

#[tokio::test]
async fn the_python_sdk_in_the_modern_era_over_stdio() {
    let (sdk, script) = friendly();
    let mut server = program("friendly", &["/usr/bin/python3", &script], &[&sdk, &script]);
    if let ToolTransport::Command { environment, .. } = &mut server.transport {
        environment.insert("PYTHONPATH".to_owned(), ToolSetting::Plain(sdk));
    }
    uses_friendly(&House::of(&[server]).await, "friendly").await;
}

#[tokio::test]
async fn the_python_sdk_in_the_modern_era_over_http() {
    let (sdk, script) = friendly();
    let start = |port: &str| {
        let mut python = Command::new("/usr/bin/python3");
        python.args([&script, port]).env("PYTHONPATH", sdk);
        python
    };
    let (_served, server) = served(start).await;
    uses_friendly(&House::of(&[server]).await, "remote").await;
}

async fn uses_friendly(house: &House, server: &str) {
    let report = house.report(server);
    assert_eq!((report.reason, report.revision.as_deref()), (None, Some("2026-07-28")));
    let (progress, mut told) = mpsc::channel(16);
    let (work, greet) = (format!("{server}__work"), format!("{server}__greet"));
    let allowed = [server.to_owned()];
    let call = ToolCall {
        progress: Some(progress),
        ..a_call(&work, &allowed, json!({"steps": 2}))
    };
    let worked = done(house.host.call(call).await);
    assert!(inside(&worked).contains("did 2 steps"), "{worked:?}");
    let first = told.recv().await.unwrap();
    assert_eq!((first.total, first.message.as_deref()), (Some(2.0), Some("step 1")));

    let asked = ToolCall {
        player: Some(Arc::new(Says("How old are you?", json!({"age": 30})))),
        ..a_call(&greet, &allowed, json!({}))
    };
    let greeted = done(house.host.call(asked).await);
    assert!(inside(&greeted).contains("30 is a fine age"), "{greeted:?}");
    let alone = done(house.host.call(a_call(&greet, &allowed, json!({}))).await);
    assert!(inside(&alone).contains("they said decline"), "{alone:?}");

    assert!(!house.call(&format!("{server}.grow"), json!({})).await.is_error);
    let fresh = format!("{server}.fresh");
    let is_there = async || house.names(server).contains(&fresh).then_some(());
    eventually_within(Duration::from_secs(10), "word of the new tool", is_there).await;
}
