//! What keeps games in containers apart, and secrets in their place.

use std::process::Stdio;

use serde_json::Value;

use crate::{binary::Answer, engine::Engine, isolation::rotation::killed_at_every_step, journey::Journey};

/// The key of a route, as nobody must ever see it.
const SENTINEL: &str = "sentinel-key-that-nobody-may-see";

/// Whether a container reaches a port.
fn reaches(engine: &Engine, container: &str, host: &str, port: u16) -> bool {
    let attempt = format!("exec 3<>/dev/tcp/{host}/{port}");
    let arguments = ["exec", container, "timeout", "2", "bash", "-c", &attempt];
    let mut command = engine.command("docker");
    let ended = command.args(arguments).stderr(Stdio::null()).status().unwrap();
    ended.success()
}

/// The addresses of a container in its networks.
fn addresses(engine: &Engine, container: &str) -> Vec<String> {
    let inspected: Value = serde_json::from_str(&engine.docker(&["inspect", container])).unwrap();
    let networks = inspected[0]["NetworkSettings"]["Networks"].as_object().unwrap();
    let addresses = networks.values().filter_map(|network| network["IPAddress"].as_str());
    addresses.map(str::to_owned).collect()
}

#[test]
fn two_games_in_containers_do_not_reach_each_other_and_a_key_is_seen_nowhere() {
    let Some(journey) = Journey::begin_in_containers() else {
        return;
    };
    let gaia = &journey.gaia;
    let engine = gaia.engine().unwrap();
    let (night, day) = (journey.new_game("night-ferry"), journey.new_game("day-ferry"));
    let config = gaia.work().join(&night).join("config.yaml");
    let route = "ai_configuration:\n  routes:\n    - {name: away, provider: openai, model: m, \
                 base_url: \"http://127.0.0.1:9/v1\", api_key: \"env:FERRY_KEY\", price: {input: 0.0, output: 0.0}}\n";
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("ai_configuration:\n", route, 1)).unwrap();
    let with_key = |arguments: &[&str]| {
        let output = gaia.command(arguments).env("FERRY_KEY", SENTINEL).output().unwrap();
        Answer::of(output)
    };
    let mut said = Vec::new();
    said.push(with_key(&["plan", &night]).exits(2));
    said.push(with_key(&["up", &night]).exits(0));
    said.push(gaia.run(&["up", &day]).exits(0));

    kept_apart(engine);
    stolen_doors_do_not_open(&journey, engine);

    said.push(with_key(&["plan", &night]).exits(0));
    said.push(with_key(&["render", &night]).exits(0));
    said.push(gaia.run(&["status", "night-ferry", "--json"]).exits(0));
    said.push(gaia.run(&["logs", "night-ferry", "-n", "500"]).exits(0));
    for answer in &said {
        assert!(
            !answer.out.contains(SENTINEL) && !answer.err.contains(SENTINEL),
            "{answer:?}"
        );
    }
    let ids = engine.docker(&["ps", "--quiet"]);
    let inspect: Vec<&str> = ["inspect"].into_iter().chain(ids.lines()).collect();
    assert!(
        !engine.docker(&inspect).contains(SENTINEL),
        "an environment or an argument shows the key"
    );
    let seen = with_key(&["render", &night, "--with-secrets"]).exits(0);
    assert!(seen.out.contains(SENTINEL), "who asks for secrets gets them");
    for game in ["night-ferry", "day-ferry"] {
        gaia.run(&["destroy", game, "--yes"]).exits(0);
        assert_eq!(engine.left_over(game), Vec::<String>::new());
    }
}

/// From the chat of `day-ferry`, nothing of `night-ferry` can be reached.
fn kept_apart(engine: &Engine) {
    let parts = [
        ("postgres", 5432),
        ("redis", 6379),
        ("nats", 4222),
        ("inference", 7411),
        ("chat-1", 9100),
        ("gateway-1", 9100),
    ];
    for (part, port) in parts {
        for address in addresses(engine, &format!("gaia-night-ferry-{part}")) {
            assert!(
                !reaches(engine, "gaia-day-ferry-chat-1", &address, port),
                "the chat of one game reaches {part} of the other at {address}:{port}"
            );
        }
    }
    // The same attempt succeeds where it may, so that it proves something where it may not.
    assert!(reaches(engine, "gaia-day-ferry-chat-1", "postgres", 5432));
    assert!(!reaches(engine, "gaia-day-ferry-auth-1", "198.51.100.1", 443));
    let published: Vec<String> = engine
        .docker(&["ps", "--format", "{{.Ports}}"])
        .lines()
        .map(str::to_owned)
        .collect();
    let published = published.iter().filter(|ports| ports.contains("->"));
    assert!(
        published.clone().all(|ports| ports.starts_with("127.0.0.1:")),
        "{published:?}"
    );
}

/// What one part of a game is told about a store: its user and password.
fn access(journey: &Journey, game: &str, store: &str) -> (String, String) {
    let file = journey
        .gaia
        .home()
        .join("clusters")
        .join(game)
        .join("compose/files/chat/settings.json");
    let settings: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let access = &settings["games"][0][store];
    let word = |key: &str| access[key].as_str().unwrap().to_owned();
    (word("user"), word("password"))
}

/// Somebody has got into a container of `day-ferry` and from there into the network of `night-ferry`: what opens the
/// stores of the one opens none of the other.
fn stolen_doors_do_not_open(journey: &Journey, engine: &Engine) {
    let network = "gaia-night-ferry_inside";
    for container in ["gaia-day-ferry-postgres", "gaia-day-ferry-redis"] {
        engine.docker(&["network", "connect", network, container]);
    }
    let opens = |store: &str, user: &str, password: &str| {
        let address = addresses(engine, &format!("gaia-night-ferry-{store}")).remove(0);
        opens(engine, "day-ferry", (store, &address), (user, password))
    };
    for store in ["postgres", "redis", "nats"] {
        let (ours, theirs) = (
            access(journey, "day-ferry", store),
            access(journey, "night-ferry", store),
        );
        assert!(
            !opens(store, &ours.0, &ours.1),
            "{store}: the other game's user is known"
        );
        assert!(
            !opens(store, &theirs.0, &ours.1),
            "{store}: the other game's password opens"
        );
        assert!(!opens(store, &theirs.0, "postgres"), "{store}: anything opens");
        // So that a refusal above is not because nobody is there.
        assert!(opens(store, &theirs.0, &theirs.1), "{store}: its own does not open");
    }
    for container in ["gaia-day-ferry-postgres", "gaia-day-ferry-redis"] {
        engine.docker(&["network", "disconnect", network, container]);
    }
}

/// Whether a store at an address lets somebody in who is in the containers of a game.
fn opens(engine: &Engine, inside: &str, (store, address): (&str, &str), (user, password): (&str, &str)) -> bool {
    let (from, attempt) = match store {
        "postgres" => (
            "postgres",
            "PGPASSWORD=$2 psql -h $0 -U $1 -d gaia -tAc 'select 1' | grep -qx 1",
        ),
        "redis" => (
            "redis",
            "printf 'AUTH %s %s\\nPING\\n' $1 $2 | redis-cli -h $0 | grep -qx PONG",
        ),
        _ => ("postgres", NATS),
    };
    let container = format!("gaia-{inside}-{from}");
    let arguments = [
        "exec", &container, "timeout", "5", "bash", "-c", attempt, address, user, password,
    ];
    let mut command = engine.command("docker");
    let quiet = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().unwrap().success()
}

/// Signs in to NATS by hand, since no image has a client.
const NATS: &str = r#"exec 3<>/dev/tcp/$0/4222
printf 'CONNECT {"user":"%s","pass":"%s","verbose":false}\r\nPING\r\n' $1 $2 >&3
while read -r -t 3 line <&3; do
  case $line in PONG*) exit 0 ;; -ERR*) exit 1 ;; esac
done
exit 1"#;

#[test]
fn secrets_in_containers_are_replaced_while_the_stores_go_on_wherever_that_is_killed() {
    let Some(journey) = Journey::begin_in_containers() else {
        return;
    };
    let engine = journey.gaia.engine().unwrap();
    let game = "night-purse";
    let folder = journey.new_game(game);
    journey.gaia.run(&["up", &folder]).exits(0);
    journey.talks(game);
    let stores = || {
        let mut pids = engine.pids(game);
        pids.retain(|name, _| ["postgres", "redis", "nats"].contains(&name.as_str()));
        pids
    };
    let held = |store| access(&journey, game, store);
    let opens = |store, (user, password): &(String, String)| opens(engine, game, (store, store), (user, password));
    let (before, running) = (
        ["postgres", "redis", "nats"].map(|store| (store, held(store))),
        stores(),
    );
    let file = journey.gaia.home().join("clusters").join(game).join("secrets.json");
    let secrets = || serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    killed_at_every_step(&journey, game, &secrets, &|| {});
    journey.talks(game);
    assert_eq!(stores(), running, "a store was started again");
    for (store, former) in before {
        assert!(!opens(store, &former), "{store} lets former ones in");
        assert!(opens(store, &held(store)), "{store}: the new ones do not open");
    }
    journey.gaia.run(&["destroy", game, "--yes"]).exits(0);
}

#[test]
fn an_image_that_is_not_there_is_said_before_and_when_it_fails() {
    let Some(journey) = Journey::begin_in_containers() else {
        return;
    };
    let gaia = &journey.gaia;
    let folder = journey.new_game("no-image");
    let config = gaia.work().join(&folder).join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replacen("gaia.test/nats:2.9", "gaia.test/nobody-has-this:1", 1),
    )
    .unwrap();
    let plan = gaia.run(&["plan", &folder]).exits(2);
    assert!(plan.err.contains("gaia.test/nobody-has-this:1"), "{}", plan.err);
    let up = gaia.run(&["up", &folder]).exits(1);
    assert!(
        up.err.contains("nobody-has-this") && up.err.contains("not started: "),
        "{}",
        up.err
    );
    gaia.run(&["destroy", "no-image", "--yes"]).exits(0);
}
