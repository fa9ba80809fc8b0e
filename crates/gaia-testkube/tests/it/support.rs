//! What the tests arrange, and how they look.

use gaia_testkube::{BUSYBOX, ControlPlane, eventually};
use serde_json::{Value, json};

/// A deployment of one container, in which a shell runs a script. It is labelled `app: <name>`.
pub(crate) fn deployment(name: &str, replicas: u32, script: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": name,
                        "image": BUSYBOX,
                        "imagePullPolicy": "Never",
                        "command": ["sh", "-c", script],
                        "resources": { "requests": { "cpu": "50m", "memory": "16Mi" } },
                    }],
                    // As many on each node.
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": { "matchLabels": labels },
                    }],
                },
            },
        },
    })
}

/// A deployment that says over HTTP, at port 8080, which pod answers, and the service before it at port 80.
pub(crate) async fn serve_web(control_plane: &ControlPlane, namespace: &str, replicas: u32) {
    let script = "mkdir -p /tmp/web; hostname > /tmp/web/index.html; exec httpd -f -h /tmp/web -p 8080";
    let mut web = deployment("web", replicas, script);
    web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] =
        json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    });
    let api = control_plane.api();
    let services = format!("/api/v1/namespaces/{namespace}/services");
    api.create(&services, &service).await.unwrap();
    start(control_plane, namespace, &web).await;
}

/// Makes a deployment and waits until all its pods are ready.
pub(crate) async fn start(control_plane: &ControlPlane, namespace: &str, deployment: &Value) {
    let deployments = deployments(namespace);
    control_plane.api().create(&deployments, deployment).await.unwrap();
    let name = deployment["metadata"]["name"].as_str().unwrap();
    let replicas = deployment["spec"]["replicas"].as_u64().unwrap();
    has_ready(control_plane, namespace, name, replicas).await;
}

pub(crate) fn deployments(namespace: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/deployments")
}

/// Waits until a deployment has exactly so many pods, all of them ready.
pub(crate) async fn has_ready(control_plane: &ControlPlane, namespace: &str, deployment: &str, pods: u64) {
    let path = format!("{}/{deployment}", deployments(namespace));
    eventually(&format!("{deployment} has {pods} ready pods"), async || {
        let status = control_plane.api().get(&path).await.unwrap()["status"].take();
        (status["readyReplicas"] == pods && status["replicas"] == pods).then_some(())
    })
    .await;
}

/// The pods of a deployment.
pub(crate) async fn pods_of(control_plane: &ControlPlane, namespace: &str, deployment: &str) -> Vec<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app={deployment}");
    let pods = control_plane.api().get(&path).await.unwrap();
    pods["items"].as_array().unwrap().clone()
}

/// Runs a script in a pod, or in a pod of a `deploy/<name>`: what it wrote.
pub(crate) async fn run_in(
    control_plane: &ControlPlane,
    namespace: &str,
    pod: &str,
    script: &str,
) -> Result<String, String> {
    let arguments = ["--namespace", namespace, "exec", pod, "--", "sh", "-c", script];
    control_plane.kubectl(&arguments).await
}
