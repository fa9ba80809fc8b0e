//! A game in a namespace of a real Kubernetes.

mod apart;
mod data;
mod hours;
mod losses;
mod nodes;
mod objects;
mod rotation;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use gaia_testkube::{Cluster, ControlPlane, eventually_within};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{binary::Answer, engine::Engine, journey::Journey};

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

/// A game of a test's own, on a cluster of Kubernetes.
struct Game {
    journey: Journey,
    name: &'static str,
}

impl Game {
    fn new(control_plane: &ControlPlane, name: &'static str, more: &str) -> Self {
        let journey = Journey::on_kubernetes(control_plane.kubeconfig());
        let folder = tokio::task::block_in_place(|| journey.new_game(name));
        let config = journey.gaia.work().join(folder).join("config.yaml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text + more).unwrap();
        Self { journey, name }
    }

    fn folder(&self) -> String {
        format!("games/{}", self.name)
    }

    fn namespace(&self) -> String {
        format!("gaia-{}", self.name)
    }

    /// Writes something else in its config.
    fn rewrite(&self, from: &str, to: &str) {
        let config = self.journey.gaia.work().join(self.folder()).join("config.yaml");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&config, text.replacen(from, to, 1)).unwrap();
    }

    /// Runs a command to its end. What the nodes are made of goes on meanwhile.
    fn run(&self, arguments: &[&str]) -> Answer {
        tokio::task::block_in_place(|| self.journey.gaia.run(arguments))
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        tokio::task::block_in_place(|| self.journey.gaia.run_with(arguments, input))
    }

    /// All manifests, secrets too, in a folder.
    fn rendered(&self) -> PathBuf {
        let folder = self.journey.gaia.work().join("manifests");
        let into = folder.to_str().unwrap();
        let render = ["render", &self.folder(), "--into", into, "--with-secrets"];
        self.run(&render).exits(0);
        folder
    }

    fn status(&self) -> Value {
        tokio::task::block_in_place(|| self.journey.status(self.name))
    }

    fn talks(&self) {
        tokio::task::block_in_place(|| self.journey.talks(self.name));
    }

    async fn until_running(&self) {
        eventually_within(LIMIT, "the game runs", async || {
            (self.status()["state"] == "running").then_some(())
        })
        .await;
    }

    /// Ends it and sees that nothing is left.
    async fn destroyed(&self, control_plane: &ControlPlane) {
        self.run(&["destroy", self.name, "--yes"]).exits(0);
        let left = control_plane.kubectl(&["get", "namespace", &self.namespace()]).await;
        assert!(left.unwrap_err().contains("not found"));
        assert!(!self.journey.gaia.home().join("clusters").join(self.name).exists());
    }
}

/// The cluster that the tests of this process share, with the images on its nodes.
async fn with_images() -> Option<&'static Cluster> {
    static LOADED: OnceCell<()> = OnceCell::const_new();
    let cluster = Cluster::shared().await?;
    let engine = tokio::task::block_in_place(Engine::shared)?;
    LOADED.get_or_init(async || load_images(cluster, engine).await).await;
    Some(cluster)
}

/// Puts the images on the nodes of a cluster.
async fn load_images(cluster: &Cluster, engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    for image in ["gaia:0.1.0", "postgres:15", "redis:7.0", "nats:2.9"] {
        let tar = folder.path().join("image.tar");
        let image = format!("gaia.test/{image}");
        tokio::task::block_in_place(|| engine.docker(&["save", "--output", tar.to_str().unwrap(), &image]));
        cluster.load_image(&tar).await;
    }
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
    game.destroyed(control_plane).await;
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

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
