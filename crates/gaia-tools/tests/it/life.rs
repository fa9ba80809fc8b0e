//! Servers come and go; the game does not notice.

use std::{path::PathBuf, time::Duration};

use gaia_protocol::bundle::{ToolServer, ToolSetting, ToolTransport};
use gaia_testkit::{eventually, eventually_within};
use gaia_tools::CallFault;
use serde_json::json;

use crate::support::{House, hostile, inside, program};

fn is_running(process: &str) -> bool {
    let status = std::fs::read_to_string(PathBuf::from("/proc").join(process).join("status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// The processes whose command line holds this word.
fn processes_with(word: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap());
    let has_word = |process: &String| {
        std::fs::read_to_string(format!("/proc/{process}/cmdline")).is_ok_and(|line| line.contains(word))
    };
    all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(has_word)
        .collect()
}

#[tokio::test]
async fn a_server_that_cannot_start_is_told_of_without_its_secrets_and_the_others_go_on() {
    let house = House::of(&[hostile("never"), hostile("good")]).await;
    let missing = house.host.unavailable(&["never".to_owned(), "good.look".to_owned()]);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].server, "never");
    assert!(
        missing[0].reason.contains("cannot start: the license of *** is over"),
        "{}",
        missing[0].reason
    );
    assert_eq!(house.names("never"), Vec::<String>::new());
    assert!(!house.say("good.look", "x").await.is_error);
}

#[tokio::test]
async fn a_server_that_cannot_start_is_tried_less_and_less_often() {
    let house = House::of(&[hostile("never")]).await;
    let starts = house.folder.join("night-train/never/starts");
    let four = async || {
        let text = std::fs::read_to_string(&starts).ok()?;
        let times: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
        (times.len() >= 4).then_some(times)
    };
    let times = eventually_within(Duration::from_secs(30), "four starts", four).await;
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= 0.25 && waits[1] >= 0.5 && waits[2] >= 1.0, "{waits:?}");
    assert!(house.report("never").restarts >= 3);
}

#[tokio::test]
async fn a_program_that_is_not_there_and_a_secret_that_is_not_set_are_told() {
    let nowhere = program("nowhere", &["no-such-program"], &[]);
    let mut poor = hostile("poor");
    if let ToolTransport::Command { environment, .. } = &mut poor.transport {
        let absent = ToolSetting::Secret("poor.env.KEY".to_owned());
        environment.insert("KEY".to_owned(), absent);
    }
    let unbuilt = ToolServer::new("payment_gateway", ToolTransport::Unbuilt);
    let house = House::of(&[nowhere, poor, unbuilt]).await;
    let reason = |name: &str| house.host.unavailable(&[name.to_owned()])[0].reason.clone();
    assert!(
        reason("nowhere").starts_with("there is no program `no-such-program`"),
        "{}",
        reason("nowhere")
    );
    assert!(
        reason("poor").starts_with("the secret `poor.env.KEY` is not set"),
        "{}",
        reason("poor")
    );
    assert_eq!(reason("payment_gateway"), "this version of Gaia has no such server");
    assert_eq!(house.report("payment_gateway").state, "unavailable");
}

#[tokio::test]
async fn a_server_that_falls_over_the_modern_era_is_spoken_to_in_the_older_one() {
    let house = House::of(&[hostile("vague"), hostile("strict")]).await;
    let vague = house.report("vague");
    assert_eq!((vague.state, vague.restarts), ("ready", 0), "{vague:?}");
    let strict = house.until("strict", "ready").await;
    assert_eq!((strict.revision.as_deref(), strict.restarts), (Some("2025-11-25"), 1));
    assert!(!house.say("strict.look", "x").await.is_error);
}

#[tokio::test]
async fn a_server_that_dies_in_a_call_is_started_again() {
    let house = House::of(&[hostile("dies")]).await;
    let answer = house.call("dies.look", json!({})).await;
    assert!(matches!(answer.fault, Some(CallFault::Lost)), "{answer:?}");
    eventually("it is restarted", async || {
        (house.report("dies").restarts >= 1).then_some(())
    })
    .await;
    house.until("dies", "ready").await;
    assert_eq!(house.names("dies"), ["dies.look"]);
}

#[tokio::test]
async fn a_killed_server_is_back_soon() {
    let house = House::of(&[hostile("good")]).await;
    let word = house.folder.display().to_string();
    let answer = house.say("good.look", "x").await;
    assert!(!answer.is_error, "{answer:?}");
    for process in processes_of(&word) {
        std::process::Command::new("kill")
            .args(["-9", &process])
            .status()
            .unwrap();
    }
    eventually("it is restarted", async || {
        (house.report("good").restarts >= 1).then_some(())
    })
    .await;
    house.until("good", "ready").await;
    assert!(!house.say("good.look", "x").await.is_error);
}

/// The processes that stand in this folder.
fn processes_of(folder: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap());
    let stands_there = |process: &String| {
        let home = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&home).contains(&format!("HOME={folder}"))
    };
    all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(stands_there)
        .collect()
}

#[tokio::test]
async fn a_new_generation_restarts_only_what_changed() {
    let house = House::of(&[hostile("good"), hostile("slow")]).await;
    let process = async |tool: &str| {
        inside(&house.say(tool, "x").await)
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    let (good, slow) = (
        processes_of(&house.folder.display().to_string()).len(),
        process("slow.look").await,
    );
    assert!(good >= 2);
    let mut changed = hostile("good");
    changed.timeout_ms = 1000;
    house.host.reload(&[changed, hostile("slow"), hostile("lies")]);
    house.host.settle(Duration::from_secs(30)).await;
    assert_eq!(process("slow.look").await, slow);
    assert_eq!(house.report("slow").restarts, 0);
    assert_eq!(house.names("lies"), ["lies.look"]);
    house.host.reload(&[hostile("slow")]);
    assert_eq!(house.names("good"), Vec::<String>::new());
    assert_eq!(house.host.report().len(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_is_stopped_not_even_children_that_hid_away() {
    let house = House::of(&[hostile("forks"), hostile("stubborn")]).await;
    let folder = house.folder.display().to_string();
    assert!(!house.say("forks.look", "x").await.is_error);
    let before = processes_of(&folder);
    assert!(before.len() >= 3, "{before:?}");
    drop(house.host);
    eventually("all are gone", async || {
        before.iter().all(|process| !is_running(process)).then_some(())
    })
    .await;
    assert_eq!(processes_with(&folder), Vec::<String>::new());
}
