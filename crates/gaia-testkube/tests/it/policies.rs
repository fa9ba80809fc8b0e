//! Network policies are enforced.

use gaia_testkube::{Cluster, eventually};
use serde_json::json;

use crate::support::{deployment, run_in, serve_web, start};

#[tokio::test]
async fn a_network_policy_lets_through_what_it_names_and_nothing_else() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("policy").await;
    serve_web(control_plane, &namespace, 2).await;
    for name in ["friend", "stranger"] {
        start(control_plane, &namespace, &deployment(name, 2, "exec sleep infinity")).await;
    }
    for name in ["friend", "stranger"] {
        eventually("everybody is let through", async || {
            reaches_web(cluster, &namespace, name).await.then_some(())
        })
        .await;
    }

    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "web" },
        "spec": {
            "podSelector": { "matchLabels": { "app": "web" } },
            "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "friend" } } }] }],
        },
    });
    let policies = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    control_plane.api().create(&policies, &policy).await.unwrap();
    eventually("a stranger is kept out", async || {
        (!reaches_web(cluster, &namespace, "stranger").await).then_some(())
    })
    .await;
    assert!(reaches_web(cluster, &namespace, "friend").await);
    assert!(!reaches_web(cluster, &namespace, "stranger").await);
}

#[tokio::test]
async fn a_closed_namespace_resolves_names_where_a_policy_lets_it() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("closed").await;
    start(
        control_plane,
        &namespace,
        &deployment("client", 1, "exec sleep infinity"),
    )
    .await;
    let resolves = async || {
        let script = "timeout 2 nslookup kubernetes.default.svc.cluster.local";
        run_in(control_plane, &namespace, "deploy/client", script).await.is_ok()
    };
    let policies = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    let closed = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "closed" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
    });
    control_plane.api().create(&policies, &closed).await.unwrap();
    eventually("no name is resolved", async || (!resolves().await).then_some(())).await;
    let names = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "names" },
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{
                "to": [{
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } },
                    "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
                }],
                "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
            }],
        },
    });
    control_plane.api().create(&policies, &names).await.unwrap();
    eventually("names are resolved", async || resolves().await.then_some(())).await;
}

/// Whether a deployment's first pod gets answers from the service, which asks the pods on both nodes.
async fn reaches_web(cluster: &Cluster, namespace: &str, deployment: &str) -> bool {
    let script = "for i in 1 2 3 4; do timeout 2 wget -qO- http://web || exit 1; done";
    let pod = format!("deploy/{deployment}");
    run_in(&cluster.control_plane, namespace, &pod, script).await.is_ok()
}
