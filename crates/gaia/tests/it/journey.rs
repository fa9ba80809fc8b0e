//! From a game's folder to a running game, through the death of every process, to nothing left.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    binary::{Answer, Gaia},
    engine::{Engine, IMAGES},
};

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// A home whose clusters are gone at the end, also when a test fails.
pub(crate) struct Journey {
    pub(crate) gaia: Gaia,
}

impl Journey {
    pub(crate) fn begin() -> Self {
        Self { gaia: Gaia::new() }
    }

    /// One in containers; none where this machine cannot have them.
    pub(crate) fn begin_in_containers() -> Option<Self> {
        let gaia = Gaia::in_containers(Engine::shared()?);
        Some(Self { gaia })
    }

    /// One on Kubernetes.
    pub(crate) fn on_kubernetes(kubeconfig: &Path) -> Self {
        let gaia = Gaia::on_kubernetes(kubeconfig);
        Self { gaia }
    }

    /// Makes a game, and has it use the images that are there.
    pub(crate) fn new_game(&self, name: &str) -> String {
        self.gaia.run(&["new", name]).exits(0);
        let folder = format!("games/{name}");
        if self.gaia.needs_images() {
            let config = self.gaia.work().join(&folder).join("config.yaml");
            let text = fs::read_to_string(&config).unwrap();
            fs::write(&config, text.replacen("infrastructure:\n", IMAGES, 1)).unwrap();
        }
        folder
    }

    pub(crate) fn status(&self, cluster: &str) -> Value {
        self.gaia.run(&["status", cluster, "--json"]).exits(0).json()
    }

    /// The process ids of a cluster by name, the supervisor's among them.
    pub(crate) fn pids(&self, cluster: &str) -> BTreeMap<String, i32> {
        if let Some(engine) = self.gaia.engine() {
            return engine.pids(cluster);
        }
        let status = self.status(cluster);
        let pid_of = |process: &Value| process["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let processes = status["processes"].as_array().unwrap().iter();
        let mut pids: BTreeMap<_, _> = processes
            .filter_map(|process| Some((process["name"].as_str()?.to_owned(), pid_of(process)?)))
            .collect();
        pids.extend(pid_of(&status["supervisor"]).map(|pid| ("supervisor".to_owned(), pid)));
        pids
    }

    /// One turn by pipe; gives the reply.
    pub(crate) fn talks(&self, game: &str) -> String {
        let answer = self.gaia.run_with(&["play", game], "Hello!\n").exits(0);
        assert_eq!(answer.out.lines().count(), 1, "{answer:#?}");
        answer.out
    }

    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        let clusters = fs::read_dir(self.gaia.home().join("clusters")).into_iter().flatten();
        for cluster in clusters.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let answer = self.gaia.run(&["destroy", &cluster, "--yes"]);
            eprintln!("destroyed {cluster} after a failure: {answer:#?}");
        }
        let gone = Instant::now() + LIMIT;
        while !left_over(&self.gaia.home()).is_empty() && Instant::now() < gone {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        for (pid, _) in left_over(&self.gaia.home()) {
            kill(pid);
        }
    }
}

/// The processes that name a folder, or stand in it.
pub(crate) fn left_over(home: &Path) -> Vec<(i32, String)> {
    let home = home.to_str().unwrap();
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_home = |pid: i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let stands = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        (command.contains(home) || stands.starts_with(home)).then_some((pid, command))
    };
    processes.filter_map(of_home).collect()
}

pub(crate) fn kill(pid: i32) {
    // It may have ended by itself.
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
}

pub(crate) fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    })
}

#[test]
fn a_folder_becomes_a_game_that_outlives_the_death_of_every_process_and_leaves_nothing() {
    whole(&Journey::begin());
}

#[test]
fn a_folder_becomes_a_game_in_containers_that_outlives_the_death_of_every_one_and_leaves_nothing() {
    if let Some(journey) = Journey::begin_in_containers() {
        whole(&journey);
    }
}

fn whole(journey: &Journey) {
    let gaia = &journey.gaia;
    let is_local = gaia.engine().is_none();
    let folder = &*journey.new_game("night-train");

    let plan = gaia.run(&["plan", folder, "--json"]).exits(2).json();
    assert_eq!(plan["has_changes"], true, "{plan}");
    let up = gaia.run(&["up", folder, "--json"]).exits(0).json();
    assert_eq!(
        (&up["changed"], &up["state"]),
        (&Value::from(true), &Value::from("running")),
        "{up}"
    );
    if is_local {
        assert!(up["warnings"][0].as_str().unwrap().contains("gaia model pull"), "{up}");
    } else {
        assert_eq!(up["warnings"], Value::Array(vec![]), "{up}");
    }

    gaia.run(&["plan", folder]).exits(0);
    let before = journey.pids("night-train");
    let again = gaia.run(&["up", folder, "--json"]).exits(0).json();
    assert_eq!(
        (&again["changed"], &again["steps"]),
        (&Value::from(false), &Value::Array(vec![])),
        "{again}"
    );
    assert_eq!(journey.pids("night-train"), before);

    let status = journey.status("night-train");
    let gateway = status["gateway_url"].as_str().unwrap();
    assert_eq!(up["gateway_url"], gateway);
    // The image has the model, this home has not.
    let answers_by = if is_local { "barks" } else { "offline" };
    assert_eq!(status["games"][0]["answers_by"], answers_by, "{status}");
    journey.talks("night-train");
    killed_one_after_the_other(journey, folder);
    stopped_and_brought_back(journey, folder);
    destroyed(journey);
}

fn killed_one_after_the_other(journey: &Journey, folder: &str) {
    for (name, pid) in journey.pids("night-train") {
        kill(pid);
        journey.until(&format!("{name} ends"), |_| !is_running(pid));
        journey.talks("night-train");
        if name == "supervisor" {
            let status = journey.status("night-train");
            assert_eq!(status["supervisor"]["is_running"], false, "{status}");
            journey.gaia.run(&["up", folder]).exits(0);
        }
        journey.until(&format!("{name} is back"), |journey| {
            let is_back = journey.pids("night-train").get(&name).is_some_and(|now| *now != pid);
            is_back && journey.status("night-train")["state"] == "running"
        });
    }
    let turns = journey
        .gaia
        .run_with(&["play", "night-train", "--echo"], "Still there?\n")
        .exits(0);
    assert!(turns.out.starts_with("> Still there?\n"), "{}", turns.out);
}

fn stopped_and_brought_back(journey: &Journey, folder: &str) {
    let gaia = &journey.gaia;
    let before = journey.pids("night-train");
    gaia.run(&["restart", "night-train", "chat"]).exits(0);
    let after = journey.pids("night-train");
    assert_ne!(before["chat-1"], after["chat-1"]);
    assert_eq!(before["auth-1"], after["auth-1"]);
    assert!(
        gaia.run(&["logs", "night-train", "chat"])
            .exits(0)
            .out
            .contains("chat is up")
    );
    let logs = gaia.run(&["logs", "night-train", "--json"]).exits(0).json();
    assert!(logs["logs"].as_array().unwrap().len() >= 6, "{logs}");
    gaia.run(&["logs", "night-train", "world"]).exits(64);

    gaia.run(&["down", "night-train"]).exits(0);
    assert_eq!(journey.status("night-train")["state"], "stopped");
    assert!(after.values().all(|pid| !is_running(*pid)));
    let answer = gaia.run_with(&["play", "night-train"], "Hello!\n");
    assert_eq!(answer.code, 1, "{answer:#?}");
    assert_eq!(gaia.run(&["list", "--json"]).exits(0).json()[0]["state"], "stopped");
    gaia.run(&["up", folder]).exits(0);
    journey.talks("night-train");
}

fn destroyed(journey: &Journey) {
    let gaia = &journey.gaia;
    let answer = gaia.run(&["destroy", "night-train"]).exits(64);
    assert!(answer.err.contains("gaia destroy night-train --yes"), "{}", answer.err);
    journey.talks("night-train");
    let pids = journey.pids("night-train");
    gaia.run(&["destroy", "night-train", "--yes"]).exits(0);
    assert!(pids.values().all(|pid| !is_running(*pid)), "{pids:?}");
    assert_eq!(left_over(&gaia.home()), []);
    assert!(!gaia.home().join("clusters/night-train").exists());
    assert!(!gaia.home().join("play/night-train.json").exists());
    if let Some(engine) = gaia.engine() {
        assert_eq!(engine.left_over("night-train"), Vec::<String>::new());
    }
    assert_eq!(gaia.run(&["list", "--json"]).exits(0).json(), Value::Array(vec![]));
}

#[test]
fn two_games_share_a_cluster_and_a_killed_up_is_taken_up_again() {
    let journey = Journey::begin();
    let gaia = &journey.gaia;
    gaia.run(&["new", "night-train"]).exits(0);
    gaia.run(&["new", "day-train"]).exits(0);
    let up = [
        "up",
        "games/night-train",
        "games/day-train",
        "--cluster",
        "trains",
        "--replicas",
        "chat=2",
        "--json",
    ];

    let mut first = gaia
        .command(&up)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    journey.until("the cluster has a folder", |journey| {
        journey.gaia.home().join("clusters/trains").exists()
    });
    first.kill().unwrap();
    first.wait().unwrap();

    let report = gaia.run(&up).exits(0).json();
    assert_eq!(
        (&report["cluster"], &report["state"]),
        (&"trains".into(), &"running".into()),
        "{report}"
    );
    let pids = journey.pids("trains");
    assert!(pids.contains_key("chat-2"), "{pids:?}");
    journey.talks("night-train");
    journey.talks("day-train");
    let urls: Vec<_> = report["games"]
        .as_array()
        .unwrap()
        .iter()
        .map(|game| &game["gateway_url"])
        .collect();
    assert_ne!(urls[0], urls[1]);

    let answer = gaia.run(&["destroy", "day-train", "--yes"]).exits(64);
    assert!(answer.err.contains("shares the cluster `trains`"), "{}", answer.err);
    gaia.run(&["destroy", "trains", "--yes"]).exits(0);
    assert_eq!(left_over(&gaia.home()), []);
}

#[test]
fn a_model_lets_characters_choose_their_lines_and_comes_back_when_it_dies() {
    let journey = Journey::begin();
    let gaia = &journey.gaia;
    let models = models_folder(gaia);
    let with_model = |arguments: &[&str]| {
        let output = gaia.command(arguments).env("GAIA_MODELS", &models).output().unwrap();
        Answer::of(output).exits(0).json()
    };
    gaia.run(&["new", "night-train"]).exits(0);
    let up = with_model(&["up", "games/night-train", "--json"]);
    assert_eq!(up["warnings"], Value::Array(vec![]), "{up}");
    let inference = inference_pid(gaia);
    journey.until("characters answer offline", |journey| {
        journey.status("night-train")["games"][0]["answers_by"] == "offline"
    });
    journey.talks("night-train");
    assert_eq!(
        with_model(&["plan", "games/night-train", "--json"])["has_changes"],
        false
    );

    kill(inference);
    journey.until("inference ends", |_| !is_running(inference));
    journey.talks("night-train");
    journey.until("inference is back", |_| {
        inference_pid(gaia) != inference && is_running(inference_pid(gaia))
    });
    assert_eq!(with_model(&["up", "games/night-train", "--json"])["changed"], false);

    gaia.run(&["destroy", "night-train", "--yes"]).exits(0);
    assert_eq!(
        left_over(&gaia.home()),
        [],
        "inference did not end with the last cluster"
    );
    assert_eq!(fs::read_dir(gaia.home()).unwrap().count(), 0);
}

/// Where the embedding model lies, as for the tests of `gaia-inference`: `GAIA_TEST_MODELS`, else `target/models`. It
/// is downloaded there if it is missing.
pub(crate) fn models_folder(gaia: &Gaia) -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models");
    let folder = std::env::var_os("GAIA_TEST_MODELS").map_or_else(usual, PathBuf::from);
    let mut pull = gaia.command(&["model", "pull", "all-minilm-l6-v2", "--json"]);
    Answer::of(pull.env("GAIA_MODELS", &folder).output().unwrap()).exits(0);
    folder
}

fn inference_pid(gaia: &Gaia) -> i32 {
    let record = fs::read(gaia.home().join("inference/inference.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    record["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap()
}
