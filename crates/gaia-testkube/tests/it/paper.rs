//! What follows where pods are said to run.

use gaia_testkube::{ControlPlane, eventually};
use serde_json::{Value, json};

async fn deploy(control_plane: &ControlPlane, namespace: &str, name: &str, replicas: u32) -> String {
    let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    let labels = json!({ "app.kubernetes.io/name": name });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{
                    "name": name,
                    "image": "example.com/chat:1",
                    "resources": { "requests": { "cpu": "500m", "memory": "64Mi" } },
                }] },
            },
        },
    });
    control_plane.api().create(&deployments, &deployment).await.unwrap();
    format!("{deployments}/{name}")
}

/// Waits until a deployment has exactly so many pods, all of them ready.
async fn has_ready(control_plane: &ControlPlane, deployment: &str, pods: u32) {
    eventually(&format!("{deployment} has {pods} ready pods"), async || {
        let status = control_plane.api().get(deployment).await.unwrap()["status"].take();
        (status["readyReplicas"] == pods && status["replicas"] == pods).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deployment_becomes_ready_and_stands_behind_its_service() {
    let control_plane = ControlPlane::shared().await;
    control_plane.paper_nodes(3).await;
    let namespace = control_plane.namespace("paper").await;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "chat" },
        "spec": { "ports": [{ "port": 80 }], "selector": { "app.kubernetes.io/name": "chat" } },
    });
    let services = format!("/api/v1/namespaces/{namespace}/services");
    control_plane.api().create(&services, &service).await.unwrap();
    let deployment = deploy(control_plane, &namespace, "chat", 3).await;
    has_ready(control_plane, &deployment, 3).await;

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
async fn a_stateful_set_gets_a_volume_and_a_job_ends() {
    let control_plane = ControlPlane::shared().await;
    control_plane.paper_nodes(1).await;
    let namespace = control_plane.namespace("stateful").await;
    let api = control_plane.api();
    let labels = json!({ "app.kubernetes.io/name": "postgres" });
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "postgres" },
        "spec": {
            "serviceName": "postgres",
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{
                    "name": "postgres",
                    "image": "example.com/postgres:17",
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }] },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    });
    let sets = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets");
    api.create(&sets, &set).await.unwrap();
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "migrate" },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "migrate", "image": "example.com/gaia:1" }],
        } } },
    });
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    api.create(&jobs, &job).await.unwrap();

    eventually("the database is ready", async || {
        let set = api.get(&format!("{sets}/postgres")).await.unwrap();
        (set["status"]["readyReplicas"] == 1).then_some(())
    })
    .await;
    let claim = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/data-postgres-0");
    let claim = api.get(&claim).await.unwrap();
    assert_eq!(claim["status"]["phase"], "Bound");
    let volume = format!(
        "/api/v1/persistentvolumes/{}",
        claim["spec"]["volumeName"].as_str().unwrap()
    );
    eventually("the job has succeeded", async || {
        let job = api.get(&format!("{jobs}/migrate")).await.unwrap();
        (job["status"]["succeeded"] == 1).then_some(())
    })
    .await;

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
    let deployment = deploy(control_plane, &namespace, "chat", 1).await;
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
    has_ready(control_plane, &deployment, 1).await;
    metrics.set_cpu(&namespace, "chat", 1000);
    has_ready(control_plane, &deployment, 4).await;
    metrics.set_cpu(&namespace, "chat", 10);
    has_ready(control_plane, &deployment, 1).await;
}
