//! What is refused, and how it is told.

use gaia_testkit::{TestCluster, Visitor};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::id;

/// Sends a request that must be refused and checks that the refusal is a whole problem.
async fn refused(visitor: &Visitor, request: reqwest::RequestBuilder, code: &str, says: &str) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    assert_eq!(headers["content-type"], "application/problem+json", "{code}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["type"], format!("/docs#{code}"));
    assert_eq!(problem["request"], headers["x-request-id"].to_str().unwrap());
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    assert_eq!(status == 401, headers.contains_key("www-authenticate"));
    assert!(!visitor.gateway.is_empty());
}

#[tokio::test]
async fn what_is_not_there_or_not_so_is_refused() {
    let cluster = TestCluster::start().await;
    let (player, stranger) = (cluster.visitor().await, cluster.stranger());
    refused(
        &player,
        stranger.request(Method::GET, "/v1/personas"),
        "sign_in_first",
        "Sign in",
    )
    .await;
    refused(
        &player,
        player.request(Method::PUT, "/v1/personas"),
        "method_not_allowed",
        "method",
    )
    .await;
    let cancel = format!("/v1/conversations/{}/turns/{}/cancel", id(), id());
    refused(&player, player.request(Method::POST, &cancel), "not_found", "turn").await;
    let unknown = format!("/v1/conversations/{}", id());
    let long = format!("/v1/personas?{}", "a".repeat(5_000));
    for (path, code, says) in [
        ("/v1/nowhere", "not_found", "/docs"),
        (&*unknown, "not_found", "no conversation"),
        ("/v1/personas/nobody", "not_found", "character"),
        ("/v1/conversations/not-an-id", "invalid_input", "UUID"),
        ("/v1/conversations/%FF", "invalid_input", "UUID"),
        ("/v1/personas/Bad%00Name", "invalid_input", "lower case"),
        ("/v1/conversations?limit=0", "invalid_input", "`limit`"),
        ("/v1/conversations?limit=101", "invalid_input", "`limit`"),
        ("/v1/conversations?before=zzz", "invalid_input", "`before`"),
        ("/v1/conversations?page=2", "invalid_input", "query"),
        (&*long, "bad_request", "4096"),
        ("/v1/realtime", "bad_request", "WebSocket"),
    ] {
        refused(&player, player.request(Method::GET, path), code, says).await;
    }
    for (path, accept, says) in [
        ("/v1/personas", "image/png", "application/json"),
        ("/v1/conversations/x/turns", "text/html", "text/event-stream"),
        ("/docs", "application/json", "text/html"),
    ] {
        let request = player.request(Method::GET, path).header("accept", accept);
        refused(&player, request, "not_acceptable", says).await;
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_is_refused() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let guest = || player.request(Method::POST, "/v1/players/guest");
    refused(&player, guest(), "unsupported_media_type", "application/json").await;
    refused(
        &player,
        guest().header("content-type", "text/plain").body("{}"),
        "unsupported_media_type",
        "json",
    )
    .await;
    let unknown = format!(r#"{{"device_id":"{}","x":1}}"#, id());
    let huge = format!(r#"{{"device_id":"{}"}}"#, "a".repeat(70_000));
    for (body, code, says) in [
        ("{", "bad_request", "line 1, column 1"),
        ("\u{0}", "bad_request", "line 1"),
        ("{}", "invalid_input", "`device_id`"),
        ("[]", "invalid_input", "expected"),
        (r#"{"device_id":"short"}"#, "invalid_input", "16 to 128"),
        (&*unknown, "invalid_input", "unknown field"),
        (&*huge, "body_too_large", "64 KiB"),
    ] {
        let request = guest().header("content-type", "application/json").body(body.to_owned());
        refused(&player, request, code, says).await;
    }
}

#[tokio::test]
async fn a_value_that_breaks_a_rule_is_refused_by_name() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turns = format!("/v1/conversations/{conversation}/turns");
    for (path, body, code, says) in [
        ("/v1/conversations", json!({ "persona": "nobody" }), "not_found", ""),
        (
            "/v1/conversations",
            json!({ "persona": "No Body" }),
            "invalid_input",
            "`persona`",
        ),
        (
            "/v1/conversations",
            json!({ "persona": "guide", "title": " " }),
            "invalid_input",
            "`title`",
        ),
        (&*turns, json!({ "text": "  \n " }), "invalid_input", "`text`"),
        (&*turns, json!({ "text": "a\u{0}b" }), "invalid_input", "`text`"),
        (&*turns, json!({ "text": "a".repeat(4_001) }), "invalid_input", "4000"),
        (&*turns, json!({ "text": "hi", "turn": "7" }), "invalid_input", "UUID"),
        (
            "/v1/sessions",
            json!({ "email": "ada@example.org", "password": "not the password" }),
            "wrong_credentials",
            "",
        ),
        (
            "/v1/players",
            json!({ "email": "ada", "password": "not the password" }),
            "invalid_input",
            "`email`",
        ),
        (
            "/v1/sessions/refresh",
            json!({ "refresh_token": "nonsense" }),
            "token_invalid",
            "",
        ),
    ] {
        refused(&player, player.request(Method::POST, path).json(&body), code, says).await;
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let put = player.request(Method::PUT, "/v1/conversations").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    let allowed = put.headers()["allow"].to_str().unwrap().to_owned();
    assert!(
        allowed.contains("GET") && allowed.contains("POST") && !allowed.contains("PUT"),
        "{allowed}"
    );
    let head = player.request(Method::HEAD, "/v1/personas").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let options = player
        .request(Method::OPTIONS, "/v1/conversations")
        .send()
        .await
        .unwrap();
    assert!(options.status().is_success(), "{}", options.status());
}

#[tokio::test]
async fn nobody_sees_another_players_things() {
    let cluster = TestCluster::start().await;
    let (owner, other) = (cluster.visitor().await, cluster.visitor().await);
    let conversation = owner.start_conversation("guide").await;
    let path = format!("/v1/conversations/{conversation}");
    let turn = owner.say(&conversation, "Good evening").await.ok();
    let turn = format!("{path}/turns/{}", turn["id"].as_str().unwrap());
    for seen in [
        other.get(&path).await,
        other.delete(&path).await,
        other.get(&format!("{path}/turns")).await,
        other.get(&turn).await,
        other.post(&format!("{turn}/cancel"), json!({})).await,
        other.say(&conversation, "Good evening").await,
        other
            .send(crate::support::saying(&other, &conversation, &id(), "Good evening"))
            .await,
        other
            .send(crate::support::resuming(
                &other,
                &conversation,
                turn.rsplit('/').next().unwrap(),
                0,
            ))
            .await,
    ] {
        assert_eq!(
            (seen.status, seen.code()),
            (StatusCode::NOT_FOUND, "not_found"),
            "{seen:?}"
        );
    }
    assert_eq!(other.get("/v1/conversations").await.ok()["items"], json!([]));
    assert_eq!(owner.get(&turn).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_id_is_taken_over_or_made() {
    let cluster = TestCluster::start().await;
    let stranger = cluster.stranger();
    let given = stranger
        .request(Method::GET, "/v1/personas")
        .header("x-request-id", "run-7_A");
    let problem: Value = given.send().await.unwrap().json().await.unwrap();
    assert_eq!(problem["request"], "run-7_A");
    let hostile = stranger
        .request(Method::GET, "/v1/personas")
        .header("x-request-id", "a b<script>");
    let problem: Value = hostile.send().await.unwrap().json().await.unwrap();
    assert!(problem["request"].as_str().unwrap().starts_with("req_"), "{problem}");
}

#[tokio::test]
async fn only_named_origins_may_call_from_a_browser() {
    let cluster = TestCluster::start().await;
    let stranger = cluster.stranger();
    let preflight = |origin: &str| {
        stranger
            .request(Method::OPTIONS, "/v1/conversations")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type")
            .send()
    };
    let ours = preflight("https://play.example").await.unwrap();
    assert_eq!(ours.headers()["access-control-allow-origin"], "https://play.example");
    assert!(
        ours.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    let theirs = preflight("https://evil.example").await.unwrap();
    assert!(!theirs.headers().contains_key("access-control-allow-origin"));
    // A refusal can be read by the page too.
    let refused = stranger
        .request(Method::GET, "/v1/personas")
        .header("origin", "https://play.example");
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["access-control-allow-origin"], "https://play.example");
}
