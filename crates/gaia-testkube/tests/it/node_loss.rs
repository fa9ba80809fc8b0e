//! What follows the loss of a node.

use gaia_testkube::{Cluster, eventually};
use serde_json::Value;

use crate::support::{has_ready, pods_of, run_in, serve_web};

#[tokio::test]
async fn pods_of_a_node_that_is_killed_move_and_may_come_back_with_it() {
    let Some(cluster) = Cluster::start(2).await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("loss").await;
    serve_web(control_plane, &namespace, 2).await;

    cluster.kill_node(0);
    eventually("both run on the other node", async || {
        let pods = pods_of(control_plane, &namespace, "web").await;
        let stands = |pod: &&Value| pod["spec"]["nodeName"] == "node-1" && pod["status"]["phase"] == "Running";
        (pods.iter().filter(stands).count() == 2).then_some(())
    })
    .await;

    cluster.start_node(0).await;
    has_ready(control_plane, &namespace, "web", 2).await;
    for pod in pods_of(control_plane, &namespace, "web").await {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{}",
            pod["metadata"]["name"].as_str().unwrap()
        );
        control_plane.api().delete(&path).await.unwrap();
    }
    eventually("one runs on each node", async || {
        let pods = pods_of(control_plane, &namespace, "web").await;
        let stands = |node: &str| {
            let on_node = |pod: &&Value| pod["spec"]["nodeName"] == node && pod["status"]["phase"] == "Running";
            pods.iter().filter(on_node).count() == 1
        };
        (stands("node-0") && stands("node-1")).then_some(())
    })
    .await;
    has_ready(control_plane, &namespace, "web", 2).await;
    let answer = run_in(control_plane, &namespace, "deploy/web", "wget -qO- http://web").await;
    assert!(answer.unwrap().starts_with("web-"));
}
