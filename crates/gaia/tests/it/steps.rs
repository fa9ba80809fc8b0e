//! Up and destroy, killed before and after every step that their plans name, each step failing once, and run again.

use std::{collections::BTreeSet, fs, net::TcpListener, os::unix::process::ExitStatusExt, path::Path};

use gaia_deploy::{Home, Plan, observe};
use serde_json::Value;

use crate::{
    binary::Answer,
    journey::{Journey, is_running, left_over},
};

pub(crate) const GAME: &str = "night-walk";
const FOLDER: &str = "games/night-walk";
const DESTROY: [&str; 3] = ["destroy", GAME, "--yes"];

#[test]
fn an_up_that_is_killed_at_any_step_is_ended_by_the_next_one() {
    let journey = Journey::begin();
    journey.gaia.run(&["new", GAME]).exits(0);
    killed_at_every_step(&journey, &[FOLDER]);
    let first = files(&journey);
    converged(&journey, 1);

    // More of a service, another text for a character and then less again: steps that change, restart and remove.
    let persona = journey.gaia.work().join(FOLDER).join("personas/guide.md");
    fs::write(
        &persona,
        fs::read_to_string(&persona).unwrap() + "\nYou know when the train leaves.\n",
    )
    .unwrap();
    killed_at_every_step(&journey, &[FOLDER, "--replicas", "chat=2"]);
    converged(&journey, 2);
    killed_at_every_step(&journey, &[FOLDER, "--replicas", "chat=usual"]);
    converged(&journey, 3);
    assert_eq!(files(&journey), first, "files came that nobody needs, or went");

    // A dead supervisor, whose step comes alone, so that only the note that all is done is missing after it.
    let supervisor = journey.pids(GAME)["supervisor"];
    crate::journey::kill(supervisor);
    journey.until("the supervisor ends", |_| !is_running(supervisor));
    let killed = killed_at_every_step(&journey, &[FOLDER]);
    assert!(killed.contains("record:before"), "{killed:?}");
    converged(&journey, 3);

    // What a killed destroy has left goes first.
    dies_at(&journey, &DESTROY, "folder:before");
    let leftovers: Vec<String> = points(&steps_of_up(&journey, &[FOLDER])).take(3).collect();
    assert_eq!(leftovers, ["leftovers:fails", "leftovers:before", "leftovers:after"]);
    for point in &leftovers {
        dies_at(&journey, &["up", FOLDER], point);
    }
    journey.gaia.run(&["up", FOLDER]).exits(0);
    converged(&journey, 3);
    journey.gaia.run(&DESTROY).exits(0);
    nothing_is_left(&journey, &BTreeSet::new());
}

#[test]
fn a_destroy_that_is_killed_at_any_step_is_ended_by_the_next_one() {
    let journey = Journey::begin();
    journey.gaia.run(&["new", GAME]).exits(0);
    let mut killed = BTreeSet::new();
    loop {
        journey.gaia.run(&["up", FOLDER]).exits(0);
        journey.talks(GAME);
        let ports = ports(&journey);
        // One life is enough for all steps until the folder is gone.
        while let Some(point) = points(&steps_of_destroy(&journey)).find(|point| !killed.contains(point)) {
            dies_at(&journey, &DESTROY, &point);
            killed.insert(point);
        }
        let is_whole = !steps_of_destroy(&journey).is_empty();
        journey.gaia.run(&DESTROY).exits(0);
        nothing_is_left(&journey, &ports);
        if is_whole {
            break;
        }
    }
    assert!(killed.len() >= 6, "{killed:?}");
}

#[test]
fn a_game_in_containers_is_whole_after_an_up_and_gone_after_a_destroy_that_were_killed_at_every_step() {
    let Some(journey) = Journey::begin_in_containers() else {
        return;
    };
    let folder = journey.new_game(GAME);
    let killed = killed_at_every_step(&journey, &[&folder]);
    assert!(killed.len() >= 24, "{killed:?}");
    assert_eq!(journey.status(GAME)["state"], "running");
    journey.talks(GAME);
    let engine = journey.gaia.engine().unwrap();
    for steps in [&["processes", "volumes", "folder"][..], &["proof"]] {
        journey.gaia.run(&["up", &folder]).exits(0);
        destroy_dies_at_each(&journey, steps);
        assert_eq!(engine.left_over(GAME), Vec::<String>::new());
    }
}

/// Kills `gaia destroy` before and after each of these steps, then lets it end.
pub(crate) fn destroy_dies_at_each(journey: &Journey, steps: &[&str]) {
    let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
    // What has proven itself to be gone is not destroyed once more.
    for point in points(&steps).filter(|point| *point != "proof:fails" && *point != "proof:after") {
        dies_at(journey, &DESTROY, &point);
    }
    journey.gaia.run(&DESTROY).exits(0);
    assert!(!journey.gaia.home().join("clusters").join(GAME).exists());
}

/// Kills `gaia up` before and after each step of its plan, then lets it end. Says where it was killed.
pub(crate) fn killed_at_every_step(journey: &Journey, shape: &[&str]) -> BTreeSet<String> {
    let up = [&["up"], shape].concat();
    let planned: Vec<String> = points(&steps_of_up(journey, shape)).collect();
    assert!(!planned.is_empty(), "nothing is to be done for {shape:?}");
    let mut killed = BTreeSet::new();
    // What a kill leaves may need steps of its own.
    while let Some(point) = points(&steps_of_up(journey, shape)).find(|point| !killed.contains(point)) {
        dies_at(journey, &up, &point);
        killed.insert(point);
    }
    journey.gaia.run(&up).exits(0);
    let missed: Vec<_> = planned.iter().filter(|point| !killed.contains(*point)).collect();
    assert!(missed.is_empty(), "nobody was killed at {missed:?}");
    let plan = journey.gaia.run(&[&["plan"], shape].concat());
    assert_eq!(plan.code, 0, "{plan:#?}");
    killed
}

/// Where a command may be killed, or fail.
pub(crate) fn points(steps: &[String]) -> impl Iterator<Item = String> {
    let all = |step: &String| ["fails", "before", "after"].map(|moment| format!("{step}:{moment}"));
    steps.iter().flat_map(all).collect::<Vec<_>>().into_iter()
}

pub(crate) fn steps_of_up(journey: &Journey, shape: &[&str]) -> Vec<String> {
    let plan = journey.gaia.run(&[&["plan"], shape, &["--json"]].concat()).json();
    let steps = plan["plan"]["steps"].as_array().unwrap().iter();
    steps.map(|step| step["id"].as_str().unwrap().to_owned()).collect()
}

fn steps_of_destroy(journey: &Journey) -> Vec<String> {
    let home = Home::at(journey.gaia.home()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let observed = runtime.block_on(observe(&home, &GAME.parse().unwrap())).unwrap();
    Plan::destroying(&observed)
        .steps
        .into_iter()
        .map(|step| step.id.0)
        .collect()
}

/// Runs a command that must die, or fail, where it is told to.
pub(crate) fn dies_at(journey: &Journey, arguments: &[&str], point: &str) {
    let output = journey
        .gaia
        .command(arguments)
        .env("GAIA_ABORT_AT", point)
        .output()
        .unwrap();
    if let Some(step) = point.strip_suffix(":fails") {
        let said = Answer::of(output).exits(1).err;
        let is_told = said.contains(&format!("{step} ")) && said.contains("failed to do what a test wants to fail");
        assert!(is_told, "{point}: {said}");
        return;
    }
    assert_eq!(output.status.signal(), Some(9), "it did not die at {point}: {output:?}");
}

/// All runs once, nothing runs that nobody knows of, and somebody answers.
fn converged(journey: &Journey, generation: u64) {
    let status = journey.status(GAME);
    assert_eq!(
        (&status["state"], &status["generation"]),
        (&"running".into(), &generation.into()),
        "{status}"
    );
    journey.until("only what is known runs", |journey| running(journey) == known(journey));
    journey.talks(GAME);
}

/// The processes of the cluster as the system has them, without those that Postgres makes for itself.
fn running(journey: &Journey) -> BTreeSet<i32> {
    let all = left_over(&journey.gaia.home()).into_iter();
    all.filter(|(_, command)| !command.starts_with("postgres: "))
        .map(|(pid, _)| pid)
        .collect()
}

/// The processes of the cluster as `gaia status` has them.
fn known(journey: &Journey) -> BTreeSet<i32> {
    journey.pids(GAME).into_values().collect()
}

/// The cluster's files by their names, without those that the stores make and the logs.
fn files(journey: &Journey) -> BTreeSet<String> {
    let cluster = journey.gaia.home().join("clusters").join(GAME);
    let mut found = BTreeSet::new();
    collect(&cluster, &cluster, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_dir() && name != "postgres/data" && name != "logs" {
            collect(root, &path, found);
        }
        found.insert(name);
    }
}

/// The ports that the cluster has.
fn ports(journey: &Journey) -> BTreeSet<u64> {
    let record = fs::read(journey.gaia.home().join("clusters").join(GAME).join("cluster.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let ports = &record["ports"];
    let all = [&ports["gateway"], &ports["ops"]].map(|some| some.as_object().unwrap().values());
    let ports: BTreeSet<u64> = all
        .into_iter()
        .flatten()
        .chain([&ports["nats"]])
        .map(|port| port.as_u64().unwrap())
        .collect();
    assert_eq!(ports.len(), 5);
    ports
}

fn nothing_is_left(journey: &Journey, ports: &BTreeSet<u64>) {
    let home = journey.gaia.home();
    assert_eq!(left_over(&home), []);
    let left: Vec<_> = fs::read_dir(&home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    for port in ports {
        let port = u16::try_from(*port).unwrap();
        assert!(
            TcpListener::bind(("127.0.0.1", port)).is_ok(),
            "somebody listens on {port}"
        );
    }
}
