//! What follows where pods are said to run.

use gaia_testkube::{ControlPlane, eventually};
use serde_json::{Value, json};

use crate::support::{deployment, has_ready, serve_web, start};

#[tokio::test]
async fn a_deployment_becomes_ready_and_stands_behind_its_service() {
    let control_plane = ControlPlane::shared().await;
    control_plane.paper_nodes(3).await;
    let namespace = control_plane.namespace("paper").await;
    serve_web(control_plane, &namespace, 3).await;
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    eventually("three endpoints are ready", async || {
        let slices = control_plane.api().get(&slices).await.unwrap();
        let endpoints = slices["items"][0]["endpoints"].as_array()?;
        let is_ready = |endpoint: &Value| endpoint["conditions"]["ready"] == true;
        (endpoints.len() == 3 && endpoints.iter().all(is_ready)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_claim_gets_a_volume_that_goes_with_it_and_a_job_ends() {
    let control_plane = ControlPlane::shared().await;
    control_plane.paper_nodes(1).await;
    let namespace = control_plane.namespace("job").await;
    let api = control_plane.api();
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    let claims = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
    api.create(&claims, &claim).await.unwrap();
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "migrate" },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "migrate",
                "image": "example.com/gaia:1",
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
        } } },
    });
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    api.create(&jobs, &job).await.unwrap();
    eventually("the job has succeeded", async || {
        let job = api.get(&format!("{jobs}/migrate")).await.unwrap();
        (job["status"]["succeeded"] == 1).then_some(())
    })
    .await;
    let claim = api.get(&format!("{claims}/data")).await.unwrap();
    assert_eq!(claim["status"]["phase"], "Bound");

    let volume = format!(
        "/api/v1/persistentvolumes/{}",
        claim["spec"]["volumeName"].as_str().unwrap()
    );
    api.delete(&format!("/api/v1/namespaces/{namespace}")).await.unwrap();
    eventually("its volume goes with its namespace", async || {
        let gone = api.get(&volume).await.err()?;
        (gone.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_autoscaler_follows_what_pods_are_said_to_use() {
    let control_plane = ControlPlane::shared().await;
    control_plane.paper_nodes(3).await;
    let metrics = control_plane.pod_metrics().await;
    let namespace = control_plane.namespace("scale").await;
    let mut chat = deployment("chat", 1, "exec sleep infinity");
    chat["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("500m");
    start(control_plane, &namespace, &chat).await;
    let scaler = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "chat" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "chat" },
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "cpu",
                "target": { "type": "Utilization", "averageUtilization": 70 },
            } }],
        },
    });
    let scalers = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers");
    control_plane.api().create(&scalers, &scaler).await.unwrap();

    metrics.set_cpu(&namespace, "chat", 350);
    has_ready(control_plane, &namespace, "chat", 1).await;
    metrics.set_cpu(&namespace, "chat", 1000);
    has_ready(control_plane, &namespace, "chat", 4).await;
    metrics.set_cpu(&namespace, "chat", 10);
    has_ready(control_plane, &namespace, "chat", 1).await;
}
