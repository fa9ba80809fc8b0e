//! What nodes do with pods.

use std::{collections::BTreeSet, fs, time::Duration};

use gaia_testkube::{BUSYBOX, Cluster, eventually, pack_image};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::{deployment, pods_of, run_in, serve_web, start};

/// Who answers at an address on this machine.
async fn asked(url: &str) -> Option<String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    let answer = client.get(url).send().await.ok()?;
    Some(answer.text().await.ok()?.trim().to_owned())
}

#[tokio::test]
async fn pods_and_this_machine_reach_a_service_and_its_pods_on_both_nodes() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("web").await;
    serve_web(control_plane, &namespace, 2).await;
    start(
        control_plane,
        &namespace,
        &deployment("client", 2, "exec sleep infinity"),
    )
    .await;
    let web = pods_of(control_plane, &namespace, "web").await;
    let text = |pod: &Value, part: &str, key: &str| pod[part][key].as_str().unwrap().to_owned();
    let nodes: BTreeSet<_> = web.iter().map(|pod| text(pod, "spec", "nodeName")).collect();
    assert_eq!(nodes.len(), 2);
    let names: BTreeSet<_> = web.iter().map(|pod| text(pod, "metadata", "name")).collect();

    for client in pods_of(control_plane, &namespace, "client").await {
        let client = text(&client, "metadata", "name");
        let script = format!("for i in $(seq 20); do wget -qO- http://web.{namespace}; done");
        let answers = run_in(control_plane, &namespace, &client, &script).await.unwrap();
        let answers: BTreeSet<_> = answers.lines().map(ToOwned::to_owned).collect();
        assert_eq!(answers, names);
    }
    for pod in &web {
        let url = format!("http://{}:8080", text(pod, "status", "podIP"));
        assert_eq!(asked(&url).await, Some(text(pod, "metadata", "name")));
    }
    let path = format!("/api/v1/namespaces/{namespace}/services/web");
    let service = control_plane.api().get(&path).await.unwrap();
    let url = format!("http://{}", text(&service, "spec", "clusterIP"));
    assert!(names.contains(&asked(&url).await.unwrap()));
}

#[tokio::test]
async fn pods_reach_this_machine_and_the_kubernetes_api() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("out").await;
    start(
        control_plane,
        &namespace,
        &deployment("client", 1, "exec sleep infinity"),
    )
    .await;
    let listener = TcpListener::bind((cluster.host_address(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let greet = async || {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello from a test").await.unwrap();
    };
    let script = format!("nc {} {port} < /dev/null", cluster.host_address());
    let ((), heard) = tokio::join!(greet(), run_in(control_plane, &namespace, "deploy/client", &script));
    assert_eq!(heard.unwrap(), "hello from a test");

    let script = r"printf 'GET / HTTP/1.0\r\n\r\n' | nc kubernetes.default 443";
    let answer = run_in(control_plane, &namespace, "deploy/client", script)
        .await
        .unwrap();
    assert!(
        answer.contains("Client sent an HTTP request to an HTTPS server."),
        "{answer}"
    );
}

#[tokio::test]
async fn kubectl_reads_logs_and_forwards_ports() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("kubectl").await;
    let script = "echo hello from a pod; exec httpd -f -p 8080 -h /bin";
    start(control_plane, &namespace, &deployment("web", 1, script)).await;
    let arguments = ["--namespace", &namespace, "logs", "deploy/web"];
    let log = control_plane.kubectl(&arguments).await.unwrap();
    assert_eq!(log, "hello from a pod\n");

    // It takes a free port and says which.
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut forward = control_plane.kubectl_command();
    forward.args(["--namespace", &namespace, "port-forward", "deploy/web", ":8080"]);
    forward.stdout(said.reopen().unwrap()).kill_on_drop(true);
    let _forward = forward.spawn().unwrap();
    let address = eventually("kubectl forwards a port", async || {
        let said = fs::read_to_string(said.path()).unwrap();
        Some(said.split_once("Forwarding from ")?.1.split_once(" -> ")?.0.to_owned())
    })
    .await;
    let busybox = asked(&format!("http://{address}/sleep")).await.unwrap();
    assert!(busybox.contains("BusyBox"));
}

#[tokio::test]
async fn an_image_from_a_file_runs_within_its_limits() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("limits").await;
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("bin")).unwrap();
    fs::copy("/bin/busybox", root.path().join("bin/busybox")).unwrap();
    let tar = root.path().join("greedy.tar");
    pack_image(
        "localhost/greedy:2",
        &root.path().join("bin"),
        &["/busybox", "tail", "/dev/zero"],
        &tar,
    );
    cluster.load_image(&tar).await;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "greedy" },
        "spec": { "restartPolicy": "Never", "containers": [{
            "name": "greedy",
            "image": "localhost/greedy:2",
            "imagePullPolicy": "Never",
            "resources": { "limits": { "memory": "24Mi" } },
        }] },
    });
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    control_plane.api().create(&pods, &pod).await.unwrap();
    let end = eventually("the pod has ended", async || {
        let pod = control_plane.api().get(&format!("{pods}/greedy")).await.unwrap();
        let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        end.is_object().then(|| end.clone())
    })
    .await;
    assert_eq!((&end["reason"], &end["exitCode"]), (&json!("OOMKilled"), &json!(137)));
}

#[tokio::test]
async fn a_claim_is_bound_and_keeps_a_file_of_a_user_who_is_not_root() {
    let Some(cluster) = Cluster::shared().await else { return };
    let control_plane = &cluster.control_plane;
    let namespace = control_plane.namespace("volume").await;
    let labels = json!({ "app": "postgres" });
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "postgres" },
        "spec": {
            "serviceName": "postgres",
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": { "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999, "runAsNonRoot": true },
                    "containers": [{
                        "name": "postgres",
                        "image": BUSYBOX,
                        "imagePullPolicy": "Never",
                        "command": ["sh", "-c", "echo started >> /data/log; exec sleep infinity"],
                        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    });
    let sets = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets");
    control_plane.api().create(&sets, &set).await.unwrap();
    let has_written = async |log: &str| {
        eventually("the pod has written", async || {
            let said = run_in(control_plane, &namespace, "postgres-0", "cat /data/log").await;
            (said.ok()? == log).then_some(())
        })
        .await;
    };
    has_written("started\n").await;
    let path = format!("/api/v1/namespaces/{namespace}/pods/postgres-0");
    control_plane.api().delete(&path).await.unwrap();
    has_written("started\nstarted\n").await;
}
