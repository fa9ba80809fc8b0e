//! A control plane with nodes that run pods.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    ControlPlane,
    control_plane::Place,
    dns, eventually_within, image,
    machine::{self, Machine},
    network::Network,
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
        for node in 0..nodes {
            cluster.configure(node);
            cluster.start_node(node);
        }
        cluster.network.route_services(0);
        for node in 0..nodes {
            cluster.node_is_ready(node).await;
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

    /// Starts a node that was killed, with the disk that it had.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn start_node(&self, node: u8) {
        let folder = self.folder_of(node);
        let group = self
            .control_plane
            .ward
            .folder()
            .file_name()
            .expect("a folder has a name");
        let group = Path::new(group).join(name(node));
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
            .arg(&folder)
            .arg(&group)
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

    /// Waits until a node that was started is ready.
    ///
    /// # Panics
    ///
    /// Where it does not become so.
    pub async fn node_is_ready(&self, node: u8) {
        let path = format!("/api/v1/nodes/{}", name(node));
        eventually_within(READY, &format!("{} is ready", name(node)), async || {
            self.control_plane.ward.must_run();
            let node = self.control_plane.api().get(&path).await.ok()?;
            let conditions = node["status"]["conditions"].as_array()?;
            let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
            conditions.iter().any(is_ready).then_some(())
        })
        .await;
    }

    fn folder_of(&self, node: u8) -> PathBuf {
        self.control_plane.ward.folder().join(name(node))
    }

    /// Writes what a node's programs read.
    fn configure(&self, node: u8) {
        let folder = self.folder_of(node);
        let write = |file: &str, text: String| fs::write(folder.join(file), text).expect("a file can be written");
        let pki = &self.control_plane.pki;
        let server = self.control_plane.server();
        policies::plugins(&folder.join("cni/plugins"), server, pki);
        write("cni/10-pods.conflist", self.pod_network(node).to_string());
        write("containerd.toml", self.containerd(&folder));
        write("kubelet.json", self.kubelet(node, &folder).to_string());
        write("kube-proxy.json", self.kube_proxy(&folder).to_string());
        write("resolv.conf", String::new());

        let address = self.network.node(node).to_string();
        let user = format!("system:node:{}", name(node));
        pki.write(&name(node), &user, Some("system:nodes"), &[&address]);
        let kubelet = pki.issue(&user, Some("system:nodes"), &[]);
        pki.kubeconfig(&folder.join("kubelet.kubeconfig"), server, &kubelet);
        let proxy = pki.issue("system:kube-proxy", None, &[]);
        pki.kubeconfig(&folder.join("kube-proxy.kubeconfig"), server, &proxy);
    }

    fn pod_network(&self, node: u8) -> Value {
        json!({
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [{
                "type": "cable",
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/addresses",
                    "ranges": [[{ "subnet": self.network.pods_on(node) }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        })
    }

    fn containerd(&self, folder: &Path) -> String {
        format!(
            r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{busybox}"
restrict_oom_score_adj = {restricted}
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni/plugins"
conf_dir = "{folder}/cni"
"#,
            busybox = image::BUSYBOX,
            restricted = !self.machine.may_lower_oom_score,
            folder = folder.display(),
        )
    }

    fn kubelet(&self, node: u8, folder: &Path) -> Value {
        let pki = &self.control_plane.pki;
        let group = folder.strip_prefix("/tmp").expect("wards are in /tmp");
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": pki.path("ca.crt") },
            },
            "authorization": { "mode": "Webhook" },
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": Path::new("/").join(group),
            "clusterDNS": [self.network.service(dns::SERVICE)],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            // What waits for something that is about to come is tried again soon.
            "crashLoopBackOff": { "maxContainerRestartPeriod": "2s" },
            "evictionHard": { "memory.available": "100Mi" },
            "failCgroupV1": false,
            "failSwapOn": false,
            "imageGCHighThresholdPercent": 100,
            "makeIPTablesUtilChains": false,
            "nodeLeaseDurationSeconds": 8,
            "nodeStatusUpdateFrequency": "2s",
            "oomScoreAdj": 0,
            "resolvConf": folder.join("resolv.conf"),
            "tlsCertFile": pki.path(&format!("{}.crt", name(node))),
            "tlsPrivateKeyFile": pki.path(&format!("{}.key", name(node))),
        })
    }

    fn kube_proxy(&self, folder: &Path) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": { "kubeconfig": folder.join("kube-proxy.kubeconfig") },
            "clusterCIDR": self.network.pods(),
            // The machine's own limits stay as they are.
            "conntrack": { "maxPerCore": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s" },
            "mode": "nftables",
            "oomScoreAdj": 0,
        })
    }
}

fn name(node: u8) -> String {
    format!("node-{node}")
}
