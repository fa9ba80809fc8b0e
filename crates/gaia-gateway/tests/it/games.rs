//! Two games in one gateway.

use gaia_service::Tasks;
use gaia_testkit::{TestCluster, TestGame, Visitor};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Socket, id};

#[tokio::test]
async fn a_token_of_one_game_is_nothing_in_another() {
    let cluster = TestCluster::start().await;
    let other = TestCluster::start().await;
    // One gateway process with both games: each has its own port, keys and stores' users.
    let mut settings = cluster.game.gateway_settings();
    settings.games.push(other.game.gateway_settings().games.remove(0));
    let tasks = Tasks::default();
    let listening = gaia_gateway::start(settings, &tasks).await.unwrap();
    let url = |game: &TestGame| format!("http://{}", listening.games[&game.id]);

    let here = Visitor::enter(url(&cluster.game)).await;
    let there = Visitor::enter(url(&other.game)).await;
    let conversation = here.start_conversation("guide").await;
    let path = format!("/v1/conversations/{conversation}");
    assert_eq!(here.get(&path).await.status, StatusCode::OK);

    let mut foreigner = here.clone();
    foreigner.gateway = url(&other.game);
    assert_eq!(foreigner.get("/v1/players/me").await.code(), "token_invalid");
    let refresh = json!({ "refresh_token": here.refresh_token });
    assert_eq!(
        foreigner.post("/v1/sessions/refresh", refresh).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(there.get(&path).await.code(), "not_found");
    let mut socket = Socket::open(&url(&other.game)).await;
    let answer = socket
        .ask(&json!({ "type": "sign_in", "access_token": here.access_token }))
        .await;
    assert_eq!(answer["code"], "token_invalid");

    // The same device is two players.
    let device = json!({ "device_id": id() });
    let one = here.post("/v1/players/guest", device.clone()).await.ok();
    let two = there.post("/v1/players/guest", device).await.ok();
    assert_ne!(one["player"]["id"], two["player"]["id"]);
    drop((here, there, foreigner, socket));
    assert!(tasks.drain(std::time::Duration::from_secs(10)).await);
}
