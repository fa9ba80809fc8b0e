//! Two games on one Kubernetes.

use gaia_testkube::ControlPlane;

use super::{Game, SMALL, with_images};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_games_on_kubernetes_do_not_reach_each_other_where_policies_are_enforced() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let small = SMALL.replace("gateway: 2", "gateway: 1").replace("chat: 2", "chat: 1");
    let (night, day) = (
        Game::new(control_plane, "night-ferry", &small),
        Game::new(control_plane, "day-ferry", &small),
    );
    for game in [&night, &day] {
        game.run(&["up", &game.folder()]).exits(0);
    }
    let parts = [
        ("postgres", 5432),
        ("redis", 6379),
        ("nats", 4222),
        ("inference", 7411),
        ("chat", 9100),
        ("auth", 9100),
        ("gateway", 9100),
    ];
    for (part, port) in parts {
        let address = address(&night, control_plane, part).await;
        for from in ["chat", "auth", "gateway"] {
            assert!(
                !reaches(&day, control_plane, from, &address, port).await,
                "{from} of one game reaches {part} of the other at {address}:{port}"
            );
        }
    }
    // Players come from anywhere, and the same attempt succeeds where it may, so that it proves something above.
    let gateway = address(&night, control_plane, "gateway").await;
    assert!(
        !reaches(&day, control_plane, "auth", &gateway, 7400).await,
        "auth calls nobody outside"
    );
    for (from, to, port) in [
        ("chat", "postgres", 5432),
        ("auth", "postgres", 5432),
        ("gateway", "redis", 6379),
    ] {
        assert!(
            reaches(&day, control_plane, from, to, port).await,
            "{from} does not reach its own {to}"
        );
    }
    assert!(
        !reaches(&day, control_plane, "gateway", "postgres", 5432).await,
        "the gateway has no database"
    );
    for game in [&night, &day] {
        game.destroyed(control_plane).await;
    }
}

/// The address of a pod of a part.
async fn address(game: &Game, control_plane: &ControlPlane, part: &str) -> String {
    let path = format!(
        "/api/v1/namespaces/{}/pods?labelSelector=app.kubernetes.io%2Fname%3D{part}",
        game.namespace()
    );
    let pods = control_plane.api().get(&path).await.unwrap();
    pods["items"][0]["status"]["podIP"].as_str().unwrap().to_owned()
}

/// Whether a part of a game can open a connection.
async fn reaches(game: &Game, control_plane: &ControlPlane, from: &str, host: &str, port: u16) -> bool {
    let attempt = format!("exec 3<>/dev/tcp/{host}/{port}");
    let (deployment, namespace) = (format!("deployment/{from}"), game.namespace());
    let exec = ["exec", "--namespace", &namespace, &deployment, "--"];
    let attempt = ["timeout", "2", "bash", "-c", &attempt];
    control_plane.kubectl(&[&exec[..], &attempt].concat()).await.is_ok()
}
