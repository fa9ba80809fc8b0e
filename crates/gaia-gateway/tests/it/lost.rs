//! Parts that are lost.

use gaia_names::Store;
use gaia_testkit::{ClusterOptions, TestCluster, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn alone() -> TestCluster {
    TestCluster::start_with(ClusterOptions {
        alone: true,
        ..ClusterOptions::default()
    })
    .await
}

#[tokio::test]
async fn without_redis_turns_go_on_and_signing_out_still_holds() {
    let cluster = alone().await;
    let (player, leaver) = (cluster.visitor().await, cluster.visitor().await);
    let gone_before = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    assert_eq!(gone_before.delete("/v1/sessions/current").await.status, 204);
    cluster.game.kill(Store::Redis).await;
    assert_eq!(gone_before.get("/v1/players/me").await.code(), "session_ended");
    for _ in 0..3 {
        assert_eq!(player.say(&conversation, "Good evening").await.ok()["state"], "done");
    }
    assert_eq!(leaver.get("/v1/players/me").await.status, 200);
    // The session has ended; but an instance that still reached Redis would not know, and the answer does not hide it.
    let left = leaver.delete("/v1/sessions/current").await;
    assert_eq!(
        (left.status, left.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    );
    assert_eq!(leaver.get("/v1/players/me").await.code(), "session_ended");

    // Redis comes back empty: nothing that it has forgotten is taken for "never revoked".
    cluster.game.start_again(Store::Redis).await;
    for _ in 0..10 {
        assert_eq!(gone_before.get("/v1/players/me").await.code(), "session_ended");
        assert_eq!(leaver.get("/v1/players/me").await.code(), "session_ended");
        assert_eq!(player.get("/v1/players/me").await.status, 200);
    }
}

#[tokio::test]
async fn without_postgres_the_answer_is_a_clean_503_and_afterwards_it_is_as_before() {
    let cluster = alone().await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    cluster.game.kill(Store::Postgres).await;
    // A killed Postgres leaves processes behind that may answer for a moment more.
    eventually("postgres is gone", async || {
        (player.get("/v1/conversations").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    for answer in [
        player.get("/v1/conversations").await,
        player.say(&conversation, "Good evening").await,
        player.get("/v1/players/me").await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(answer.content_type, "application/problem+json");
    }
    cluster.game.start_again(Store::Postgres).await;
    eventually("conversations are back", async || {
        (player.get("/v1/conversations").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(player.say(&conversation, "Good evening").await.ok()["state"], "done");
}

#[tokio::test]
async fn without_nats_the_gateway_is_not_ready_and_says_so() {
    let cluster = alone().await;
    let player = cluster.visitor().await;
    let ready = format!("http://{}/health/ready", cluster.ops[0]);
    assert_eq!(reqwest::get(&ready).await.unwrap().status(), 200);
    cluster.game.kill(Store::Nats).await;
    let missing: Value = eventually("the gateway sees that nats is gone", async || {
        let answer = reqwest::get(&ready).await.unwrap();
        if answer.status() == 503 {
            Some(answer.json().await.unwrap())
        } else {
            None
        }
    })
    .await;
    let part = format!("{}/nats", cluster.game.id);
    assert!(missing["missing"][&part].is_string(), "{missing}");
    assert_eq!(player.get("/health/live").await.ok(), json!({ "status": "live" }));
    cluster.game.start_again(Store::Nats).await;
    eventually("the gateway is back", async || {
        (player.get("/v1/conversations").await.status == 200).then_some(())
    })
    .await;
}
