//! What somebody has done to a running cluster behind Gaia's back: named by its class, and put right.

use std::{fs, io::Write, process::Stdio};

use serde_json::Value;

use crate::{engine::Engine, journey::Journey};

const GAME: &str = "night-shift";
const FOLDER: &str = "games/night-shift";

/// The drift of a cluster, as `gaia status` and `gaia plan` have it: they must agree.
fn drift(journey: &Journey) -> Vec<(String, String)> {
    let pairs = |all: &Value, what: &str, class: &str| -> Vec<(String, String)> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let all = all.as_array().unwrap().iter();
        all.filter_map(|one| Some((word(&one[what])?, word(&one[class])?)))
            .collect()
    };
    let status = journey.status(GAME);
    let plan = journey.gaia.run(&["plan", FOLDER, "--json"]).json();
    let planned = pairs(&plan["plan"]["steps"], "id", "drift");
    assert_eq!(pairs(&status["drift"], "what", "class"), planned, "{status} {plan}");
    planned
}

fn is_put_right(journey: &Journey) {
    journey.gaia.run(&["up", FOLDER]).exits(0);
    assert_eq!(drift(journey), []);
    journey.talks(GAME);
}

fn drifted<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    let owned = |(what, class): (&str, &str)| (what.to_owned(), class.to_owned());
    expected.map(owned).into()
}

#[test]
fn what_somebody_changes_behind_gaias_back_is_named_and_put_right() {
    let journey = Journey::begin();
    journey.new_game(GAME);
    journey.gaia.run(&["up", FOLDER]).exits(0);
    assert_eq!(drift(&journey), []);
    let settings = journey
        .gaia
        .home()
        .join("clusters")
        .join(GAME)
        .join("services/gateway-1.json");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replacen("600", "601", 1)).unwrap();
    assert_eq!(drift(&journey), drifted([("service:gateway-1", "config")]));
    is_put_right(&journey);

    // What somebody asks for is no drift.
    let plan = journey
        .gaia
        .run(&["plan", FOLDER, "--replicas", "chat=2", "--json"])
        .exits(2)
        .json();
    let steps = plan["plan"]["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["drift"].is_null()), "{plan}");

    // The data goes from under the processes.
    journey.gaia.run(&["down", GAME]).exits(0);
    fs::remove_dir_all(journey.gaia.home().join("clusters").join(GAME).join("postgres/data")).unwrap();
    let expected = ["postgres:data", "postgres:roles", "postgres:migrations"];
    assert_eq!(drift(&journey), drifted(expected.map(|what| (what, "data"))));
    is_put_right(&journey);
    journey.gaia.run(&["destroy", GAME, "--yes"]).exits(0);
}

#[test]
fn what_somebody_changes_in_containers_is_named_by_its_class_and_put_right() {
    let Some(journey) = Journey::begin_in_containers() else {
        return;
    };
    let engine = journey.gaia.engine().unwrap();
    build(engine, "1");
    journey.new_game(GAME);
    let config = journey.gaia.work().join(FOLDER).join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen("gaia.test/nats:2.9", "gaia.test/nats:drift", 1)).unwrap();
    let fit = journey.gaia.run(&["doctor"]).exits(0);
    assert!(
        fit.out.contains("docker engine") && fit.out.contains("docker compose"),
        "{}",
        fit.out
    );
    journey.gaia.run(&["up", FOLDER]).exits(0);
    assert_eq!(drift(&journey), []);

    engine.docker(&["rm", "--force", "gaia-night-shift-auth-1"]);
    assert_eq!(drift(&journey), drifted([("service:auth-1", "missing")]));
    is_put_right(&journey);

    // An image is built anew under the same name.
    build(engine, "2");
    assert_eq!(drift(&journey), drifted([("store:nats", "image")]));
    is_put_right(&journey);

    let file = journey
        .gaia
        .home()
        .join("clusters")
        .join(GAME)
        .join("compose/compose.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "\n# mine\n").unwrap();
    assert_eq!(drift(&journey), drifted([("files", "config")]));
    is_put_right(&journey);

    // A container with the labels of the project that nobody has asked for.
    let owner = engine.docker(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"dev.gaia.owner\"}}",
        "gaia-night-shift-chat-1",
    ]);
    engine.docker(&[
        "create",
        "--label",
        &format!("dev.gaia.owner={}", owner.trim()),
        "--label",
        "com.docker.compose.project=gaia-night-shift",
        "--label",
        "com.docker.compose.service=stranger",
        "gaia.test/nats:2.9",
    ]);
    assert_eq!(drift(&journey), drifted([("service:stranger", "orphan")]));
    is_put_right(&journey);

    // The volume goes, and what it held with it.
    engine.docker(&["rm", "--force", "gaia-night-shift-postgres"]);
    engine.docker(&["volume", "rm", "gaia-night-shift_postgres"]);
    let expected = drifted([("store:postgres", "data"), ("part:setup", "data")]);
    assert_eq!(drift(&journey), expected);
    is_put_right(&journey);

    studio_changes(&journey);
    journey.gaia.run(&["destroy", GAME, "--yes"]).exits(0);
}

/// Builds an image under a name of this test's own, each time another one.
fn build(engine: &Engine, number: &str) {
    let mut child = engine
        .command("docker")
        .args(["build", "--quiet", "--tag", "gaia.test/nats:drift", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let dockerfile = format!("FROM gaia.test/nats:2.9\nLABEL drift={number}\n");
    child.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Another studio is said to be why containers are made anew; the data stays.
fn studio_changes(journey: &Journey) {
    let engine = journey.gaia.engine().unwrap();
    let config = journey.gaia.work().join(FOLDER).join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("studio: night-owl\n{text}")).unwrap();
    let plan = journey.gaia.run(&["plan", FOLDER]).exits(2);
    assert!(
        plan.out.contains("studio") && !plan.out.contains("drift"),
        "{}",
        plan.out
    );
    is_put_right(journey);
    let filter = ["--filter", "label=dev.gaia.studio=night-owl", "--quiet"];
    let labelled = engine.docker(&[&["ps"][..], &filter].concat());
    assert_eq!(labelled.lines().count(), 7, "{labelled}");
}
