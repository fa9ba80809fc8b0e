//! Requests that come before the service that answers them.

use std::time::{Duration, Instant};

use gaia_service::Tasks;
use gaia_testkit::{TestCluster, TestGame, Visitor};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::id;

#[tokio::test]
async fn a_question_waits_a_moment_for_a_service_that_is_just_starting() {
    let (game, tasks) = (TestGame::start().await, Tasks::default());
    let listening = gaia_gateway::start(game.gateway_settings(), &tasks).await.unwrap();
    let visitor = Visitor::new(format!("http://{}", listening.games[&game.id]));
    // The question is asked at once, and auth has to find its stores first.
    let guest = json!({ "device_id": format!("device-{}", id()) });
    let starts = gaia_auth::start(game.auth_settings(), &tasks);
    let (entered, started) = tokio::join!(visitor.post("/v1/players/guest", guest), starts);
    started.unwrap();
    assert!(entered.status.is_success(), "{entered:?}");
}

#[tokio::test]
async fn a_turn_waits_a_moment_for_a_chat_that_is_just_starting() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    cluster.tasks[2].drain(Duration::from_secs(5)).await;
    let tasks = Tasks::default();
    let starts = gaia_chat::start(cluster.game.chat_settings(&cluster.bundle), &tasks);
    let (turn, started) = tokio::join!(player.say(&conversation, "Good evening"), starts);
    started.unwrap();
    assert_eq!(turn.ok()["state"], "done");
}

#[tokio::test]
async fn where_nobody_comes_the_refusal_does_not_take_long() {
    let (game, tasks) = (TestGame::start().await, Tasks::default());
    let listening = gaia_gateway::start(game.gateway_settings(), &tasks).await.unwrap();
    let visitor = Visitor::new(format!("http://{}", listening.games[&game.id]));
    let began = Instant::now();
    let refused = visitor
        .post("/v1/players/guest", json!({ "device_id": format!("device-{}", id()) }))
        .await;
    let took = began.elapsed();
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    );
    assert!(
        took > Duration::from_millis(400) && took < Duration::from_secs(3),
        "{took:?}"
    );
}
