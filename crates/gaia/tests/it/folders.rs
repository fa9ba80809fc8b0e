//! Games' folders: made, checked and explained.

use insta::assert_snapshot;
use serde_json::Value;

use crate::binary::Gaia;

#[test]
fn a_new_game_checks_without_a_fault() {
    let gaia = Gaia::new();
    let answer = gaia.run(&["new", "night-train"]).exits(0);
    assert!(answer.out.contains("games/night-train/config.yaml"), "{}", answer.out);
    assert!(answer.out.ends_with("`gaia up games/night-train`\n"), "{}", answer.out);
    let report = gaia.run(&["check", "games/night-train", "--json"]).exits(0).json();
    assert_eq!(report["is_valid"], true);
    assert_eq!(report["games"][0]["game"]["id"], "night-train");
    assert_eq!(report["games"][0]["faults"], Value::Array(Vec::new()));
}

#[test]
fn a_new_game_never_touches_what_is_there() {
    let gaia = Gaia::new();
    let file = gaia.write("elsewhere/kos/config.yaml", "name: Mine\n");
    let answer = gaia.run(&["new", "kos", "--into", "elsewhere"]).exits(64);
    assert_snapshot!(answer.err, @r"
    error: elsewhere/kos is there already; nothing was touched
    help: choose another name, or change what is there and see `gaia check elsewhere/kos`
    ");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "name: Mine\n");
    gaia.run(&["new", "../escape"]).exits(64);
    gaia.run(&["new", "No"]).exits(64);
}

#[test]
fn check_tells_every_fault_at_once_with_its_place() {
    let gaia = Gaia::new();
    gaia.write(
        "kos/config.yaml",
        "name: Kos\nthem: horror\nai_configuration:\n  context_window: many\n",
    );
    let answer = gaia.run(&["check", "kos"]).exits(64);
    assert!(answer.out.contains("kos/config.yaml:2:1: error: "), "{}", answer.out);
    assert!(answer.out.contains("did you mean `theme`?"), "{}", answer.out);
    assert!(answer.out.contains("kos/config.yaml:4:"), "{}", answer.out);
    let report = gaia.run(&["check", "kos", "--json"]).exits(64).json();
    assert_eq!(report["is_valid"], false);
    let faults = report["games"][0]["faults"].as_array().unwrap().iter();
    let errors: Vec<_> = faults.filter(|fault| fault["severity"] == "error").collect();
    assert_eq!(errors.len(), 2, "{report}");
    assert_eq!(errors[0]["line"], 2, "{report}");
    assert_eq!(errors[0]["nearest"], "theme", "{report}");
}

#[test]
fn check_takes_several_folders_and_fails_if_one_does() {
    let gaia = Gaia::new();
    gaia.run(&["new", "good-game"]).exits(0);
    gaia.write("games/bad-game/config.yaml", "name: [\n");
    let report = gaia
        .run(&["check", "games/good-game", "games/bad-game", "--json"])
        .exits(64)
        .json();
    assert_eq!(report["games"][0]["is_valid"], true);
    assert_eq!(report["games"][1]["is_valid"], false);
}

#[test]
fn a_game_with_faults_is_not_brought_up_and_nothing_is_touched() {
    let gaia = Gaia::new();
    gaia.write("kos/config.yaml", "them: horror\n");
    for verb in ["plan", "up"] {
        let answer = gaia.run(&[verb, "kos"]).exits(64);
        assert!(
            answer
                .err
                .starts_with("error: kos has 1 error, so nothing was touched\n"),
            "{}",
            answer.err
        );
        assert!(answer.err.contains("kos/config.yaml:1:1: error: "), "{}", answer.err);
        assert!(
            answer
                .err
                .ends_with("help: mend that; `gaia check kos` says when it is good\n"),
            "{}",
            answer.err
        );
        let told = gaia.run(&[verb, "kos", "--json"]).exits(64).json();
        assert!(
            told["causes"][0].as_str().unwrap().contains("kos/config.yaml:1:1"),
            "{told}"
        );
    }
    assert!(!gaia.home().exists());
}

#[test]
fn a_game_that_is_named_instead_of_its_folder_is_found() {
    let gaia = Gaia::new();
    gaia.run(&["new", "night-train"]).exits(0);
    let answer = gaia.run(&["up", "night-train"]).exits(64);
    assert!(
        answer.err.ends_with("help: did you mean games/night-train?\n"),
        "{}",
        answer.err
    );
}

#[test]
fn several_games_need_a_cluster_to_share() {
    let gaia = Gaia::new();
    let answer = gaia.run(&["up", "games/one", "games/two"]).exits(64);
    assert_snapshot!(answer.err, @r"
    error: several games need a name for the cluster that they share
    help: add --cluster <name>, or give one folder at a time for clusters of their own
    ");
}

#[test]
fn what_explain_prints_can_be_used() {
    let gaia = Gaia::new();
    let config = gaia.run(&["explain", "config"]).exits(0).out;
    let persona = gaia.run(&["explain", "persona"]).exits(0).out;
    assert!(persona.starts_with("---\n"), "{persona}");
    gaia.write("kos/config.yaml", &config);
    let report = gaia.run(&["check", "kos", "--json"]).exits(0).json();
    assert_eq!(report["is_valid"], true);
    let schema = gaia.run(&["explain", "schema"]).exits(0).json();
    assert!(schema["properties"]["ai_configuration"].is_object(), "{schema}");
}
