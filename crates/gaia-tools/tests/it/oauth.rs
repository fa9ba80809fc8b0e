//! Tokens, from an authorization server that keeps the rules.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gaia_protocol::bundle::{ToolOauth, ToolServer, ToolTransport};
use serde_json::{Value, json};

use crate::{
    http::listen,
    support::{House, inside},
};

/// A tool server and its authorization server in one, at one address.
#[derive(Default)]
struct Authority {
    address: Mutex<String>,
    /// What it says that it is, where that is not its address.
    false_issuer: Option<&'static str>,
    /// What it says that it protects, where that is not its address.
    false_resource: Option<&'static str>,
    asked: Mutex<Vec<BTreeMap<String, String>>>,
    valid: Mutex<Vec<String>>,
}

impl Authority {
    async fn serve(self) -> (Arc<Self>, String) {
        let authority = Arc::new(self);
        let router = Router::new()
            .route("/.well-known/oauth-protected-resource", get(resource))
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/token", post(token))
            .route("/mcp", post(tool))
            .with_state(authority.clone());
        let address = listen(router).await;
        authority.address.lock().unwrap().clone_from(&address);
        (authority, format!("{address}/mcp"))
    }
}

async fn resource(State(authority): State<Arc<Authority>>) -> Json<Value> {
    let address = authority.address.lock().unwrap().clone();
    let resource = authority.false_resource.map_or(format!("{address}/mcp"), str::to_owned);
    Json(json!({"resource": resource, "authorization_servers": [address]}))
}

async fn metadata(State(authority): State<Arc<Authority>>) -> Json<Value> {
    let address = authority.address.lock().unwrap().clone();
    Json(json!({
        "issuer": authority.false_issuer.unwrap_or(&address),
        "authorization_endpoint": format!("{address}/authorize"),
        "token_endpoint": format!("{address}/token"),
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
    }))
}

async fn token(State(authority): State<Arc<Authority>>, form: Bytes) -> Response {
    let asked: BTreeMap<_, _> = url::form_urlencoded::parse(&form).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    authority.asked.lock().unwrap().push(asked.clone());
    let is = |key: &str, value: &str| asked.get(key).is_some_and(|found| found == value);
    if !is("client_id", "gaia") || !is("client_secret", "hunter2-secret") {
        return refused("invalid_client");
    }
    let address = authority.address.lock().unwrap().clone();
    if !is("resource", &format!("{address}/mcp")) {
        return refused("invalid_target");
    }
    let is_refresh = is("grant_type", "refresh_token") && is("refresh_token", "hunter2-token");
    if !is_refresh && !is("grant_type", "client_credentials") {
        return refused("invalid_grant");
    }
    let token = format!("token-{}", authority.asked.lock().unwrap().len());
    authority.valid.lock().unwrap().push(token.clone());
    Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600})).into_response()
}

async fn tool(State(authority): State<Arc<Authority>>, headers: HeaderMap, Json(message): Json<Value>) -> Response {
    let shown = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let is_valid = shown.is_some_and(|token| authority.valid.lock().unwrap().iter().any(|valid| valid == token));
    if !is_valid {
        let address = authority.address.lock().unwrap().clone();
        let challenge = format!("Bearer resource_metadata=\"{address}/.well-known/oauth-protected-resource\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    let result = match message["method"].as_str().unwrap() {
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
            "serverInfo": {"name": "locked", "version": "1"}, "ttlMs": 0, "cacheScope": "private",
        }),
        "tools/list" => json!({
            "tools": [{"name": "look", "inputSchema": {"type": "object"}}], "resultType": "complete",
            "ttlMs": 0, "cacheScope": "private",
        }),
        _ => json!({"content": [{"type": "text", "text": "seen"}], "resultType": "complete"}),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

fn locked(url: &str, client_secret: &str, refresh_token: Option<&str>) -> ToolServer {
    let oauth = ToolOauth {
        client_id: "gaia".to_owned(),
        client_secret: Some(client_secret.to_owned()),
        refresh_token: refresh_token.map(str::to_owned),
        scopes: vec!["read".to_owned()],
    };
    let transport = ToolTransport::Http {
        url: url.to_owned(),
        key: None,
        oauth: Some(oauth),
    };
    ToolServer::new("locked", transport)
}

#[tokio::test]
async fn a_client_gets_a_token_for_this_server_alone() {
    let (authority, url) = Authority::default().serve().await;
    let house = House::of(&[locked(&url, "secret", None)]).await;
    assert_eq!(house.report("locked").reason, None);
    assert_eq!(inside(&house.call("locked.look", json!({})).await), "seen");
    let asked = authority.asked.lock().unwrap();
    assert_eq!((asked.len(), asked[0]["scope"].as_str()), (1, "read"));
}

#[tokio::test]
async fn a_refresh_token_is_used_where_one_was_given() {
    let (authority, url) = Authority::default().serve().await;
    let house = House::of(&[locked(&url, "secret", Some("token"))]).await;
    assert_eq!(house.report("locked").reason, None);
    assert_eq!(inside(&house.call("locked.look", json!({})).await), "seen");
    assert_eq!(authority.asked.lock().unwrap()[0]["grant_type"], "refresh_token");
}

#[tokio::test]
async fn a_token_that_is_taken_back_is_had_anew() {
    let (authority, url) = Authority::default().serve().await;
    let house = House::of(&[locked(&url, "secret", None)]).await;
    authority.valid.lock().unwrap().clear();
    let is_seen = async || (!house.call("locked.look", json!({})).await.is_error).then_some(());
    gaia_testkit::eventually("it has a new token", is_seen).await;
    assert!(authority.asked.lock().unwrap().len() >= 2);
}

#[tokio::test]
async fn a_wrong_secret_a_false_issuer_and_a_false_resource_get_nothing_and_show_nothing() {
    let right = Authority::default().serve().await;
    let false_issuer = Authority {
        false_issuer: Some("https://accounts.example.com"),
        ..Authority::default()
    };
    let false_resource = Authority {
        false_resource: Some("https://bank.example.com/mcp"),
        ..Authority::default()
    };
    let cases = [
        (right, "key"),
        (false_issuer.serve().await, "secret"),
        (false_resource.serve().await, "secret"),
    ];
    for ((authority, url), secret) in cases {
        let house = House::of(&[locked(&url, secret, None)]).await;
        let report = house.report("locked");
        assert_eq!(report.state, "failed", "{report:?}");
        let reason = report.reason.unwrap();
        assert!(!reason.contains("hunter2"), "{reason}");
        assert!(authority.valid.lock().unwrap().is_empty(), "{reason}");
        if secret == "secret" {
            let asked = authority.asked.lock().unwrap();
            assert!(asked.is_empty(), "the secret was shown: {reason}");
        }
    }
}
