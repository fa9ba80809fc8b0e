//! What a control plane decides, without any node.

use gaia_testkube::{ControlPlane, eventually};
use serde_json::json;

#[tokio::test]
async fn a_field_that_nobody_knows_is_refused() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("strict").await;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "gateway" },
        "spec": { "ports": [{ "port": 80 }], "selektor": {} },
    });
    let path = format!("/api/v1/namespaces/{namespace}/services");
    let refusal = control_plane.api().create(&path, &service).await.unwrap_err();
    assert_eq!(refusal.status, 400);
    assert!(refusal.message.contains("unknown field \"spec.selektor\""), "{refusal}");
}

#[tokio::test]
async fn kubectl_shows_the_version_that_was_built() {
    let control_plane = ControlPlane::shared().await;
    let version = control_plane.kubectl(&["version"]).await.unwrap();
    assert!(version.contains("Server Version: v1.36."), "{version}");
}

#[tokio::test]
async fn a_user_may_do_only_what_a_role_lets_him() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("roles").await;
    let user = control_plane.api_of("deployer", None);
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    assert_eq!(user.get(&pods).await.unwrap_err().status, 403);

    let roles = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "deployer" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "deployer" }],
    });
    control_plane.api().create(&roles, &binding).await.unwrap();
    eventually("the role holds", async || user.get(&pods).await.ok()).await;
    assert_eq!(user.get("/api/v1/pods").await.unwrap_err().status, 403);
}
