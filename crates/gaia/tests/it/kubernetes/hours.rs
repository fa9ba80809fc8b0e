//! Games that close at night, and the ways in from outside.

use gaia_testkube::{ControlPlane, eventually_within};
use serde_json::{Value, json};

use super::{Game, LIMIT, SMALL, with_images};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_closes_and_opens_by_the_clock_and_keeps_what_was_said() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let game = Game::new(control_plane, "night-school", SMALL);
    game.rewrite(
        "infrastructure:\n",
        "infrastructure:\n  off_hours: {from: \"23:30\", until: \"06:30\", timezone: Europe/Berlin}\n",
    );
    game.run(&["up", &game.folder()]).exits(0);
    game.talks();
    let schedule = async |name: &str| {
        let path = format!(
            "/apis/batch/v1/namespaces/{}/cronjobs/off-hours-{name}",
            game.namespace()
        );
        let spec = control_plane.api().get(&path).await.unwrap()["spec"].clone();
        (spec["schedule"].clone(), spec["timeZone"].clone())
    };
    assert_eq!(schedule("begin").await, (json!("30 23 * * *"), json!("Europe/Berlin")));
    assert_eq!(schedule("end").await, (json!("30 6 * * *"), json!("Europe/Berlin")));

    strikes(&game, control_plane, "begin").await;
    has_pods(&game, control_plane, 0).await;
    let status = game.status();
    assert_eq!(status["state"], "closed", "{status}");
    assert!(status["why"][0].as_str().unwrap().contains("06:30"), "{status}");
    // What is asked for at night is there in the morning, and nothing is out of order meanwhile.
    game.run(&["plan", &game.folder()]).exits(0);
    let persona = game.journey.gaia.work().join(game.folder()).join("personas/guide.md");
    let text = std::fs::read_to_string(&persona).unwrap();
    std::fs::write(&persona, text + "\nYou know when the school opens.\n").unwrap();
    game.run(&["up", &game.folder()]).exits(0);
    assert_eq!(game.status()["state"], "closed");

    strikes(&game, control_plane, "end").await;
    has_pods(&game, control_plane, 2).await;
    game.until_running().await;
    game.talks();
    assert_eq!(game.status()["games"][0]["bundle_in_use"], 2);
    game.run(&["plan", &game.folder()]).exits(0);
    // What was stopped is not opened by the clock.
    game.run(&["down", game.name]).exits(0);
    assert_eq!(game.status()["state"], "stopped");
    game.destroyed(control_plane).await;
}

/// Has the clock strike, so to say: makes the job that it would make.
async fn strikes(game: &Game, control_plane: &ControlPlane, name: &str) {
    let (job, from) = (format!("now-{name}"), format!("cronjob/off-hours-{name}"));
    let namespace = game.namespace();
    let create = ["create", "job", &job, "--from", &from, "--namespace", &namespace];
    control_plane.kubectl(&create).await.unwrap();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{job}");
    eventually_within(LIMIT, "the job is done", async || {
        let status = control_plane.api().get(&path).await.unwrap()["status"].clone();
        (status["succeeded"] == 1).then_some(())
    })
    .await;
}

async fn has_pods(game: &Game, control_plane: &ControlPlane, count: u64) {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/chat", game.namespace());
    eventually_within(LIMIT, "chat has as many pods", async || {
        let status = control_plane.api().get(&path).await.unwrap()["status"].clone();
        let ready = status["readyReplicas"].as_u64().unwrap_or(0);
        (ready == count && status["replicas"].as_u64().unwrap_or(0) == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_keda_and_the_gateway_api_are_installed_they_are_used() {
    let control_plane = &ControlPlane::start().await;
    let closing = "horizontalPodAutoscaler: {minReplicas: 2, maxReplicas: 9, targetCPUUtilization: 60%}\n";
    let game = Game::new(control_plane, "by-the-clock", closing);
    game.rewrite(
        "infrastructure:\n",
        "infrastructure:\n  off_hours: {from: \"22:00\", until: \"05:15\"}\n  entrance: {hostname: play.example.org, \
         gateway: {name: public, namespace: gateways}}\n",
    );
    let plan = game.run(&["plan", &game.folder()]).exits(2);
    assert!(plan.err.contains("no Gateway API"), "{}", plan.err);
    assert!(plan.out.contains("cronjob:off-hours-begin") && plan.out.contains("horizontalpodautoscaler:chat"));

    let up = game.run(&["up", &game.folder()]).exits(1);
    assert!(up.err.contains("nothing was touched"), "{}", up.err);

    for definition in gaia_testkube::extra_definitions() {
        let apply = ["apply", "--server-side", "--filename", definition.to_str().unwrap()];
        control_plane.kubectl(&apply).await.unwrap();
    }
    let names = ["httproutes.gateway.networking.k8s.io", "scaledobjects.keda.sh"];
    for name in names {
        let definition = format!("customresourcedefinition/{name}");
        let wait = ["wait", "--for", "condition=established", &definition, "--timeout=30s"];
        control_plane.kubectl(&wait).await.unwrap();
    }
    let plan = game.run(&["plan", &game.folder()]).exits(2);
    assert!(!plan.err.contains("Gateway API"), "{}", plan.err);
    assert!(
        !plan.out.contains("cronjob:") && !plan.out.contains("horizontalpodautoscaler:"),
        "{}",
        plan.out
    );
    let objects = applied(&game, control_plane).await;
    let of_kind = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}"))["spec"].clone()
    };
    let route = of_kind("HTTPRoute");
    assert_eq!(route["hostnames"], json!(["play.example.org"]));
    assert_eq!(route["rules"][0]["backendRefs"][0]["port"], 80);
    let chat = objects
        .iter()
        .find(|one| one["kind"] == "ScaledObject" && one["metadata"]["name"] == "chat");
    let spec = &chat.unwrap()["spec"];
    assert_eq!(
        (&spec["minReplicaCount"], &spec["maxReplicaCount"]),
        (&json!(0), &json!(9))
    );
    assert_eq!(
        spec["triggers"][0]["metadata"],
        json!({ "timezone": "UTC", "start": "15 5 * * *", "end": "0 22 * * *", "desiredReplicas": "2" })
    );
    assert_eq!(spec["triggers"][1]["metadata"]["value"], "60");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_leads_to_the_gateway_where_that_is_what_there_is() {
    let control_plane = ControlPlane::shared().await;
    let game = Game::new(control_plane, "by-ingress", "");
    game.rewrite(
        "infrastructure:\n",
        "infrastructure:\n  entrance: {hostname: play.example.org, ingress: {class: traefik, tls_secret: play-cert}}\n",
    );
    let objects = applied(&game, control_plane).await;
    let ingress = objects.iter().find(|object| object["kind"] == "Ingress").unwrap();
    assert_eq!(ingress["spec"]["tls"][0]["secretName"], "play-cert");
    let delete = ["delete", "namespace", &game.namespace(), "--wait=false"];
    control_plane.kubectl(&delete).await.unwrap();
}

/// Everything that is rendered for a game, as the API server has taken it: strictly, and without a warning.
pub(super) async fn applied(game: &Game, control_plane: &ControlPlane) -> Vec<Value> {
    let mut objects = Vec::new();
    for file in super::files(&game.rendered()) {
        let mut apply = control_plane.kubectl_command();
        apply
            .args([
                "apply",
                "--server-side",
                "--validate=strict",
                "--output=json",
                "--filename",
            ])
            .arg(&file);
        let output = apply.output().await.unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaint.is_empty(),
            "{}: {complaint}",
            file.display()
        );
        objects.push(serde_json::from_slice(&output.stdout).unwrap());
    }
    objects
}
