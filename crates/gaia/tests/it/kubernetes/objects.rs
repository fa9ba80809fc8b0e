//! What is made for a game on Kubernetes, and what keeps it from being made.

use gaia_testkube::{ControlPlane, eventually_within};

use super::{Game, LIMIT, files, hours::applied};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_manifest_is_accepted_strictly_and_without_a_warning() {
    let control_plane = ControlPlane::shared().await;
    let scaled = "
horizontalPodAutoscaler: {minReplicas: 1, maxReplicas: 50, targetCPUUtilization: 70%}
";
    for (name, size, more) in [
        ("sized-as-usual", "small", ""),
        ("scaled-by-load", "small", scaled),
        ("of-medium-size", "medium", ""),
        ("of-large-size", "large", ""),
    ] {
        let game = Game::new(control_plane, name, more);
        if size != "small" {
            game.rewrite("cluster_size: small", &format!("cluster_size: {size}"));
        }
        let applied = applied(&game, control_plane).await.len();
        assert!(applied > 35, "only {applied} manifests");
        control_plane
            .kubectl(&["delete", "namespace", &game.namespace(), "--wait=false"])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_scales_a_game_up_and_down() {
    let control_plane = ControlPlane::shared().await;
    control_plane.paper_nodes(3).await;
    let metrics = control_plane.pod_metrics().await;
    let scaled = "
horizontalPodAutoscaler: {minReplicas: 1, maxReplicas: 4, targetCPUUtilization: 70%}
";
    let game = Game::new(control_plane, "by-load", scaled);
    for file in files(&game.rendered()) {
        let file = file.to_str().unwrap();
        control_plane
            .kubectl(&["apply", "--server-side", "--filename", file])
            .await
            .unwrap();
    }
    let namespace = game.namespace();
    let chat = format!("/apis/apps/v1/namespaces/{namespace}/deployments/chat");
    let scales_to = async |count: u64| {
        let what = format!("chat has {count} pods");
        eventually_within(LIMIT, &what, async || {
            let status = control_plane.api().get(&chat).await.unwrap()["status"].clone();
            (status["readyReplicas"] == count && status["replicas"] == count).then_some(())
        })
        .await;
    };
    // What a pod of a small game asks for is 500m.
    metrics.set_cpu(&namespace, "chat", 900);
    scales_to(4).await;
    metrics.set_cpu(&namespace, "chat", 10);
    scales_to(1).await;
    let delete = ["delete", "namespace", &namespace, "--wait=false"];
    control_plane.kubectl(&delete).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_game_from_a_cluster_is_said_before_anything_is_made() {
    let control_plane = ControlPlane::shared().await;
    let mut game = Game::new(control_plane, "not-to-be", "");
    // A namespace of somebody else's.
    control_plane
        .kubectl(&["create", "namespace", &game.namespace()])
        .await
        .unwrap();
    let answer = game.run(&["up", &game.folder()]).exits(1);
    assert!(
        answer.err.contains("gaia-not-to-be") && answer.err.contains("not made by this Gaia"),
        "{}",
        answer.err
    );
    // Somebody who may do nothing.
    game.journey
        .gaia
        .set_kubeconfig(control_plane.kubeconfig_of("passer-by", None));
    let answer = game.run(&["plan", &game.folder()]).exits(1);
    assert!(
        answer.err.contains("passer-by") && answer.err.contains("namespaces"),
        "{}",
        answer.err
    );
    let unfit = game.run(&["doctor"]).exits(1);
    assert!(unfit.out.contains("create namespaces"), "{}", unfit.out);
    // No such context, and nobody there.
    let answer = game.run(&["plan", &game.folder(), "--context", "elsewhere"]).exits(1);
    assert!(answer.err.contains("elsewhere"), "{}", answer.err);
    let nobody = game.journey.gaia.write("nobody.yaml", NOBODY);
    game.journey.gaia.set_kubeconfig(nobody);
    let answer = game.run(&["plan", &game.folder()]).exits(1);
    assert!(
        answer.err.contains("127.0.0.1:1") && answer.err.contains("does not answer"),
        "{}",
        answer.err
    );
    // Nothing of the kind has left a trace on this machine.
    assert!(!game.journey.gaia.home().join("clusters/not-to-be").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_too_small_is_said_before_anything_is_made_in_it() {
    let control_plane = ControlPlane::shared().await;
    let game = Game::new(control_plane, "cramped", "");
    let namespace = game.namespace();
    let kubectl = async |arguments: &[&str]| control_plane.kubectl(arguments).await.unwrap();
    kubectl(&["create", "namespace", &namespace]).await;
    kubectl(&["label", "namespace", &namespace, "gaia.dev/cluster=cramped"]).await;
    let hard = "--hard=pods=100,requests.memory=1Gi,requests.storage=5Gi";
    kubectl(&["create", "quota", "of-the-house", hard, "--namespace", &namespace]).await;
    let plan = game.run(&["plan", &game.folder()]).exits(2);
    for what in ["1Gi of `requests.memory`", "5Gi of `requests.storage`"] {
        let said = format!("the quota `of-the-house` allows {what}");
        assert!(plan.err.contains(&said), "{}", plan.err);
    }
    assert!(!plan.err.contains("`pods`"), "{}", plan.err);
    let up = game.run(&["up", &game.folder()]).exits(1);
    assert!(
        up.err.contains("nothing was touched") && up.err.contains("of-the-house"),
        "{}",
        up.err
    );
    let made = kubectl(&[
        "get",
        "secrets,services,deployments",
        "--namespace",
        &namespace,
        "--output",
        "name",
    ])
    .await;
    assert_eq!(made, "");
    kubectl(&["delete", "namespace", &namespace, "--wait=false"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_half_deleted_goes_first() {
    let control_plane = ControlPlane::shared().await;
    let game = Game::new(control_plane, "half-gone", "");
    for file in files(&game.rendered()) {
        let apply = ["apply", "--server-side", "--filename", file.to_str().unwrap()];
        control_plane.kubectl(&apply).await.unwrap();
    }
    let namespace = game.namespace();
    let held = [
        "patch",
        "secret",
        "game-config",
        "--namespace",
        &namespace,
        "--type=merge",
    ];
    let by = |finalizers: &str| format!("--patch={{\"metadata\":{{\"finalizers\":{finalizers}}}}}");
    let hold = async |finalizers: &str| {
        let patch = by(finalizers);
        control_plane.kubectl(&[&held[..], &[&patch]].concat()).await.unwrap();
    };
    hold("[\"example.org/held\"]").await;
    let delete = ["delete", "namespace", &namespace, "--wait=false"];
    control_plane.kubectl(&delete).await.unwrap();
    let plan = game.run(&["plan", &game.folder()]).exits(2);
    let first = plan.out.lines().nth(1).unwrap();
    assert!(
        first.contains("leftovers") && first.contains("goes first"),
        "{}",
        plan.out
    );
    assert!(plan.out.contains(&format!("namespace:{namespace}")), "{}", plan.out);
    hold("[]").await;
    game.run(&["destroy", game.name, "--yes"]).exits(0);
    assert!(control_plane.kubectl(&["get", "namespace", &namespace]).await.is_err());
}

/// A kubeconfig that leads to a port where nobody listens.
const NOBODY: &str = "
apiVersion: v1
kind: Config
current-context: nobody
clusters: [{name: nobody, cluster: {server: \"https://127.0.0.1:1\"}}]
contexts: [{name: nobody, context: {cluster: nobody, user: nobody}}]
users: [{name: nobody, user: {token: none}}]
";
