//! Commands that die, nodes that are lost, and updates: with a game on them, and players in it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use gaia_testkit::Visitor;
use gaia_testkube::{Cluster, ControlPlane, eventually_within};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Game, LIMIT, SMALL, load_images, with_images};
use crate::{
    engine::Engine,
    kills::{CLIENTS, compare, talk},
    steps::{GAME, destroy_dies_at_each, killed_at_every_step},
};

/// So that nobody is sent away for talking too much.
const TALKATIVE: &str = "limits: {requests_per_minute: 1000000, sign_ins_per_minute: 1000000}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_on_kubernetes_is_whole_after_an_up_and_gone_after_a_destroy_that_were_killed_at_every_step() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let game = Game::new(control_plane, GAME, SMALL);
    let killed = tokio::task::block_in_place(|| killed_at_every_step(&game.journey, &[&game.folder()]));
    assert!(killed.len() >= 80, "{killed:?}");
    assert_eq!(game.status()["state"], "running");
    game.talks();
    assert_eq!(
        made(&game, control_plane).await,
        planned(&game),
        "something is missing, or nobody's"
    );
    for steps in [&["namespace", "folder"][..], &["proof"]] {
        game.run(&["up", &game.folder()]).exits(0);
        tokio::task::block_in_place(|| destroy_dies_at_each(&game.journey, steps));
        let left = control_plane.kubectl(&["get", "namespace", &game.namespace()]).await;
        assert!(left.unwrap_err().contains("not found"));
    }
}

/// What a game is made of, as kubectl calls it.
const KINDS: [&str; 10] = [
    "deployment",
    "job",
    "limitrange",
    "networkpolicy",
    "poddisruptionbudget",
    "resourcequota",
    "secret",
    "service",
    "serviceaccount",
    "statefulset",
];

/// What is labelled as the game's, by kind and name, but for its memory of its secrets.
async fn made(game: &Game, control_plane: &ControlPlane) -> BTreeSet<String> {
    let (kinds, label) = (KINDS.join(","), format!("gaia.dev/cluster={}", game.name));
    let namespace = game.namespace();
    let get = [
        "get",
        &kinds,
        "--namespace",
        &namespace,
        "--selector",
        &label,
        "--output",
        "name",
    ];
    let names = control_plane.kubectl(&get).await.unwrap();
    // `deployment.apps/chat`
    let plain = |name: &str| {
        let (kind, name) = name.split_once('/').unwrap();
        format!("{}/{name}", kind.split('.').next().unwrap())
    };
    names
        .lines()
        .map(plain)
        .filter(|name| name != "secret/gaia-secrets")
        .collect()
}

/// The same of what was rendered.
fn planned(game: &Game) -> BTreeSet<String> {
    let files = super::files(&game.rendered());
    let names = files.iter().filter_map(|file| {
        // `07-networkpolicy-default-deny.yaml`
        let name = file.file_stem()?.to_str()?.split_once('-')?.1;
        let (kind, name) = name.split_once('-')?;
        KINDS.contains(&kind).then(|| format!("{kind}/{name}"))
    });
    names.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_and_the_loss_of_a_node_without_stores_lose_no_acknowledged_turn() {
    let Some(engine) = tokio::task::block_in_place(Engine::shared) else {
        return;
    };
    let Some(cluster) = Cluster::start(2).await else { return };
    load_images(&cluster, engine).await;
    let control_plane = &cluster.control_plane;
    let game = Game::new(control_plane, "night-tram", &format!("{SMALL}{TALKATIVE}"));
    // Whatever has to do with stores comes to the other node.
    control_plane.kubectl(&["cordon", "node-1"]).await.unwrap();
    game.run(&["up", &game.folder()]).exits(0);
    control_plane.kubectl(&["uncordon", "node-1"]).await.unwrap();

    let gateway = format!("http://{}", address_of(&game, control_plane).await);
    let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let visitor = Visitor::enter(&gateway).await;
        let conversation = visitor.start_conversation("guide").await;
        let (over, acknowledged) = (Arc::clone(&over), Arc::clone(&acknowledged));
        // Tasks of their own, so that they talk while a command of the operator's keeps this one.
        clients.spawn(async move { talk(visitor, conversation, &over, &acknowledged).await });
    }
    let goes_on = async |what: &str| {
        let before = acknowledged.load(Ordering::SeqCst);
        eventually_within(LIMIT, what, async || {
            (acknowledged.load(Ordering::SeqCst) >= before + CLIENTS).then_some(())
        })
        .await;
    };
    goes_on("turns are taken").await;
    // Each pod of each service is replaced, and the new ones spread over both nodes.
    for service in [
        "gateway: {memory: 128Mi",
        "auth: {memory: 128Mi",
        "chat: {memory: 256Mi",
    ] {
        game.rewrite(&format!("{service}, cpu: 50m"), &format!("{service}, cpu: 55m"));
    }
    game.run(&["up", &game.folder()]).exits(0);
    goes_on("turns are taken after an update").await;
    game.run(&["secrets", game.name, "rotate"]).exits(0);
    goes_on("turns are taken with other secrets").await;
    let lost = pods_on(&game, control_plane, "node-1").await;
    assert!(
        lost.iter().any(|pod| pod.starts_with("gateway")) && lost.iter().any(|pod| pod.starts_with("chat")),
        "{lost:?}"
    );
    cluster.kill_node(1);
    goes_on("turns are taken after a node is lost").await;
    game.until_running().await;
    goes_on("turns are taken when all is well again").await;
    over.store(true, Ordering::SeqCst);
    for (visitor, conversation, ledger) in clients.join_all().await {
        compare(&visitor, &conversation, &ledger).await;
    }
    cluster.start_node(1).await;
    game.destroyed(control_plane).await;
}

/// Where the game's players are taken in.
async fn address_of(game: &Game, control_plane: &ControlPlane) -> String {
    let path = format!("/api/v1/namespaces/{}/services/gateway", game.namespace());
    let service = control_plane.api().get(&path).await.unwrap();
    service["spec"]["clusterIP"].as_str().unwrap().to_owned()
}

/// The pods of a game that run on a node.
async fn pods_on(game: &Game, control_plane: &ControlPlane, node: &str) -> Vec<String> {
    let path = format!("/api/v1/namespaces/{}/pods", game.namespace());
    let pods = control_plane.api().get(&path).await.unwrap();
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    let runs = |pod: &&Value| pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null();
    pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(runs)
        .map(name)
        .collect()
}
