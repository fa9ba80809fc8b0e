//! Rows about plans over many games on Kubernetes.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use gaia_testkube::ControlPlane;
use serde_json::json;

use crate::{cluster::Home, table::Measured};

/// How many games there are at the end.
const GAMES: usize = 100;
/// How many plans over those are made: ten times round.
const PLANS: usize = 1_000;
/// Who asks. The API server counts what strangers ask by itself.
const GROUP: &str = "gaia-bench";

/// Plans that find nothing to do, against a real API server. The games' pods are on nodes on paper, and the games are
/// closed, so that nobody asks a gateway that is none.
pub(crate) async fn no_op() -> Result<Measured> {
    let control_plane = ControlPlane::start().await;
    tokio::select! {
        measured = measure(&control_plane) => measured,
        never = close(&control_plane) => never,
    }
}

async fn measure(control_plane: &ControlPlane) -> Result<Measured> {
    let api = control_plane.api();
    let rights = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": GROUP },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP }],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    api.create(bindings, &rights).await.map_err(refused)?;
    control_plane.paper_nodes(GAMES.div_ceil(10)).await;
    let mut home = Home::new();
    home.use_kubernetes(control_plane.kubeconfig_of("bench", Some(GROUP)));
    let mut folders = vec![bring_up(control_plane, &home, 0).await?];
    let one = plans(control_plane, &home, &folders, 1).await?;
    for number in 1..GAMES {
        folders.push(bring_up(control_plane, &home, number).await?);
        if number % 10 == 0 {
            crate::table::say(&format!("{number} games are there"));
        }
    }
    let hundred = plans(control_plane, &home, &folders, GAMES).await?;
    let thousand = plans(control_plane, &home, &folders, PLANS).await?;
    Ok(Measured {
        target: "-",
        seen: format!("1 game: {one}; {GAMES} games: {hundred}; {PLANS} plans over the {GAMES}: {thousand}"),
        reached: None,
    })
}

fn refused(refusal: gaia_testkube::Refusal) -> anyhow::Error {
    anyhow::anyhow!("the API server refuses: {refusal:?}")
}

/// A game, and a volume for it.
async fn bring_up(control_plane: &ControlPlane, home: &Home, number: usize) -> Result<PathBuf> {
    let name = format!("fleet-{number}");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": { "capacity": { "storage": "100Gi" }, "accessModes": ["ReadWriteOnce"], "hostPath": { "path": "/nowhere" } },
    });
    let volumes = "/api/v1/persistentvolumes";
    control_plane.api().create(volumes, &volume).await.map_err(refused)?;
    let folder = home.folder().join("games").join(&name);
    fs::create_dir_all(&folder)?;
    let config = "name: Fleet\ninfrastructure:\n  off_hours: {from: \"23:30\", until: \"06:30\"}\n";
    fs::write(folder.join("config.yaml"), config)?;
    home.gaia(&["up", path(&folder)?, "--target", "kubernetes"]).await?;
    Ok(folder)
}

fn path(folder: &std::path::Path) -> Result<&str> {
    folder.to_str().context("the path is no text")
}

/// Ends every gateway that comes.
async fn close(control_plane: &ControlPlane) -> Result<Measured> {
    let gateways = "/apis/apps/v1/deployments?fieldSelector=metadata.name=gateway";
    loop {
        let found = control_plane.api().get(gateways).await.unwrap_or_default();
        for gateway in found["items"].as_array().into_iter().flatten() {
            let namespace = gateway["metadata"]["namespace"].as_str().unwrap_or_default();
            if gateway["spec"]["replicas"] != 0 {
                let scale = format!("/apis/apps/v1/namespaces/{namespace}/deployments/gateway/scale");
                let none = json!({ "spec": { "replicas": 0 } });
                // What is refused is tried again.
                drop(control_plane.api().patch(&scale, &none).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// So many plans, one after the other, and what each took.
async fn plans(control_plane: &ControlPlane, home: &Home, folders: &[PathBuf], count: usize) -> Result<String> {
    let (before, began) = (requests(control_plane).await?, Instant::now());
    for folder in folders.iter().cycle().take(count) {
        // It fails where something is to be done.
        home.gaia(&["plan", path(folder)?, "--target", "kubernetes"]).await?;
    }
    let (took, asked) = (began.elapsed(), requests(control_plane).await? - before);
    Ok(format!("{asked} requests, {:.2} s", took.as_secs_f64()))
}

/// How much [`GROUP`] has asked.
async fn requests(control_plane: &ControlPlane) -> Result<u64> {
    let metrics = control_plane.kubectl(&["get", "--raw", "/metrics"]).await;
    let metrics = metrics.map_err(anyhow::Error::msg)?;
    let is_ours = |line: &&str| {
        line.starts_with("apiserver_flowcontrol_dispatched_requests_total{") && line.contains("\"global-default\"")
    };
    let counts = metrics.lines().filter(is_ours).filter_map(|line| line.rsplit_once(' '));
    let counts = counts.map(|(_, count)| count.parse::<f64>());
    let total: f64 = counts.sum::<Result<_, _>>()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    Ok(total as u64)
}
