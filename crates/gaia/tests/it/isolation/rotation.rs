//! Others in the place of a game's secrets, while it goes on, however often that is killed.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tokio::{runtime::Handle, task::block_in_place};

use super::{PLAYER, Side, each_opens_its_own, json_of, leaves};
use crate::{
    journey::Journey,
    steps::{dies_at, points, steps_of_up},
};

const GAME: &str = "night-lock";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_replaced_while_the_game_goes_on_wherever_that_is_killed() {
    let journey = Journey::begin();
    let before = Side::bring_up(&journey, GAME).await;
    each_opens_its_own(&before).await;
    let secrets = before.folder.join("secrets.json");
    killed_at_every_step(&journey, GAME, &|| json_of(&secrets), &|| {
        journey.talks(GAME);
        let answer = block_in_place(|| Handle::current().block_on(before.player.get(PLAYER)));
        assert_eq!(answer.status, 200);
    });
    let after = before.as_it_is_now();
    // Somebody who signed in before is in still.
    each_opens_its_own(&after).await;
    former_open_nothing(&before, &after).await;

    // The other way round, and undisturbed.
    let report = journey.gaia.run(&["secrets", GAME, "rotate", "--json"]).exits(0).json();
    assert_eq!(report["went_on"], false, "{report}");
    let last = after.as_it_is_now();
    each_opens_its_own(&last).await;
    former_open_nothing(&after, &last).await;
    former_open_nothing(&before, &last).await;
    journey.gaia.run(&["destroy", GAME, "--yes"]).exits(0);
}

/// Kills a rotation before and after each step of all its stages, with something seen in between; by turns the verb itself
/// and the next `gaia up` go on with it.
pub(crate) fn killed_at_every_step(journey: &Journey, game: &str, secrets: &dyn Fn() -> Value, goes_on: &dyn Fn()) {
    let folder = &*format!("games/{game}");
    let (rotate, up) = (["secrets", game, "rotate"], ["up", folder]);
    let before = secrets();
    dies_at(journey, &rotate, "secrets:new:before");
    assert_eq!(secrets(), before);
    dies_at(journey, &rotate, "secrets:new:after");
    let (mut killed, mut stages) = (Vec::new(), Vec::new());
    while let Some(are_ending) = secrets()["former"]["are_ending"].as_bool() {
        let steps = steps_of_up(journey, &[folder]);
        let mut here = points(&steps).map(|point| (are_ending, point));
        let at = here.find(|at| !killed.contains(at));
        let at = at.unwrap_or_else(|| panic!("it does not end, and was killed at {killed:?}"));
        let command: &[&str] = if killed.len() % 2 == 0 { &rotate } else { &up };
        dies_at(journey, command, &at.1);
        killed.push(at);
        stages.push(are_ending);
        goes_on();
    }
    stages.dedup();
    assert_eq!(stages, [false, true], "{killed:?}");
    assert!(killed.len() >= 18, "{killed:?}");
    journey.gaia.run(&up).exits(0);
    journey.gaia.run(&["plan", folder]).exits(0);
}

/// What opened something before is refused now, and no file has it.
async fn former_open_nothing(before: &Side, after: &Side) {
    for (user, password) in before.users("postgres") {
        assert!(after.postgres(&user, &password).await.is_some(), "postgres as {user}");
    }
    for (user, password) in before.users("redis") {
        let said = after.redis(Some((&user, &password)));
        assert!(said[0].starts_with("-WRONGPASS "), "redis as {user}: {said:?}");
    }
    for (user, password) in before.users("nats") {
        let said = after.nats(Some((&user, &password)));
        assert_eq!(said, "-ERR 'Authorization Violation'", "nats as {user}");
    }
    let admin = (after.admin.as_str(), reqwest::Method::GET, &*after.admin_path());
    assert_eq!(after.refusal(admin, Some(before.admin_token())).await.0, 401);

    let mut former = BTreeSet::new();
    let mut secrets: Value = before.secrets.clone();
    secrets["nodes"].take();
    leaves(&secrets, &mut former);
    let mut folders = vec![after.folder.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read(&path) {
                let text = String::from_utf8_lossy(&text);
                let kept = former.iter().find(|secret| text.contains(secret.trim()));
                assert_eq!(kept, None, "{} has it still", path.display());
            }
        }
    }
}
