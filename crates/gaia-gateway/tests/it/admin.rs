//! The admin API on the second port.

use gaia_testkit::{Answer, TestCluster, Visitor};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::admin;

async fn put(admin: &Visitor, path: &str, body: &Value) -> Answer {
    admin.send(admin.request(Method::PUT, path).json(body)).await
}

#[tokio::test]
async fn a_newer_bundle_is_taken_and_seen_by_players_at_once() {
    let cluster = TestCluster::start().await;
    let (admin, player) = (admin(&cluster), cluster.visitor().await);
    let path = format!("/admin/v1/bundles/{}", cluster.game.id);
    assert_eq!(admin.get(&path).await.ok()["generation"], 1);
    let mut bundle = cluster.bundle.clone();
    bundle.generation = 2;
    bundle.personas[0].name = "The lamplighter".to_owned();
    let bundle = serde_json::to_value(bundle).unwrap();
    let in_use = put(&admin, &path, &bundle).await.ok();
    assert_eq!(
        (&in_use["generation"], &in_use["answers_by"]),
        (&json!(2), &json!("scripted"))
    );
    assert_eq!(player.get("/v1/personas/guide").await.ok()["name"], "The lamplighter");

    let mut foreign = bundle.clone();
    foreign["game"] = json!("another-game");
    assert_eq!(put(&admin, &path, &foreign).await.code(), "invalid_input");
    assert_eq!(
        put(&admin, &path, &json!({ "game": cluster.game.id })).await.code(),
        "invalid_input"
    );
    let huge = json!({ "game": cluster.game.id, "name": "a".repeat(9 * 1024 * 1024) });
    assert_eq!(put(&admin, &path, &huge).await.code(), "body_too_large");
}

#[tokio::test]
async fn a_bundle_of_many_megabytes_goes_all_the_way() {
    let cluster = TestCluster::start().await;
    let (admin, player) = (admin(&cluster), cluster.visitor().await);
    let path = format!("/admin/v1/bundles/{}", cluster.game.id);
    let line = "The lamps of the north bridge burn beech oil, and the \"old\" ferryman knows why. ";
    for (generation, megabytes) in [(2, 5), (3, 7)] {
        let mut bundle = cluster.bundle.clone();
        bundle.generation = generation;
        bundle.personas = (0..32)
            .map(|number| gaia_testkit::persona(&format!("keeper_{number}")))
            .collect();
        let each = megabytes * 1024 * 1024 / bundle.personas.len();
        for persona in &mut bundle.personas {
            persona.name = format!("Keeper of {generation}");
            persona.facts[0].say = vec![line.to_owned(); each / (line.len() + 5)];
        }
        let bundle = serde_json::to_value(bundle).unwrap();
        assert!(bundle.to_string().len() > megabytes * 1000 * 1000);
        assert_eq!(put(&admin, &path, &bundle).await.ok()["generation"], generation);
        let seen = player.get("/v1/personas/keeper_31").await.ok();
        assert_eq!(seen["name"], format!("Keeper of {generation}"));
    }
}

#[tokio::test]
async fn a_role_is_given_and_stands_in_the_next_token() {
    let cluster = TestCluster::start().await;
    let (admin, player) = (admin(&cluster), cluster.visitor().await);
    let me = player.get("/v1/players/me").await.ok();
    let path = format!(
        "/admin/v1/players/{}/{}/role",
        cluster.game.id,
        me["id"].as_str().unwrap()
    );
    assert_eq!(
        put(&admin, &path, &json!({ "role": "moderator" })).await.ok()["role"],
        "moderator"
    );
    assert_eq!(player.get("/v1/players/me").await.ok()["role"], "moderator");
    assert_eq!(
        put(&admin, &path, &json!({ "role": "king" })).await.code(),
        "invalid_input"
    );
    let nobody = format!("/admin/v1/players/{}/{}/role", cluster.game.id, crate::support::id());
    assert_eq!(
        put(&admin, &nobody, &json!({ "role": "admin" })).await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn costs_are_for_whoever_has_the_admin_token() {
    let cluster = TestCluster::start().await;
    let (admin, player) = (admin(&cluster), cluster.visitor().await);
    let conversation = player.start_conversation("guide").await;
    drop(player.say(&conversation, "Good evening").await.ok());
    let path = format!("/admin/v1/costs/{}", cluster.game.id);
    let costs = admin.get(&format!("{path}?by=persona")).await.ok();
    assert_eq!(
        (&costs["rows"][0]["key"], &costs["total"]["calls"]),
        (&json!("guide"), &json!(1))
    );
    assert_eq!(costs["total"]["cost_micros"], 0, "its route is on this machine");
    assert_eq!(costs["spending"][1]["period"], "month");
    for bad in ["?by=week", "?since=soon", "?since=9999-01-01", "?until=2026-01-01"] {
        assert_eq!(
            admin.get(&format!("{path}{bad}")).await.code(),
            "invalid_input",
            "{bad}"
        );
    }
    let mut outside = admin.clone();
    outside.access_token = player.access_token.clone();
    assert_eq!(outside.get(&path).await.code(), "token_invalid");
}

#[tokio::test]
async fn only_the_admin_token_opens_the_admin_api_and_players_cannot_reach_it() {
    let cluster = TestCluster::start().await;
    let (admin, player) = (admin(&cluster), cluster.visitor().await);
    let path = format!("/admin/v1/bundles/{}", cluster.game.id);
    let mut stranger = admin.clone();
    stranger.access_token = None;
    assert_eq!(stranger.get(&path).await.code(), "sign_in_first");
    stranger.access_token = player.access_token.clone();
    assert_eq!(stranger.get(&path).await.code(), "token_invalid");
    assert_eq!(admin.get("/admin/v1/bundles/another-game").await.code(), "not_found");
    assert_eq!(admin.get("/admin/v1/bundles/No%20Game").await.code(), "invalid_input");
    assert_eq!(admin.get("/admin/v2/anything").await.code(), "not_found");
    assert_eq!(admin.delete(&path).await.code(), "method_not_allowed");
    let mut outside = admin.clone();
    outside.gateway = cluster.gateway.clone();
    assert_eq!(outside.get(&path).await.code(), "not_found");
    assert_eq!(outside.get("/metrics").await.code(), "not_found");
}

#[tokio::test]
async fn requests_and_refusals_are_counted_by_pattern_and_not_by_path() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let missing = crate::support::id();
    player.get(&format!("/v1/conversations/{missing}")).await;
    player.get(&format!("/made/up/{missing}")).await;
    let metrics = reqwest::get(format!("http://{}/metrics", cluster.ops[0]))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mine = |name: &str| {
        let game = format!("game=\"{}\"", cluster.game.id);
        metrics
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(&game))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let requests = mine("gaia_http_requests_total");
    assert!(
        requests.contains("route=\"/v1/conversations/{conversation}\",method=\"GET\",status=\"404\""),
        "{requests}"
    );
    assert!(requests.contains("route=\"elsewhere\""), "{requests}");
    assert!(mine("gaia_refusals_total").contains("code=\"not_found\""));
    assert!(mine("gaia_http_request_seconds_bucket").contains("le=\"0.005\""));
    assert!(!mine("gaia_open_connections").is_empty());
    assert!(!metrics.contains(&missing));
}

#[tokio::test]
async fn a_key_is_made_shown_once_listed_and_revoked() {
    let cluster = TestCluster::start().await;
    let admin = admin(&cluster);
    let path = format!("/admin/v1/keys/{}", cluster.game.id);
    assert_eq!(admin.get(&path).await.ok(), json!([]));
    let made = admin.post(&path, json!({ "name": "website" })).await;
    assert_eq!(made.status, 201);
    let secret = made.body["secret"].as_str().unwrap();
    assert!(
        secret.starts_with(&format!("gaia_{}_", cluster.game.id)) && secret.len() > 60,
        "{secret}"
    );
    let listed = admin.get(&path).await.ok();
    let key = &listed[0];
    assert_eq!(
        (&key["name"], &key["scopes"], &key["revoked_at"]),
        (&json!("website"), &json!(["chat"]), &Value::Null)
    );
    assert!(secret.starts_with(key["hint"].as_str().unwrap()));
    assert!(!listed.to_string().contains(secret), "the key is shown again");

    let one = format!("{path}/{}", key["id"].as_str().unwrap());
    let revoked = admin.delete(&one).await.ok();
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(
        admin.delete(&one).await.ok(),
        revoked,
        "revoking it again changes nothing"
    );
    let nobody = format!("{path}/{}", crate::support::id());
    assert_eq!(admin.delete(&nobody).await.code(), "not_found");
    for bad in [
        json!({}),
        json!({ "name": " " }),
        json!({ "name": "x", "scopes": [] }),
        json!({ "name": "x", "scopes": ["everything"] }),
        json!({ "name": "x", "requests_per_minute": 0 }),
    ] {
        assert_eq!(admin.post(&path, bad.clone()).await.code(), "invalid_input", "{bad}");
    }
    let mut stranger = admin.clone();
    stranger.access_token = cluster.visitor().await.access_token;
    assert_eq!(stranger.get(&path).await.code(), "token_invalid");
}
