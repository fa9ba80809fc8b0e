//! OpenAI's own clients, unchanged but for base URL and key.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use gaia_testkit::{Script, TestCluster, eventually};
use serde_json::json;
use tokio::process::Command;

use crate::support::program;

const PYTHON: &str = "3.54.0";
const JAVASCRIPT: &str = "7.57.0";

/// What a client does, by its script's words for it.
async fn walk(name: &str, client: impl AsyncFn(&str, &[(&str, String)])) {
    let cluster = TestCluster::start().await;
    let (site, _) = program(&cluster, json!({ "name": name })).await;
    let (limited, _) = program(&cluster, json!({ "name": "limited", "requests_per_minute": 6 })).await;
    let settings = [
        ("GAIA_BASE_URL", format!("{}/openai/v1", cluster.gateway)),
        ("GAIA_KEY", site.access_token.unwrap()),
        ("GAIA_LIMITED_KEY", limited.access_token.unwrap()),
    ];
    client("talks", &settings).await;
    // The second turn went on from the first: the model saw what it had said as its own words.
    let second = &cluster.llm.received()[1].body["messages"];
    let roles: Vec<_> = second
        .as_array()
        .unwrap()
        .iter()
        .map(|message| &message["role"])
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"], "{second}");
    assert!(!second[0]["content"].as_str().unwrap().contains("rhymes"), "{second}");
    // So did the second response, by the first one's id.
    let last = &cluster.llm.received().pop().unwrap().body["messages"];
    assert_eq!(last.as_array().unwrap().len(), 4, "{last}");
    let calls = cluster.llm.calls();
    client("is_refused", &settings).await;
    assert_eq!(cluster.llm.calls(), calls);

    cluster
        .llm
        .always(Script::says(&"word ".repeat(500)).every(Duration::from_millis(20)));
    client("hangs_up", &settings).await;
    eventually("the call to the model ends", async || {
        (cluster.llm.open() == 0).then_some(())
    })
    .await;
    assert_eq!(cluster.llm.calls(), calls + 1);
}

#[tokio::test]
async fn openais_python_client_talks_to_a_persona() {
    let packages = installed(&format!("openai-python-{PYTHON}"), async |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--target", folder, &format!("openai=={PYTHON}")]);
        succeeds(pip).await;
    })
    .await;
    walk("python", async |part, settings| {
        let mut python = Command::new("python3");
        python.arg(script("talk.py")).arg(part).env("PYTHONPATH", &packages);
        python.envs(settings.iter().map(|(name, value)| (name, value)));
        assert_eq!(succeeds(python).await, "done\n");
    })
    .await;
}

#[tokio::test]
async fn openais_javascript_client_talks_to_a_persona() {
    let packages = installed(&format!("openai-javascript-{JAVASCRIPT}"), async |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        npm.args(["--prefix", folder, &format!("openai@{JAVASCRIPT}")]);
        succeeds(npm).await;
    })
    .await;
    walk("javascript", async |part, settings| {
        let mut node = Command::new("node");
        node.arg(script("talk.mjs")).arg(part).env("GAIA_SDK", &packages);
        node.envs(settings.iter().map(|(name, value)| (name, value)));
        assert_eq!(succeeds(node).await, "done\n");
    })
    .await;
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks").join(name)
}

/// A folder with packages, made once among what is built.
async fn installed(name: &str, install: impl AsyncFnOnce(&str)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !folder.exists() {
        let unfinished = folder.with_extension("unfinished");
        fs::create_dir_all(&unfinished).unwrap();
        install(unfinished.to_str().unwrap()).await;
        fs::rename(&unfinished, &folder).unwrap();
    }
    folder
}

/// What a program wrote that must succeed.
async fn succeeds(mut program: Command) -> String {
    let output = program.kill_on_drop(true).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    told
}
