//! Stores of several nodes, whose pods go elsewhere.

use gaia_testkube::eventually_within;

use super::{Game, LIMIT, SMALL, with_images};
use crate::nodes::{SEEN, well_with_keys};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_store_find_each_other_wherever_their_pods_are() {
    let Some(cluster) = with_images().await else { return };
    let control_plane = &cluster.control_plane;
    let clusters = SMALL.replace("chat: 2}", "chat: 1, redis: 3 (cluster mode), nats: 3}");
    let game = Game::new(control_plane, "mail-van", &clusters);
    game.run(&["up", &game.folder()]).exits(0);
    game.run(&["plan", &game.folder()]).exits(0);
    game.talks();
    let namespace = game.namespace();
    let ask = ["exec", "--namespace", &namespace, "redis-5", "--", "sh", "-c", SEEN];
    // Where they are, and how many have keys and are well.
    let seen = async || control_plane.kubectl(&ask).await.unwrap_or_default();
    let addresses = |said: &str| -> Vec<String> {
        let mut all: Vec<_> = said
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .map(str::to_owned)
            .collect();
        all.sort();
        all
    };
    let before = seen().await;
    assert_eq!(
        (addresses(&before).len(), well_with_keys(&before).len()),
        (6, 3),
        "{before}"
    );
    for part in ["redis", "nats"] {
        let label = format!("app.kubernetes.io/name={part}");
        let delete = ["delete", "pods", "--namespace", &namespace, "--selector", &label];
        let at_once = ["--grace-period=0", "--force"];
        control_plane.kubectl(&[&delete[..], &at_once].concat()).await.unwrap();
        game.until_running().await;
        game.talks();
    }
    eventually_within(
        LIMIT,
        "the nodes of Redis have found each other elsewhere",
        async || {
            let now = seen().await;
            let is_elsewhere = addresses(&now) != addresses(&before);
            (is_elsewhere && now.matches(" connected").count() == 6 && well_with_keys(&now).len() == 3).then_some(())
        },
    )
    .await;
    game.talks();
    game.run(&["destroy", game.name, "--yes"]).exits(0);
}
