//! Nodes on paper: pods are said to run there, and nothing does.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::JoinHandle};

use crate::{Api, control_plane::items, programs::background};

const NODES: &str = "/api/v1/nodes";

pub(crate) struct PaperNodes {
    count: Mutex<usize>,
    loops: [JoinHandle<()>; 2],
}

impl PaperNodes {
    pub(crate) fn start(api: Api) -> Self {
        Self {
            count: Mutex::default(),
            loops: [
                background().spawn(keep_nodes(api.clone())),
                background().spawn(keep_pods(api)),
            ],
        }
    }

    /// Nodes are ready when this returns.
    pub(crate) async fn grow_to(&self, api: &Api, count: usize) {
        let mut made = self.count.lock().await;
        while *made < count {
            let name = format!("paper-{made}");
            api.create(NODES, &node(&name, *made)).await.expect("a node");
            let path = format!("{NODES}/{name}/status");
            api.patch(&path, &node_status()).await.expect("a node's status");
            *made += 1;
        }
    }
}

impl Drop for PaperNodes {
    fn drop(&mut self) {
        for one in &self.loops {
            one.abort();
        }
    }
}

/// Zones in turn, for what is to be spread over them.
fn node(name: &str, number: usize) -> Value {
    let zone = ["paper-a", "paper-b", "paper-c"][number % 3];
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": {
            "gaia.test/paper": "true",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": zone,
        } },
    })
}

fn node_status() -> Value {
    let room = json!({ "cpu": "64", "memory": "256Gi", "ephemeral-storage": "500Gi", "pods": "500" });
    let condition = |kind: &str, status: &str| {
        json!({ "type": kind, "status": status, "reason": "OnPaper", "message": "this node exists on paper only",
            "lastHeartbeatTime": now() })
    };
    json!({ "status": {
        "capacity": room,
        "allocatable": room,
        "conditions": [
            condition("MemoryPressure", "False"),
            condition("DiskPressure", "False"),
            condition("PIDPressure", "False"),
            condition("Ready", "True"),
        ],
    } })
}

/// A node that is not heard of is lost.
async fn keep_nodes(api: Api) {
    loop {
        if let Ok(nodes) = api.get(&format!("{NODES}?labelSelector=gaia.test/paper")).await {
            for name in items(&nodes).filter_map(|node| node["metadata"]["name"].as_str()) {
                api.patch(&format!("{NODES}/{name}/status"), &node_status()).await.ok();
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn keep_pods(api: Api) {
    loop {
        if let Ok(pods) = api.get("/api/v1/pods?resourceVersion=0").await {
            for pod in items(&pods).filter(|pod| is_on_paper(pod)) {
                keep_pod(&api, pod).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

fn is_on_paper(pod: &Value) -> bool {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    node.starts_with("paper-")
}

/// What the API refuses is tried again at the next look.
async fn keep_pod(api: &Api, pod: &Value) {
    let metadata = &pod["metadata"];
    let (Some(namespace), Some(name)) = (metadata["namespace"].as_str(), metadata["name"].as_str()) else {
        return;
    };
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    if metadata["deletionTimestamp"].is_string() {
        api.delete(&path).await.ok();
    } else if pod["status"]["phase"] == "Pending" {
        api.patch(&format!("{path}/status"), &pod_status(pod)).await.ok();
    }
}

/// Running and ready, or at its end where it is not meant to go on.
fn pod_status(pod: &Value) -> Value {
    static ADDRESSES: AtomicUsize = AtomicUsize::new(1);
    let number = ADDRESSES.fetch_add(1, Ordering::Relaxed);
    // A range that is for measuring networks, so that nobody is there.
    let address = format!("198.18.{}.{}", number / 256 % 256, number % 256);
    let goes_on = pod["spec"]["restartPolicy"] == "Always";
    let containers = |kind: &str| pod["spec"][kind].as_array().cloned().unwrap_or_default();
    let first: Vec<Value> = containers("initContainers")
        .iter()
        .map(|one| container_status(one, one["restartPolicy"] == "Always" && goes_on))
        .collect();
    let then: Vec<Value> = containers("containers")
        .iter()
        .map(|one| container_status(one, goes_on))
        .collect();
    json!({ "status": {
        "phase": if goes_on { "Running" } else { "Succeeded" },
        "startTime": now(),
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "conditions": conditions(pod, goes_on),
        "initContainerStatuses": first,
        "containerStatuses": then,
    } })
}

/// The scheduler's own condition stays.
fn conditions(pod: &Value, is_ready: bool) -> Vec<Value> {
    let scheduled = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ours = [
        ("PodReadyToStartContainers", true),
        ("Initialized", true),
        ("ContainersReady", is_ready),
        ("Ready", is_ready),
    ];
    let ours = ours.map(|(kind, holds)| {
        let status = if holds { "True" } else { "False" };
        json!({ "type": kind, "status": status, "lastTransitionTime": now() })
    });
    scheduled
        .filter(|condition| condition["type"] == "PodScheduled")
        .cloned()
        .chain(ours)
        .collect()
}

fn container_status(container: &Value, goes_on: bool) -> Value {
    let state = if goes_on {
        json!({ "running": { "startedAt": now() } })
    } else {
        json!({ "terminated": { "exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now() } })
    };
    json!({
        "name": container["name"],
        "image": container["image"],
        "imageID": "paper",
        "restartCount": 0,
        "started": goes_on,
        "ready": goes_on,
        "state": state,
    })
}

pub(crate) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}
