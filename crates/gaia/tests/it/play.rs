//! `gaia play` by pipe, against a gateway that does what a test wants.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use crate::{
    binary::Gaia,
    scripted_gateway::{Gateway, Script, delta, whole},
};

fn play(gaia: &Gaia, gateway: &Gateway, more: &[&str], input: &str) -> crate::binary::Answer {
    let url = gateway.url("");
    let arguments = [&["play", "kos", "--url", &url], more].concat();
    gaia.run_with(&arguments, input)
}

#[test]
fn in_a_pipe_each_line_is_a_turn_and_each_reply_a_line() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    let reply = |text: &str| Script::Events(vec![delta(1, text), whole(text)]);
    gateway.script([reply("Stay\nlow."), reply("Go.")]);
    let answer = play(&gaia, &gateway, &[], "hello\n\n  where?  \n").exits(0);
    assert_eq!(answer.out, "Stay low.\nGo.\n");
    let turns = gateway.asked("/turns");
    let said: Vec<_> = turns
        .iter()
        .map(|(_, _, body)| body["text"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["hello", "where?"]);
    assert_ne!(turns[0].2["turn"], turns[1].2["turn"]);
    assert_eq!(turns[0].1, "bearer access");
}

#[test]
fn a_transcript_shows_who_said_what() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    gateway.script([Script::Events(vec![whole("Quiet.")])]);
    let answer = play(&gaia, &gateway, &["--echo", "--persona", "otto"], "hello\n").exits(0);
    assert_eq!(answer.out, "> hello\nOtto: Quiet.\n");
    assert_eq!(
        gateway.asked("POST /v1/conversations")[0].2,
        json!({ "persona": "otto" })
    );
}

#[test]
fn a_turn_whose_connection_drops_is_sent_again_under_the_same_id() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    gateway.script([
        Script::Events(vec![delta(1, "Stay ")]),
        Script::Problem(503, "turn_interrupted"),
        Script::Events(vec![delta(1, "Stay "), delta(2, "low."), whole("Stay low.")]),
    ]);
    let answer = play(&gaia, &gateway, &[], "hello\n").exits(0);
    assert_eq!(answer.out, "Stay low.\n");
    let turns = gateway.asked("/turns");
    assert_eq!(turns.len(), 3);
    assert!(turns.iter().all(|turn| turn.2 == turns[0].2), "{turns:?}");
}

#[test]
fn an_expired_token_is_exchanged_and_an_ended_session_begun_anew() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    gateway.script([
        Script::Problem(401, "token_expired"),
        Script::Problem(401, "session_ended"),
        Script::Events(vec![whole("Here.")]),
    ]);
    let answer = play(&gaia, &gateway, &[], "hello\n").exits(0);
    assert_eq!(answer.out, "Here.\n");
    assert_eq!(gateway.asked("/sessions/refresh").len(), 1);
    let guests = gateway.asked("/players/guest");
    assert_eq!(guests.len(), 2);
    assert_eq!(guests[0].2, guests[1].2, "the device is the same player");
}

#[test]
fn a_turn_that_is_refused_makes_the_exit_code_1_and_the_next_is_taken() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    gateway.script([Script::Problem(403, "forbidden"), Script::Events(vec![whole("Yes.")])]);
    let answer = play(&gaia, &gateway, &[], "no\nyes\n").exits(1);
    assert_eq!(answer.out, "Yes.\n");
    assert!(
        answer.err.contains("error: the game refused (forbidden): as scripted"),
        "{}",
        answer.err
    );
}

#[test]
fn a_line_that_is_too_long_fails_and_the_next_is_taken() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    gateway.script([Script::Events(vec![whole("Yes.")])]);
    let answer = play(&gaia, &gateway, &[], &format!("{}\nyes\n", "a".repeat(20_000))).exits(1);
    assert_eq!(answer.out, "Yes.\n");
    assert!(answer.err.contains("too long"), "{}", answer.err);
}

#[test]
fn a_reply_cannot_steer_the_terminal() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    gateway.script([Script::Events(vec![whole("a\u{1b}[2Jb")])]);
    assert_eq!(play(&gaia, &gateway, &[], "hello\n").exits(0).out, "a[2Jb\n");
}

#[test]
fn a_persona_that_is_not_there_is_refused_with_those_that_are() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    let answer = play(&gaia, &gateway, &["--persona", "nobody"], "hello\n").exits(64);
    assert!(answer.err.contains("choose one of: mara, otto"), "{}", answer.err);
    assert!(gateway.asked("/turns").is_empty());
}

#[test]
fn the_same_device_comes_back_and_its_secret_is_only_the_owners() {
    let (gaia, gateway) = (Gaia::new(), Gateway::start());
    play(&gaia, &gateway, &[], "").exits(0);
    play(&gaia, &gateway, &[], "").exits(0);
    let guests = gateway.asked("/players/guest");
    assert_eq!(guests[0].2, guests[1].2);
    assert!(guests[0].2["device_id"].as_str().unwrap().len() >= 32);
    let mode = fs::metadata(gaia.home().join("play/kos.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Another address never hears it.
    let other = Gateway::start();
    play(&gaia, &other, &[], "").exits(0);
    assert_ne!(other.asked("/players/guest")[0].2, guests[0].2);
}
