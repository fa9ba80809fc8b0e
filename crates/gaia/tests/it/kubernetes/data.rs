//! What a game on Kubernetes keeps, what drifts from what was applied, and how many of it run.

use std::fs;

use gaia_testkube::{ControlPlane, eventually_within};
use serde_json::{Value, json};

use super::{Game, LIMIT, SMALL, with_images};
use crate::steps::dies_at;

/// The drift of a game, as `gaia status` and `gaia plan` have it: they must agree.
fn drift(game: &Game) -> Vec<(String, String)> {
    let pairs = |all: &Value, what: &str, class: &str| -> Vec<(String, String)> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let all = all.as_array().unwrap().iter();
        all.filter_map(|one| Some((word(&one[what])?, word(&one[class])?)))
            .collect()
    };
    let status = game.status();
    let plan = game.run(&["plan", &game.folder(), "--json"]).json();
    let planned = pairs(&plan["plan"]["steps"], "id", "drift");
    assert_eq!(pairs(&status["drift"], "what", "class"), planned, "{status} {plan}");
    planned
}

async fn pods(game: &Game, control_plane: &ControlPlane) -> Vec<String> {
    let path = format!("/api/v1/namespaces/{}/pods", game.namespace());
    let all = control_plane.api().get(&path).await.unwrap();
    // Some may still be on their way out from before.
    let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    let pods = all["items"].as_array().unwrap().iter().filter(stays);
    let mut pods: Vec<_> = pods
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect();
    pods.sort();
    pods
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_on_kubernetes_is_scaled_mended_by_class_and_keeps_its_data_through_a_destroy() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let game = Game::new(control_plane, "night-mail", SMALL);
    let folder = game.folder();
    let plan = game.run(&["plan", &folder]).exits(2);
    assert!(plan.out.lines().last().unwrap().starts_with("about $"), "{}", plan.out);
    game.run(&["up", &folder]).exits(0);
    game.run(&["keys", game.name, "create", "red-lamp"]).exits(0);
    assert_eq!(drift(&game), []);

    by_class(&game, control_plane).await;
    scaled(&game);
    studio_changes(&game, control_plane).await;
    kept(&game, control_plane).await;
    lost(&game, control_plane).await;
    game.run(&["destroy", game.name, "--yes"]).exits(0);
    let fit = game.run(&["doctor"]).exits(0);
    assert!(fit.out.contains("all that a cluster needs"), "{}", fit.out);
    let left = control_plane.kubectl(&["get", "namespace", &game.namespace()]).await;
    assert!(left.unwrap_err().contains("not found"));
}

async fn by_class(game: &Game, control_plane: &ControlPlane) {
    let namespace = game.namespace();
    let kubectl = async |arguments: &[&str]| {
        let arguments = [arguments, &["--namespace", &namespace]].concat();
        control_plane.kubectl(&arguments).await.unwrap()
    };
    kubectl(&["scale", "deployment", "chat", "--replicas=1"]).await;
    kubectl(&["set", "image", "deployment/auth", "auth=gaia.test/gaia:another"]).await;
    kubectl(&["delete", "networkpolicy", "default-deny"]).await;
    kubectl(&["create", "configmap", "stranger"]).await;
    let labels = ["gaia.dev/cluster=night-mail", "app.kubernetes.io/managed-by=gaia"];
    kubectl(&["label", "configmap", "stranger", labels[0], labels[1]]).await;
    let mut found = drift(game);
    found.sort();
    let expected = [
        ("configmap:stranger", "orphan"),
        ("deployment:auth", "image"),
        ("deployment:chat", "scale"),
        ("networkpolicy:default-deny", "missing"),
    ];
    assert_eq!(found, expected.map(|(what, class)| (what.to_owned(), class.to_owned())));
    game.run(&["up", &game.folder()]).exits(0);
    assert_eq!(drift(game), []);
}

fn scaled(game: &Game) {
    let scaled = game.run(&["scale", game.name, "chat=1", "--json"]).exits(0).json();
    assert_eq!(
        (&scaled["replicas"]["chat"], &scaled["asked"]),
        (&1.into(), &json!({ "chat": 1 })),
        "{scaled}"
    );
    game.run(&["plan", &game.folder()]).exits(0);
    let back = game.run(&["scale", game.name, "chat=usual", "--json"]).exits(0).json();
    assert_eq!(back["replicas"]["chat"], 2, "{back}");
    let refused = game.run(&["scale", game.name, "chat=2000"]).exits(64);
    assert!(refused.err.contains("1 to 1000"), "{}", refused.err);
}

/// Another studio is another label, and no pod restarts for it.
async fn studio_changes(game: &Game, control_plane: &ControlPlane) {
    let before = pods(game, control_plane).await;
    let config = game.journey.gaia.work().join(game.folder()).join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    for studio in ["studio: night-owl\n", ""] {
        fs::write(&config, format!("{studio}{text}")).unwrap();
        game.run(&["up", &game.folder()]).exits(0);
        game.run(&["plan", &game.folder()]).exits(0);
        let get = [
            "get",
            "namespace",
            &game.namespace(),
            "--output",
            "jsonpath={.metadata.labels.gaia\\.dev/studio}",
        ];
        let label = control_plane.kubectl(&get).await.unwrap();
        assert_eq!(label.trim(), studio.trim().trim_start_matches("studio: "));
        assert_eq!(pods(game, control_plane).await, before, "pods were made anew");
    }
}

/// A volume goes, and Kubernetes makes an empty one by itself: that is seen, and what must be in it is made.
async fn lost(game: &Game, control_plane: &ControlPlane) {
    let namespace = game.namespace();
    for what in [["pvc", "data-postgres-0"], ["pod", "postgres-0"]] {
        let delete = ["delete", what[0], what[1], "--namespace", &namespace, "--wait=false"];
        control_plane.kubectl(&delete).await.unwrap();
    }
    let found = eventually_within(LIMIT, "the loss is seen", async || {
        let found = game.status()["drift"].as_array().unwrap().clone();
        (found.len() == 2).then_some(found)
    })
    .await;
    let found: Vec<_> = found
        .iter()
        .map(|one| (one["what"].as_str().unwrap(), &one["class"]))
        .collect();
    let data = Value::from("data");
    assert_eq!(found, [("statefulset:postgres", &data), ("job:setup", &data)]);
    game.run(&["up", &game.folder()]).exits(0);
    assert_eq!(drift(game), []);
    game.talks();
}

async fn kept(game: &Game, control_plane: &ControlPlane) {
    let kept = game.run(&["destroy", game.name, "--keep-volumes", "--yes"]).exits(0);
    for said in [
        "PersistentVolumeClaim data-postgres-0",
        "Secret gaia-secrets",
        "ConfigMap gaia-inventory",
    ] {
        assert!(kept.out.contains(said), "{}", kept.out);
    }
    assert_eq!(game.status()["state"], "kept");
    let namespace = game.namespace();
    let all = "deployments,statefulsets,jobs,pods,services,networkpolicies,serviceaccounts,resourcequotas,leases";
    let selector = "gaia.dev/cluster=night-mail";
    let get = [
        "get",
        all,
        "--namespace",
        &namespace,
        "--selector",
        selector,
        "--output",
        "name",
    ];
    assert_eq!(control_plane.kubectl(&get).await.unwrap().trim(), "");
    // Killed at any step, it is ended by the next one of its kind or by an up, and the data is there.
    for points in [
        &[
            "processes:fails",
            "processes:before",
            "processes:after",
            "objects:fails",
        ][..],
        &[
            "objects:before",
            "objects:after",
            "proof:fails",
            "proof:before",
            "proof:after",
        ],
    ] {
        game.run(&["up", &game.folder()]).exits(0);
        let keep = ["destroy", game.name, "--keep-volumes", "--yes"];
        for point in points {
            tokio::task::block_in_place(|| dies_at(&game.journey, &keep, point));
        }
    }
    game.run(&["up", &game.folder()]).exits(0);
    let keys = game.run(&["keys", game.name, "list"]).exits(0);
    assert!(keys.out.contains("red-lamp"), "what the game kept is gone: {keys:#?}");
    game.talks();
}
