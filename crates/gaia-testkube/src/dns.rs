//! Names of services: CoreDNS, as a pod like on any cluster.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::{ControlPlane, eventually, image::BUSYBOX, programs::kubernetes};

/// The number of its address among the services'.
pub(crate) const SERVICE: u8 = 10;

/// There is nothing outside of the cluster, and it says so at once.
const COREFILE: &str = "
cluster.local:53 in-addr.arpa:53 {
  errors
  ready
  kubernetes cluster.local in-addr.arpa {
    ttl 1
  }
}
.:53 {
  template ANY ANY {
    rcode NXDOMAIN
  }
}
";

pub(crate) async fn start(control_plane: &ControlPlane, address: Ipv4Addr) {
    let objects = [
        ("/api/v1/namespaces/kube-system/serviceaccounts", account()),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", role()),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding()),
        ("/api/v1/namespaces/kube-system/configmaps", config()),
        ("/api/v1/namespaces/kube-system/services", service(address)),
        ("/apis/apps/v1/namespaces/kube-system/deployments", deployment()),
    ];
    for (path, object) in objects {
        control_plane
            .api()
            .create(path, &object)
            .await
            .expect("CoreDNS is accepted");
    }
    eventually("CoreDNS is ready", async || {
        let path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
        let deployment = control_plane.api().get(path).await.ok()?;
        (deployment["status"]["readyReplicas"] == 1).then_some(())
    })
    .await;
}

fn account() -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "coredns" } })
}

fn role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": "coredns" },
        "rules": [
            { "apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"] },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
        ],
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "coredns" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns" },
        "subjects": [{ "kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system" }],
    })
}

fn config() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "coredns" },
        "data": { "Corefile": COREFILE },
    })
}

/// Called and labelled as on any cluster, because policies select it so.
fn service(address: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "kube-dns", "labels": { "k8s-app": "kube-dns" } },
        "spec": {
            "clusterIP": address,
            "selector": { "k8s-app": "kube-dns" },
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP" },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
            ],
        },
    })
}

/// The program needs no image: it is static, and nodes see this machine's files.
fn deployment() -> Value {
    let labels = json!({ "k8s-app": "kube-dns" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "coredns", "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": "coredns",
                    "dnsPolicy": "Default",
                    "containers": [{
                        "name": "coredns",
                        "image": BUSYBOX,
                        "imagePullPolicy": "Never",
                        "command": ["/kubernetes", "coredns", "-conf", "/etc/coredns/Corefile"],
                        "readinessProbe": { "httpGet": { "path": "/ready", "port": 8181 }, "periodSeconds": 1 },
                        "volumeMounts": [
                            { "name": "program", "mountPath": "/kubernetes", "readOnly": true },
                            { "name": "config", "mountPath": "/etc/coredns" },
                        ],
                    }],
                    "volumes": [
                        { "name": "program", "hostPath": { "path": kubernetes(), "type": "File" } },
                        { "name": "config", "configMap": { "name": "coredns" } },
                    ],
                },
            },
        },
    })
}
