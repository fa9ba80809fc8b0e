//! What a player does from first to last.

use gaia_testkit::TestCluster;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::id;

#[tokio::test]
async fn a_guest_comes_in_and_talks() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let me = player.get("/v1/players/me").await.ok();
    assert_eq!((&me["is_guest"], &me["role"]), (&json!(true), &json!("player")));
    let renamed = player
        .patch("/v1/players/me", json!({ "display_name": "Zoë 🧟‍♀️" }))
        .await
        .ok();
    assert_eq!(renamed["display_name"], "Zoë 🧟‍♀️");

    let personas = player.get("/v1/personas").await.ok();
    assert_eq!(personas[0]["id"], "guide");
    assert_eq!(player.get("/v1/personas/merchant").await.ok()["name"], "The merchant");

    let answer = player
        .request(Method::POST, "/v1/conversations")
        .json(&json!({ "persona": "guide", "title": "Lanterns" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let conversation = player.get(&location).await.ok();
    assert_eq!(
        (&conversation["title"], &conversation["turns"]),
        (&json!("Lanterns"), &json!(0))
    );

    let turn = player
        .post(&format!("{location}/turns"), json!({ "text": "Good evening" }))
        .await;
    assert_eq!(turn.status, StatusCode::CREATED);
    assert_eq!(turn.body["reply"]["text"], "Good evening, traveller.");
    assert_eq!(turn.body["state"], "done");
    let kept = player
        .get(&format!("{location}/turns/{}", turn.body["id"].as_str().unwrap()))
        .await
        .ok();
    assert_eq!(kept, turn.body);
    let turns = player.get(&format!("{location}/turns?limit=1")).await.ok();
    assert_eq!(turns["items"][0], turn.body);
    assert_eq!(player.delete(&location).await.status, StatusCode::NO_CONTENT);
    assert_eq!(player.get(&location).await.code(), "not_found");
}

#[tokio::test]
async fn a_guest_signs_up_keeps_everything_and_leaves() {
    let cluster = TestCluster::start().await;
    let mut player = cluster.visitor().await;
    let me = player.get("/v1/players/me").await.ok();
    let conversation = player.start_conversation("guide").await;
    let email = format!("{}@example.org", id());
    let credentials = json!({ "email": email, "password": "lantern oil and beech" });
    let signed_up = player.post("/v1/players", credentials.clone()).await;
    assert_eq!(signed_up.status, StatusCode::CREATED, "{signed_up:?}");
    assert_eq!(signed_up.body["player"]["id"], me["id"]);
    player.take_tokens(&signed_up.body);
    assert_eq!(
        player.get("/v1/conversations").await.ok()["items"][0]["id"],
        conversation
    );

    let mut elsewhere = cluster.stranger();
    let signed_in = elsewhere.post("/v1/sessions", credentials).await;
    assert_eq!(signed_in.status, StatusCode::CREATED);
    elsewhere.take_tokens(&signed_in.body);
    let refreshed = elsewhere
        .post(
            "/v1/sessions/refresh",
            json!({ "refresh_token": elsewhere.refresh_token }),
        )
        .await;
    assert_eq!(refreshed.status, StatusCode::OK);
    elsewhere.take_tokens(&refreshed.body);

    // Signing out holds at once, here and everywhere.
    assert_eq!(
        elsewhere.delete("/v1/sessions/current").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(elsewhere.get("/v1/players/me").await.code(), "session_ended");
    assert_eq!(player.get("/v1/players/me").await.status, StatusCode::OK);
    assert_eq!(player.delete("/v1/players/me").await.status, StatusCode::NO_CONTENT);
    assert_eq!(player.get("/v1/conversations").await.code(), "session_ended");
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session() {
    let cluster = TestCluster::start().await;
    let device = json!({ "device_id": format!("device-{}", id()) });
    let mut sessions = [cluster.stranger(), cluster.stranger(), cluster.stranger()];
    for session in &mut sessions {
        let signed_in = session.post("/v1/players/guest", device.clone()).await.ok();
        session.take_tokens(&signed_in);
    }
    let [one, two, three] = &sessions;
    assert_eq!(
        one.get("/v1/players/me").await.ok(),
        two.get("/v1/players/me").await.ok()
    );
    assert_eq!(two.delete("/v1/sessions").await.status, StatusCode::NO_CONTENT);
    for session in [one, two, three] {
        assert_eq!(session.get("/v1/players/me").await.code(), "session_ended");
        let refresh = json!({ "refresh_token": session.refresh_token });
        assert_eq!(
            session.post("/v1/sessions/refresh", refresh).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let mut started = Vec::new();
    for _ in 0..5 {
        started.push(player.start_conversation("guide").await);
    }
    started.reverse();
    let (mut seen, mut path) = (Vec::new(), "/v1/conversations?limit=2".to_owned());
    loop {
        let page = player.get(&path).await.ok();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/conversations?limit=2&before={next}");
    }
    assert_eq!(seen, started);
}

#[tokio::test]
async fn the_same_turn_sent_again_is_the_same_turn() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let path = format!("/v1/conversations/{conversation}/turns");
    let turn = json!({ "text": "Good evening", "turn": id() });
    let first = player.post(&path, turn.clone()).await.ok();
    let again = player.post(&path, turn.clone()).await.ok();
    assert_eq!(first, again);
    let other = player
        .post(&path, json!({ "text": "Goodbye", "turn": turn["turn"] }))
        .await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "turn_mismatch"));
    assert_eq!(player.get(&path).await.ok()["items"].as_array().unwrap().len(), 1);
}
