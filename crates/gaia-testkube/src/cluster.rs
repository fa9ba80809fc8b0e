//! A control plane with nodes that run pods.

mod configuration;

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    ControlPlane,
    control_plane::Place,
    dns, eventually_within, image,
    machine::{self, Machine},
    network::Network,
    paper_nodes::now,
    policies,
    programs::{felix, kubernetes},
    ward::Ward,
};

/// The first process of a node.
const NODE: &str = include_str!("node.sh");
/// How long a node may take to be ready on a machine that is busy.
const READY: Duration = Duration::from_secs(120);

/// A control plane and nodes: containerd, kubelet and kube-proxy, each node in mount, network and process namespaces of
/// its own, so that the machine stays as it was. Pods reach pods, services by name, and this machine; this machine
/// reaches nodes, pods and services.
///
/// Nodes are called `node-0` and so on, in zones called `zone-0` and so on. Network policies are enforced. There is no
/// registry, nothing outside of this machine, and no `hostPort`. A container that ends is started again after 2 s at most.
pub struct Cluster {
    /// What decides about the nodes and pods.
    pub control_plane: ControlPlane,
    nodes: u8,
    network: Network,
    machine: Machine,
}

impl Cluster {
    /// One with two nodes that the tests of this process share. Where this machine cannot have nodes, it says why, and
    /// the test has nothing to do.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Cluster>> = OnceCell::const_new();
        SHARED.get_or_init(async || Self::start(2).await).await.as_ref()
    }

    /// Whether this machine can have nodes. Where it cannot, it says why.
    #[must_use]
    pub fn is_possible() -> bool {
        machine::look().is_some()
    }

    /// One for a test alone.
    ///
    /// # Panics
    ///
    /// Where a part does not start, or a package is missing that `scripts/setup kubernetes` installs.
    pub async fn start(nodes: u8) -> Option<Self> {
        let machine = machine::look()?;
        let ward = Ward::new();
        image::busybox(ward.folder());
        let network = Network::start(&ward);
        let place = Place {
            ward,
            address: network.host(),
            services: network.services(),
            first_service: network.service(1),
        };
        fs::write(place.ward.folder().join("node.sh"), NODE).expect("a file can be written");
        let cluster = Self {
            control_plane: ControlPlane::start_at(place).await,
            nodes,
            network,
            machine,
        };
        policies::prepare(&cluster.control_plane).await;
        let began = now();
        for node in 0..nodes {
            cluster.configure(node);
            cluster.boot(node);
        }
        cluster.network.route_services(0);
        for node in 0..nodes {
            cluster.is_ready(node, &began).await;
        }
        dns::start(&cluster.control_plane, cluster.network.service(dns::SERVICE)).await;
        Some(cluster)
    }

    /// The address at which pods reach what a test serves on this machine.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        self.network.host()
    }

    /// Puts an image on every node, from a file as `docker save` writes it.
    ///
    /// # Panics
    ///
    /// Where a node does not take it.
    pub async fn load_image(&self, tar: &Path) {
        for node in 0..self.nodes {
            let mut ctr = tokio::process::Command::new("ctr");
            ctr.arg("--address")
                .arg(self.folder_of(node).join("run/containerd/containerd.sock"));
            ctr.args(["--namespace", "k8s.io", "image", "import"]).arg(tar);
            let output = ctr.output().await.expect("ctr is installed");
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "node-{node} does not take {}: {complaint}",
                tar.display()
            );
        }
    }

    /// Ends a node as a loss of power would, and every pod on it.
    pub fn kill_node(&self, node: u8) {
        self.control_plane.ward.kill(&name(node));
        if let Some(other) = (0..self.nodes).find(|other| *other != node) {
            self.network.route_services(other);
        }
    }

    /// Starts a node that was killed, with the disk that it had, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// Where it does not become so.
    pub async fn start_node(&self, node: u8) {
        let began = now();
        self.boot(node);
        self.is_ready(node, &began).await;
    }

    fn boot(&self, node: u8) {
        let mut first = Command::new("unshare");
        first
            .args([
                "--mount",
                "--net",
                "--pid",
                "--ipc",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "node.sh", &name(node)])
            .arg(self.folder_of(node))
            .arg(self.group_of(node))
            .arg(self.network.node(node).to_string())
            .arg(self.network.host().to_string())
            .arg(kubernetes())
            .arg(felix());
        for other in (0..self.nodes).filter(|other| *other != node) {
            first.arg(self.network.pods_on(other));
            first.arg(self.network.node(other).to_string());
        }
        let process = self.control_plane.ward.start(&name(node), &mut first);
        machine::wait_for_namespace(process);
        self.network.plug(node, process);
    }

    /// What it said before it was killed does not count.
    async fn is_ready(&self, node: u8, since: &str) {
        let path = format!("/api/v1/nodes/{}", name(node));
        eventually_within(READY, &format!("{} is ready", name(node)), async || {
            self.control_plane.ward.must_run();
            let node = self.control_plane.api().get(&path).await.ok()?;
            let conditions = node["status"]["conditions"].as_array()?;
            let is_ready = |condition: &Value| {
                let said = condition["lastHeartbeatTime"].as_str();
                condition["type"] == "Ready" && condition["status"] == "True" && said >= Some(since)
            };
            conditions.iter().any(is_ready).then_some(())
        })
        .await;
    }

    /// The node's control group, below the root.
    fn group_of(&self, node: u8) -> PathBuf {
        let cluster = self.control_plane.ward.folder().file_name();
        Path::new(cluster.expect("a folder has a name")).join(name(node))
    }

    fn folder_of(&self, node: u8) -> PathBuf {
        self.control_plane.ward.folder().join(name(node))
    }
}

fn name(node: u8) -> String {
    format!("node-{node}")
}
