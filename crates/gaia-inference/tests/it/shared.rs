//! The process that a machine's clusters share: found, started once, ended with its last user.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gaia_inference::{Access, Lease, RunError, RunSettings, Start, StartError, ensure_running, run};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{models_folder, until};

/// The crate's example, which cargo builds with the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/serve");
    assert!(
        program.is_file(),
        "build it with: cargo test --release -p gaia-inference (without --test)"
    );
    program
}

/// A home folder whose process is ended with it.
struct TestHome(TempDir);

impl TestHome {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("inference")
    }

    fn start(&self) -> Start {
        Start::new(self.path(), models_folder(), program())
    }

    fn pid(&self) -> Option<Pid> {
        let record: Value = serde_json::from_slice(&std::fs::read(self.path().join("inference.json")).ok()?).ok()?;
        Pid::from_raw(i32::try_from(record["pid"].as_i64()?).ok()?)
    }

    /// Waits until the process has gone. It was started by this one, which waits for its children in the background.
    async fn until_gone(&self, pid: Pid) {
        until("the process has gone", async || test_kill_process(pid).is_err()).await;
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn answers(access: &Access) -> bool {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{}/v1/embeddings", access.base_url))
        .bearer_auth(access.key.expose());
    let response = request
        .json(&json!({ "model": "all-minilm-l6-v2", "input": "Are you there?" }))
        .send()
        .await;
    response.is_ok_and(|response| response.status() == StatusCode::OK)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn several_who_need_it_at_once_start_one_process_and_get_the_same_access() {
    let home = TestHome::new();
    let start = home.start();
    let found = futures::future::join_all((0..4).map(|_| ensure_running(&start))).await;
    let found: Vec<Access> = found.into_iter().map(Result::unwrap).collect();
    assert!(found.iter().all(|access| *access == found[0]));
    assert!(answers(&found[0]).await);
    let pid = home.pid().unwrap();
    for (file, expected) in [
        ("key", 0o600),
        ("inference.json", 0o600),
        ("inference.log", 0o600),
        ("", 0o700),
    ] {
        assert_eq!(mode(&home.path().join(file)), expected, "{file}");
    }
    let key = found[0].key.expose();
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    for place in ["cmdline", "environ"] {
        let text = std::fs::read(format!("{process}/{place}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(key), "the key is in {place}");
    }
    assert!(
        !std::fs::read_to_string(home.path().join("inference.log"))
            .unwrap()
            .contains(key)
    );
    kill_process(pid, Signal::TERM).unwrap();
    home.until_gone(pid).await;
    assert!(!home.path().join("inference.json").exists());
}

#[tokio::test]
async fn a_killed_process_is_replaced_at_the_same_address_with_the_same_key() {
    let home = TestHome::new();
    let first = ensure_running(&home.start()).await.unwrap();
    let pid = home.pid().unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    home.until_gone(pid).await;
    assert!(home.path().join("inference.json").exists());
    let second = ensure_running(&home.start()).await.unwrap();
    assert_eq!(second, first);
    assert_ne!(home.pid().unwrap(), pid);
    assert!(answers(&second).await);
}

#[tokio::test]
async fn a_process_that_hangs_is_replaced() {
    let home = TestHome::new();
    ensure_running(&home.start()).await.unwrap();
    let pid = home.pid().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let access = ensure_running(&home.start()).await.unwrap();
    assert_ne!(home.pid().unwrap(), pid);
    assert!(answers(&access).await);
    home.until_gone(pid).await;
}

#[tokio::test]
async fn without_a_model_nothing_is_started_and_the_command_to_type_is_told() {
    let home = TestHome::new();
    let start = Start {
        models_folder: home.0.path().join("models"),
        ..home.start()
    };
    let error = ensure_running(&start).await.unwrap_err();
    assert!(matches!(error, StartError::NoModel { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("install it with: gaia model pull all-minilm-l6-v2"),
        "{error}"
    );
    assert!(home.pid().is_none());
    let settings = RunSettings::new(home.path(), home.0.path().join("models"));
    let error = run(settings).await.unwrap_err();
    assert!(matches!(error, RunError::NoModel { .. }), "{error}");
}

#[tokio::test]
async fn a_program_that_ends_at_once_or_is_not_there_is_told_with_its_last_words() {
    let home = TestHome::new();
    let missing = Start {
        program: "/no/such/program".into(),
        ..home.start()
    };
    assert!(matches!(
        ensure_running(&missing).await.unwrap_err(),
        StartError::Program { .. }
    ));
    // `cat` does not know the words that it is given.
    let cat = Start {
        program: "cat".into(),
        ..home.start()
    };
    let error = ensure_running(&cat).await.unwrap_err();
    assert!(
        matches!(&error, StartError::Ended { said, .. } if said.contains("--home")),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_never_answers_is_ended_and_told() {
    let home = TestHome::new();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/silent");
    let silent = Start {
        program,
        limit: Duration::from_secs(1),
        ..home.start()
    };
    let error = ensure_running(&silent).await.unwrap_err();
    assert!(matches!(error, StartError::NotReady { .. }), "{error}");
    let pid = std::fs::read_to_string(home.path().join("silent.pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(pid).is_err(), "it still runs");
}

#[tokio::test]
async fn the_process_stays_while_anybody_holds_a_lease_and_ends_after_the_last() {
    let home = TestHome::new();
    let patience = Duration::from_millis(400);
    let settings = RunSettings {
        patience: Some(patience),
        ..RunSettings::new(home.path(), models_folder())
    };
    let one = Lease::hold(&home.path()).unwrap();
    let other = Lease::hold(&home.path()).unwrap();
    let mut running = JoinSet::new();
    running.spawn(run(settings));
    let record = home.path().join("inference.json");
    until("it runs", async || record.exists()).await;
    drop(one);
    assert!(
        tokio::time::timeout(patience * 4, running.join_next()).await.is_err(),
        "it ended although it was used"
    );
    drop(other);
    let ended = tokio::time::timeout(Duration::from_secs(20), running.join_next())
        .await
        .expect("it ends unused");
    ended.unwrap().unwrap().unwrap();
    assert!(!record.exists());
    // And it is free for the next.
    Lease::hold(&home.path()).unwrap();
}

#[tokio::test]
async fn two_processes_never_serve_the_same_home() {
    let home = TestHome::new();
    let access = ensure_running(&home.start()).await.unwrap();
    let error = run(RunSettings::new(home.path(), models_folder())).await.unwrap_err();
    assert!(matches!(error, RunError::AlreadyRunning { .. }), "{error}");
    assert!(answers(&access).await);
}
