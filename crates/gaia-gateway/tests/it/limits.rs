//! How often one may ask.

use gaia_testkit::{ClusterOptions, TestCluster, Visitor};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::id;

async fn limited(requests_per_minute: u32, sign_ins_per_minute: u32, alone: bool) -> TestCluster {
    TestCluster::start_with(ClusterOptions {
        alone,
        gateway: Some(Box::new(move |gateway, _| {
            gateway.requests_per_minute = requests_per_minute;
            gateway.sign_ins_per_minute = sign_ins_per_minute;
        })),
        ..ClusterOptions::default()
    })
    .await
}

/// How many of so many requests at once are let in.
async fn let_in(player: &Visitor, of: usize) -> usize {
    let mut taken = 0;
    for _ in 0..of {
        let answer = player.request(Method::GET, "/v1/personas").send().await.unwrap();
        if answer.status() == StatusCode::OK {
            taken += 1;
            continue;
        }
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=6).contains(&wait), "{wait}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "rate_limited");
    }
    taken
}

#[tokio::test]
async fn a_player_who_asks_too_often_is_told_to_wait_and_others_are_not() {
    let cluster = limited(60, 1_000_000, false).await;
    let (eager, calm) = (cluster.visitor().await, cluster.visitor().await);
    let taken = let_in(&eager, 30).await;
    assert!((10..=12).contains(&taken), "{taken}");
    assert_eq!(let_in(&calm, 5).await, 5);
}

#[tokio::test]
async fn instances_of_the_gateway_count_together() {
    let cluster = limited(60, 1_000_000, false).await;
    let tasks = gaia_service::Tasks::default();
    let mut here = cluster.visitor().await;
    assert!(let_in(&here, 8).await == 8);
    // The other instance has the default limits of tests, but the count is the same key.
    let there = cluster.another_gateway(&tasks).await;
    here.gateway = there;
    assert_eq!(here.get("/v1/personas").await.status, 200);
}

#[tokio::test]
async fn attempts_to_sign_in_are_counted_by_address() {
    let cluster = limited(1_000_000, 12, false).await;
    let stranger = cluster.stranger();
    let mut codes = Vec::new();
    for _ in 0..6 {
        let wrong = json!({ "email": format!("{}@example.org", id()), "password": "not the password" });
        codes.push(stranger.post("/v1/sessions", wrong).await.code().to_owned());
    }
    assert_eq!(codes[..2], ["wrong_credentials", "wrong_credentials"]);
    assert_eq!(codes[5], "rate_limited");
    // The other ways in share the count.
    let guest = json!({ "device_id": id() });
    assert_eq!(stranger.post("/v1/players/guest", guest).await.code(), "rate_limited");
}

#[tokio::test]
async fn without_redis_each_instance_counts_for_itself() {
    let cluster = limited(60, 1_000_000, true).await;
    let player = cluster.visitor().await;
    cluster.game.kill(gaia_names::Store::Redis).await;
    let taken = let_in(&player, 30).await;
    assert!((10..=14).contains(&taken), "{taken}");
}
