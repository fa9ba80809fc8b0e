//! Stores of several nodes, in containers.

use std::collections::BTreeMap;

use crate::{engine::Engine, journey::Journey};

/// Six nodes of Redis and three servers of NATS, small ones.
const NODES: &str = "
replicas: {redis: 3 (cluster mode), nats: 3}
resources:
  redis: {memory: 128Mi, cpu: 100m}
  nats: {memory: 128Mi, cpu: 100m}
";

/// What a node of Redis says of the others, asked as one of them.
pub(crate) const SEEN: &str =
    "{ echo \"AUTH gaia_node $(cat /etc/gaia/node-password)\"; echo CLUSTER NODES; } | redis-cli";

/// The names of Redis' nodes.
fn redis_nodes() -> Vec<String> {
    (1..=6).map(|number| format!("redis-{number}")).collect()
}

fn container(name: &str) -> String {
    format!("gaia-mail-ship-{name}")
}

/// Which nodes have the keys, as one of them sees it.
fn with_keys(engine: &Engine, asked: &str) -> Vec<String> {
    well_with_keys(&engine.docker(&["exec", &container(asked), "sh", "-c", SEEN]))
}

/// The host names of the nodes in what one of them has said, of those that are well and have slots.
pub(crate) fn well_with_keys(said: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, flags) = (words.get(1)?.split(',').nth(1)?, words.get(2)?);
        (words.len() > 8 && flags.contains("master") && !flags.contains("fail")).then(|| name.to_owned())
    });
    lines.collect()
}

/// Whether all of Redis answers auth, and knows who is signed out.
fn is_up(engine: &Engine) -> bool {
    let ask = "exec 3<>/dev/tcp/127.0.0.1/9100; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let said = engine.docker(&["exec", &container("auth-1"), "bash", "-c", ask]);
    let up = said.lines().find(|line| line.starts_with("gaia_auth_redis_up"));
    up.is_some_and(|line| line.ends_with(" 1"))
}

fn addresses(engine: &Engine) -> BTreeMap<String, String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let of = |name: &String| engine.docker(&["inspect", "--format", format, &container(name)]);
    redis_nodes()
        .into_iter()
        .map(|name| (name.clone(), of(&name)))
        .collect()
}

#[test]
fn a_game_in_containers_outlives_the_loss_of_a_node_of_each_store_and_of_all_their_addresses() {
    let Some(journey) = Journey::begin_in_containers() else {
        return;
    };
    let gaia = &journey.gaia;
    let engine = gaia.engine().unwrap();
    let folder = journey.new_game("mail-ship");
    let config = gaia.work().join(&folder).join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + NODES).unwrap();
    gaia.run(&["up", &folder]).exits(0);
    gaia.run(&["plan", &folder]).exits(0);
    assert_eq!(with_keys(engine, "redis-6").len(), 3);
    journey.talks("mail-ship");
    journey.until("auth knows all of Redis", |_| is_up(engine));

    // A node with keys and a server of NATS are lost, and stay away.
    engine.docker(&["kill", &container("redis-1"), &container("nats-1")]);
    journey.talks("mail-ship");
    journey.until("another node has taken over", |_| {
        let with_keys = with_keys(engine, "redis-6");
        with_keys.len() == 3 && !with_keys.contains(&"redis-1".to_owned())
    });
    journey.until("auth knows all of Redis again", |_| is_up(engine));
    journey.talks("mail-ship");
    let plan = gaia.run(&["plan", &folder]).exits(2);
    assert!(
        plan.out.contains("redis-1") && plan.out.contains("nats-1"),
        "{}",
        plan.out
    );
    gaia.run(&["up", &folder]).exits(0);
    gaia.run(&["plan", &folder]).exits(0);

    // All nodes of Redis are lost at once and come back elsewhere.
    let (nodes, before) = (redis_nodes(), addresses(engine));
    let containers: Vec<String> = nodes.iter().map(|name| container(name)).collect();
    let kill: Vec<&str> = ["kill"]
        .into_iter()
        .chain(containers.iter().map(String::as_str))
        .collect();
    engine.docker(&kill);
    journey.talks("mail-ship");
    for name in containers.iter().rev() {
        engine.docker(&["start", name]);
    }
    let moved = addresses(engine)
        .into_iter()
        .filter(|(name, address)| before[name] != *address);
    assert!(moved.count() > 3, "they came back where they were");
    journey.until("they have found each other", |_| {
        with_keys(engine, "redis-6").len() == 3
    });
    journey.until("auth knows all of Redis once more", |_| is_up(engine));
    journey.talks("mail-ship");
    assert_eq!(journey.status("mail-ship")["state"], "running");
    gaia.run(&["destroy", "mail-ship", "--yes"]).exits(0);
    assert_eq!(engine.left_over("mail-ship"), Vec::<String>::new());
}
