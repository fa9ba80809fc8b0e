//! Others in the place of a game's secrets in a namespace.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::{runtime::Handle, task::block_in_place};

use super::{Game, SMALL, with_images};
use crate::isolation::rotation::killed_at_every_step;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_on_kubernetes_are_replaced_while_the_stores_go_on_wherever_that_is_killed() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let game = Game::new(control_plane, "night-safe", SMALL);
    game.run(&["up", &game.folder()]).exits(0);
    game.talks();
    let api = control_plane.api();
    let path = |rest: &str| format!("/api/v1/namespaces/{}/{rest}", game.namespace());
    let secret = async |name: &str, key: &str| -> Value {
        let found = api.get(&path(&format!("secrets/{name}"))).await.unwrap();
        let text = STANDARD.decode(found["data"][key].as_str().unwrap()).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let stores = async || {
        let selector = "pods?labelSelector=app.kubernetes.io/name%20in%20(postgres,redis,nats)";
        let pods = api.get(&path(selector)).await.unwrap();
        let started = |pod: &Value| {
            let status = &pod["status"]["containerStatuses"][0];
            (pod["metadata"]["uid"].clone(), status["containerID"].clone())
        };
        pods["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(started)
            .collect::<Vec<_>>()
    };
    let (running, before) = (stores().await, secret("chat-files", "settings.json").await);
    assert_eq!(running.len(), 3);
    let secrets = || block_in_place(|| Handle::current().block_on(secret("gaia-secrets", "secrets.json")));
    block_in_place(|| killed_at_every_step(&game.journey, game.name, &secrets, &|| {}));
    game.talks();
    assert_eq!(stores().await, running, "a store was started again");
    let after = secret("chat-files", "settings.json").await;
    for (settings, is_in) in [(&before, false), (&after, true)] {
        let access = &settings["games"][0]["postgres"];
        let [user, password] = ["user", "password"].map(|key| access[key].as_str().unwrap());
        let ask = format!("PGPASSWORD={password} psql -h postgres -U {user} -d gaia -tAc 'select 1'");
        let namespace = game.namespace();
        let exec = ["exec", "--namespace", &namespace, "postgres-0", "--", "sh", "-c", &ask];
        assert_eq!(control_plane.kubectl(&exec).await.is_ok(), is_in, "as {user}");
    }
    game.destroyed(control_plane).await;
}
