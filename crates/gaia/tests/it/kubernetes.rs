//! A game in a namespace of a real Kubernetes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use gaia_testkube::{Cluster, ControlPlane, eventually_within};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    binary::{Answer, Gaia},
    engine::{Engine, IMAGES},
    nodes::{SEEN, well_with_keys},
};

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(120);
/// So small that all of it fits on two nodes of two cores.
const SMALL: &str = "
replicas: {gateway: 2, auth: 1, chat: 2}
resources:
  gateway: {memory: 128Mi, cpu: 50m}
  auth: {memory: 128Mi, cpu: 50m}
  chat: {memory: 256Mi, cpu: 50m}
  postgres: {memory: 512Mi, cpu: 100m}
  redis: {memory: 256Mi, cpu: 50m}
  nats: {memory: 256Mi, cpu: 50m}
";

/// A game of a test's own, and the cluster of Kubernetes that it is to run in.
struct Game {
    gaia: Gaia,
    kubeconfig: PathBuf,
    name: &'static str,
}

impl Game {
    fn new(control_plane: &ControlPlane, name: &'static str, more: &str) -> Self {
        let game = Self {
            gaia: Gaia::new(),
            kubeconfig: control_plane.kubeconfig().to_owned(),
            name,
        };
        game.gaia.run(&["new", name]).exits(0);
        let config = game.gaia.work().join(game.folder()).join("config.yaml");
        let text = fs::read_to_string(&config)
            .unwrap()
            .replacen("infrastructure:\n", IMAGES, 1);
        fs::write(&config, text + more).unwrap();
        game
    }

    fn folder(&self) -> String {
        format!("games/{}", self.name)
    }

    fn namespace(&self) -> String {
        format!("gaia-{}", self.name)
    }

    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        let mut command = self.gaia.command(arguments);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("GAIA_TARGET", "kubernetes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // What the nodes are made of goes on meanwhile.
        tokio::task::block_in_place(|| {
            let mut child = command.spawn().unwrap();
            let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
            Answer::of(child.wait_with_output().unwrap())
        })
    }

    /// All manifests, secrets too, in a folder.
    fn rendered(&self) -> PathBuf {
        let folder = self.gaia.work().join("manifests");
        let into = folder.to_str().unwrap();
        let render = ["render", &self.folder(), "--into", into, "--with-secrets"];
        self.run(&render).exits(0);
        folder
    }

    fn status(&self) -> Value {
        self.run(&["status", self.name, "--json"]).exits(0).json()
    }

    fn talks(&self) {
        let answer = self.run_with(&["play", self.name], "Hello!\n").exits(0);
        assert_eq!(answer.out.lines().count(), 1, "{answer:#?}");
    }

    async fn until_running(&self) {
        let began = Instant::now();
        loop {
            let status = self.status();
            if status["state"] == "running" {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{status}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        if self.gaia.home().join("clusters").join(self.name).exists() {
            let answer = self.run(&["destroy", self.name, "--yes"]);
            eprintln!("destroyed {} after a failure: {answer:#?}", self.name);
        }
    }
}

/// Puts the images on the nodes, once.
async fn with_images() -> Option<&'static Cluster> {
    static LOADED: OnceCell<()> = OnceCell::const_new();
    let cluster = Cluster::shared().await?;
    let engine = tokio::task::block_in_place(Engine::shared)?;
    let load = async || {
        let folder = tempfile::tempdir().unwrap();
        for image in ["gaia:0.1.0", "postgres:15", "redis:7.0", "nats:2.9"] {
            let tar = folder.path().join("image.tar");
            let image = format!("gaia.test/{image}");
            tokio::task::block_in_place(|| engine.docker(&["save", "--output", tar.to_str().unwrap(), &image]));
            cluster.load_image(&tar).await;
        }
    };
    LOADED.get_or_init(load).await;
    Some(cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_becomes_a_game_on_kubernetes_that_outlives_its_pods_and_leaves_nothing() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let game = Game::new(control_plane, "night-bus", SMALL);
    let folder = game.folder();

    let plan = game.run(&["plan", &folder, "--json"]).exits(2).json();
    assert_eq!(plan["has_changes"], true, "{plan}");
    let up = game.run(&["up", &folder, "--json"]).exits(0).json();
    assert_eq!(
        (&up["changed"], &up["state"]),
        (&true.into(), &"running".into()),
        "{up}"
    );
    game.run(&["plan", &folder]).exits(0);
    assert_eq!(game.status()["games"][0]["answers_by"], "offline");
    game.talks();

    pods_die(&game, control_plane).await;
    somebody_meddles(&game, control_plane).await;
    stopped_and_brought_back(&game);

    let answer = game.run(&["destroy", game.name]).exits(64);
    assert!(answer.err.contains("--yes"), "{}", answer.err);
    game.run(&["destroy", game.name, "--yes"]).exits(0);
    let left = control_plane.kubectl(&["get", "namespace", &game.namespace()]).await;
    assert!(left.unwrap_err().contains("not found"));
    assert!(!game.gaia.home().join("clusters").join(game.name).exists());
}

/// Each part in turn loses all its pods, at once and without a word.
async fn pods_die(game: &Game, control_plane: &ControlPlane) {
    let namespace = game.namespace();
    for part in ["chat", "auth", "redis", "nats", "inference", "postgres", "gateway"] {
        let label = format!("app.kubernetes.io/name={part}");
        let delete = ["delete", "pods", "--namespace", &namespace, "--selector", &label];
        let at_once = ["--grace-period=0", "--force"];
        control_plane.kubectl(&[&delete[..], &at_once].concat()).await.unwrap();
        game.until_running().await;
        game.talks();
    }
    let said = game.run_with(&["play", game.name, "--echo"], "Still there?\n").exits(0);
    assert!(said.out.starts_with("> Still there?\n"), "{}", said.out);
}

/// Somebody deletes and changes objects by hand: the plan says which and puts them right.
async fn somebody_meddles(game: &Game, control_plane: &ControlPlane) {
    let namespace = game.namespace();
    let kubectl = async |arguments: &[&str]| {
        let arguments = [arguments, &["--namespace", &namespace]].concat();
        control_plane.kubectl(&arguments).await.unwrap()
    };
    kubectl(&["delete", "networkpolicy", "default-deny"]).await;
    kubectl(&[
        "label",
        "secret",
        "chat-files",
        "app.kubernetes.io/version=0",
        "--overwrite",
    ])
    .await;
    let plan = game.run(&["plan", &game.folder(), "--json"]).exits(2).json();
    let steps = plan["plan"]["steps"].as_array().unwrap();
    let said: Vec<_> = steps
        .iter()
        .map(|step| (step["id"].as_str().unwrap(), step["why"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("networkpolicy:default-deny", "somebody has deleted it"),
            (
                "secret:chat-files",
                "somebody has changed `metadata.labels.app.kubernetes.io/version`"
            ),
        ]
    );
    game.run(&["up", &game.folder()]).exits(0);
    game.run(&["plan", &game.folder()]).exits(0);
}

fn stopped_and_brought_back(game: &Game) {
    game.run(&["restart", game.name, "chat"]).exits(0);
    assert!(
        game.run(&["logs", game.name, "chat"])
            .exits(0)
            .out
            .contains("chat is up")
    );
    game.run(&["logs", game.name, "world"]).exits(64);
    game.run(&["down", game.name]).exits(0);
    assert_eq!(game.status()["state"], "stopped");
    game.run(&["up", &game.folder()]).exits(0);
    game.talks();
    let said = game.run_with(&["play", game.name], "/quit\n");
    assert!(said.code == 0, "{said:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_store_find_each_other_wherever_their_pods_are() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let clusters = SMALL.replace("chat: 2}", "chat: 1, redis: 3 (cluster mode), nats: 3}");
    let game = Game::new(control_plane, "mail-van", &clusters);
    game.run(&["up", &game.folder()]).exits(0);
    game.run(&["plan", &game.folder()]).exits(0);
    game.talks();
    let namespace = game.namespace();
    let ask = ["exec", "--namespace", &namespace, "redis-5", "--", "sh", "-c", SEEN];
    // Where they are, and how many have keys and are well.
    let seen = async || control_plane.kubectl(&ask).await.unwrap_or_default();
    let addresses = |said: &str| -> Vec<String> {
        let mut all: Vec<_> = said
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .map(str::to_owned)
            .collect();
        all.sort();
        all
    };
    let before = seen().await;
    assert_eq!(
        (addresses(&before).len(), well_with_keys(&before).len()),
        (6, 3),
        "{before}"
    );
    for part in ["redis", "nats"] {
        let label = format!("app.kubernetes.io/name={part}");
        let delete = ["delete", "pods", "--namespace", &namespace, "--selector", &label];
        let at_once = ["--grace-period=0", "--force"];
        control_plane.kubectl(&[&delete[..], &at_once].concat()).await.unwrap();
        game.until_running().await;
        game.talks();
    }
    eventually_within(
        LIMIT,
        "the nodes of Redis have found each other elsewhere",
        async || {
            let now = seen().await;
            let is_elsewhere = addresses(&now) != addresses(&before);
            (is_elsewhere && now.matches(" connected").count() == 6 && well_with_keys(&now).len() == 3).then_some(())
        },
    )
    .await;
    game.talks();
    game.run(&["destroy", game.name, "--yes"]).exits(0);
}

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
        let config = game.gaia.work().join(game.folder()).join("config.yaml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(
            &config,
            text.replace("cluster_size: small", &format!("cluster_size: {size}")),
        )
        .unwrap();
        let folder = game.gaia.work().join(name);
        let into = folder.to_str().unwrap();
        game.run(&["render", &game.folder(), "--into", into, "--with-secrets"])
            .exits(0);
        let mut applied = 0;
        for file in files(&folder) {
            let mut apply = control_plane.kubectl_command();
            apply
                .args(["apply", "--server-side", "--validate=strict", "--filename"])
                .arg(&file);
            let output = apply.output().await.unwrap();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && complaint.is_empty(),
                "{}: {complaint}",
                file.display()
            );
            applied += 1;
        }
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
    game.kubeconfig = control_plane.kubeconfig_of("passer-by", None);
    let answer = game.run(&["plan", &game.folder()]).exits(1);
    assert!(
        answer.err.contains("passer-by") && answer.err.contains("namespaces"),
        "{}",
        answer.err
    );
    // No such context, and nobody there.
    let answer = game.run(&["plan", &game.folder(), "--context", "elsewhere"]).exits(1);
    assert!(answer.err.contains("elsewhere"), "{}", answer.err);
    let nobody = game.gaia.write("nobody.yaml", NOBODY);
    game.kubeconfig = nobody;
    let answer = game.run(&["plan", &game.folder()]).exits(1);
    assert!(
        answer.err.contains("127.0.0.1:1") && answer.err.contains("does not answer"),
        "{}",
        answer.err
    );
    // Nothing of the kind has left a trace on this machine.
    assert!(!game.gaia.home().join("clusters/not-to-be").exists());
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

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
