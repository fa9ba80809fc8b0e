//! What a node's programs are told.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{Cluster, name};
use crate::{dns, image, policies};

impl Cluster {
    /// Writes what a node's programs read.
    pub(super) fn configure(&self, node: u8) {
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
            "cgroupRoot": Path::new("/").join(self.group_of(node)),
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
