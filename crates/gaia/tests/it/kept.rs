//! A destroy that keeps the data, and the next up that takes it up again.

use serde_json::Value;

use crate::{
    journey::{Journey, left_over},
    steps::dies_at,
};

const GAME: &str = "night-vault";
const KEEP: [&str; 4] = ["destroy", GAME, "--keep-volumes", "--yes"];

#[test]
fn a_destroy_that_keeps_the_data_leaves_what_the_next_up_takes_up_again() {
    let journey = Journey::begin();
    whole(&journey);
    assert_eq!(left_over(&journey.gaia.home()), []);
}

#[test]
fn a_destroy_in_containers_that_keeps_the_data_leaves_what_the_next_up_takes_up_again() {
    if let Some(journey) = Journey::begin_in_containers() {
        whole(&journey);
        assert_eq!(journey.gaia.engine().unwrap().left_over(GAME), Vec::<String>::new());
    }
}

fn whole(journey: &Journey) {
    let gaia = &journey.gaia;
    let folder = &*journey.new_game(GAME);
    gaia.run(&["up", folder]).exits(0);
    journey.talks(GAME);
    gaia.run(&["keys", GAME, "create", "red-lamp"]).exits(0);
    let refused = gaia.run(&["destroy", GAME, "--keep-volumes"]).exits(64);
    assert!(
        refused.err.contains("--keep-volumes night-vault --yes"),
        "{}",
        refused.err
    );

    let kept = gaia.run(&[&KEEP[..], &["--json"]].concat()).exits(0).json();
    let kept = kept["kept"].as_array().unwrap();
    let told = |why: &str| kept.iter().any(|one| one["why"].as_str().unwrap().contains(why));
    assert!(
        kept.len() == 3 && told("what the game keeps") && told("cannot be opened") && told("numbers go on"),
        "{kept:?}"
    );
    assert_eq!(journey.status(GAME)["state"], "kept");
    is_all_that_is_left(journey);
    let again = gaia.run(&[&KEEP[..], &["--json"]].concat()).exits(0).json();
    assert_eq!(again["changed"], false);

    // Killed at any step, it is ended by the next one of its kind or by an up, and the data is there.
    taken_up(journey, folder);
    for step in ["processes", "folder", "proof"] {
        for moment in ["fails", "before", "after"] {
            dies_at(journey, &KEEP, &format!("{step}:{moment}"));
        }
    }
    taken_up(journey, folder);
    dies_at(journey, &KEEP, "folder:after");
    let status = journey.status(GAME);
    assert_eq!(status["state"], "unfinished", "{status}");
    assert!(
        status["why"][0].as_str().unwrap().contains("--keep-volumes"),
        "{status}"
    );
    gaia.run(&KEEP).exits(0);
    is_all_that_is_left(journey);

    gaia.run(&["destroy", GAME, "--yes"]).exits(0);
    assert!(!gaia.home().join("clusters").join(GAME).exists());
    assert_eq!(gaia.run(&["list", "--json"]).exits(0).json(), Value::Array(vec![]));
}

fn taken_up(journey: &Journey, folder: &str) {
    journey.gaia.run(&["up", folder]).exits(0);
    assert_eq!(journey.status(GAME)["state"], "running");
    journey.gaia.run(&["plan", folder]).exits(0);
    let keys = journey.gaia.run(&["keys", GAME, "list"]).exits(0);
    assert!(keys.out.contains("red-lamp"), "what the game kept is gone: {keys:#?}");
    journey.talks(GAME);
}

fn is_all_that_is_left(journey: &Journey) {
    let folder = journey.gaia.home().join("clusters").join(GAME);
    let mut left: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    match journey.gaia.engine() {
        None => {
            assert_eq!(left, ["cluster.json", "postgres", "secrets.json"]);
            assert_eq!(left_over(&journey.gaia.home()), []);
        }
        Some(engine) => {
            assert_eq!(left, ["cluster.json", "secrets.json"]);
            assert_eq!(engine.left_over(GAME), ["gaia-night-vault_postgres"]);
        }
    }
}
