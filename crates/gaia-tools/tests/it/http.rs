//! Servers over HTTP, of both eras.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::stream;
use gaia_protocol::bundle::{ToolServer, ToolTransport};
use gaia_tools::CallFault;
use serde_json::{Value, json};

use crate::support::{House, inside};

/// A server over HTTP that does as it is told.
#[derive(Default)]
pub(crate) struct Remote {
    pub(crate) is_legacy: bool,
    pub(crate) key: Option<&'static str>,
    pub(crate) redirects_to: Option<String>,
    pub(crate) sessions: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    pub(crate) methods: Mutex<Vec<String>>,
    pub(crate) authorizations: Mutex<Vec<String>>,
    /// How much of an answer without an end was sent, in bytes.
    sent: AtomicUsize,
    expired: AtomicUsize,
}

impl Remote {
    /// Serves until the test's runtime ends.
    pub(crate) async fn serve(self) -> (Arc<Self>, String) {
        let remote = Arc::new(self);
        let router = Router::new().route("/mcp", post(answer)).with_state(remote.clone());
        let address = listen(router).await;
        (remote, format!("{address}/mcp"))
    }

    fn result(&self, message: &Value) -> Option<Value> {
        Some(match message["method"].as_str()? {
            "server/discover" if self.is_legacy => return None,
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
                "serverInfo": {"name": "remote", "version": "1"}, "ttlMs": 0, "cacheScope": "private",
            }),
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "remote", "version": "1"},
            }),
            "tools/list" => json!({
                "tools": [{"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}],
                "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            }),
            "tools/call" => {
                let count = self.calls.fetch_add(1, Ordering::SeqCst);
                let text = format!("call {count}");
                json!({"content": [{"type": "text", "text": text}], "resultType": "complete"})
            }
            _ => return None,
        })
    }
}

/// An answer that does not end.
fn endless(remote: Arc<Remote>, media_type: &str) -> Response {
    let start = std::iter::once(Bytes::from_static(b"data: {\"jsonrpc\": \"2.0\", \"result\": \""));
    let more = std::iter::repeat_with(move || {
        remote.sent.fetch_add(64 * 1024, Ordering::SeqCst);
        Bytes::from(vec![b'x'; 64 * 1024])
    });
    let body = Body::from_stream(stream::iter(start.chain(more).map(Ok::<_, Infallible>)));
    ([("content-type", media_type.to_owned())], body).into_response()
}

pub(crate) async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's runtime ends with the test, and everything on it"
    )]
    drop(tokio::spawn(
        async move { axum::serve(listener, router).await.unwrap() },
    ));
    format!("http://{address}")
}

async fn answer(State(remote): State<Arc<Remote>>, headers: HeaderMap, Json(message): Json<Value>) -> Response {
    if let Some(elsewhere) = &remote.redirects_to {
        return (StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere.clone())]).into_response();
    }
    let authorization = headers
        .get("authorization")
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    remote.authorizations.lock().unwrap().push(authorization.clone());
    if remote.key.is_some_and(|key| authorization != format!("Bearer {key}")) {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response();
    }
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    remote.methods.lock().unwrap().push(method.clone());
    if remote.is_legacy && !matches!(method.as_str(), "initialize" | "server/discover") {
        let current = format!("session-{}", remote.sessions.load(Ordering::SeqCst));
        let is_current = headers
            .get("mcp-session-id")
            .is_some_and(|id| id.to_str().unwrap() == current);
        if !is_current || remote.expired.swap(0, Ordering::SeqCst) == 1 {
            return StatusCode::NOT_FOUND.into_response();
        }
    }
    if let Some(media_type) = message["params"]["arguments"]["endless"].as_str() {
        return endless(remote, media_type);
    }
    let Some(id) = message.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let Some(result) = remote.result(&message) else {
        let fault = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}});
        return (StatusCode::NOT_FOUND, Json(fault)).into_response();
    };
    let answer = Json(json!({"jsonrpc": "2.0", "id": id, "result": result}));
    if method == "initialize" {
        let session = format!("session-{}", remote.sessions.fetch_add(1, Ordering::SeqCst) + 1);
        return ([("mcp-session-id", session)], answer).into_response();
    }
    answer.into_response()
}

pub(crate) fn at(url: &str) -> ToolServer {
    let transport = ToolTransport::Http {
        url: url.to_owned(),
        key: None,
        oauth: None,
    };
    ToolServer::new("remote", transport)
}

#[tokio::test]
async fn the_modern_era_is_tried_first_and_needs_no_session() {
    let (remote, url) = Remote::default().serve().await;
    let house = House::of(&[at(&url)]).await;
    let answer = house.call("remote.look", json!({})).await;
    assert_eq!(inside(&answer), "call 0");
    assert_eq!(house.report("remote").revision.as_deref(), Some("2026-07-28"));
    assert_eq!(
        remote.methods.lock().unwrap()[..],
        ["server/discover", "tools/list", "tools/call"]
    );
}

#[tokio::test]
async fn the_older_era_is_spoken_where_the_modern_one_is_not_and_a_lost_session_is_made_anew() {
    let remote = Remote {
        is_legacy: true,
        ..Remote::default()
    };
    let (remote, url) = remote.serve().await;
    let house = House::of(&[at(&url)]).await;
    assert_eq!(house.report("remote").revision.as_deref(), Some("2025-11-25"));
    assert_eq!(inside(&house.call("remote.look", json!({})).await), "call 0");
    remote.expired.store(1, Ordering::SeqCst);
    assert_eq!(inside(&house.call("remote.look", json!({})).await), "call 1");
    assert_eq!(remote.sessions.load(Ordering::SeqCst), 2);
    assert_eq!(house.report("remote").restarts, 0);
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_further_than_it_may_be_long() {
    // A stream that is broken off does not say why.
    for (media_type, fault) in [
        ("application/json", CallFault::TooLarge),
        ("text/event-stream", CallFault::Lost),
    ] {
        let (remote, url) = Remote::default().serve().await;
        let house = House::of(&[at(&url)]).await;
        let answer = house.call("remote.look", json!({"endless": media_type})).await;
        assert_eq!(answer.fault, Some(fault), "{media_type}: {answer:?}");
        let sent = remote.sent.load(Ordering::SeqCst);
        assert!(sent < 16 << 20, "{media_type}: {sent} bytes were read");
        house.until("remote", "ready").await;
        assert!(!house.call("remote.look", json!({})).await.is_error);
    }
}

#[tokio::test]
async fn a_key_is_shown_to_its_server_and_never_carried_elsewhere() {
    let (elsewhere, other) = Remote::default().serve().await;
    let keyed = |url: &str| {
        let transport = ToolTransport::Http {
            url: url.to_owned(),
            key: Some("key".to_owned()),
            oauth: None,
        };
        ToolServer::new("remote", transport)
    };
    let strict = Remote {
        key: Some("hunter2-key"),
        ..Remote::default()
    };
    let (_, url) = strict.serve().await;
    assert_eq!(House::of(&[keyed(&url)]).await.names("remote"), ["remote.look"]);
    let without = House::of(&[at(&url)]).await;
    assert_eq!(
        without.report("remote").state,
        "failed",
        "{:?}",
        without.report("remote")
    );

    let redirecting = Remote {
        redirects_to: Some(other),
        ..Remote::default()
    };
    let (_, url) = redirecting.serve().await;
    let house = House::of(&[keyed(&url)]).await;
    assert_eq!(house.report("remote").state, "failed");
    assert_eq!(*elsewhere.authorizations.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_is_away_is_told_of_and_found_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let house = House::of(&[at(&format!("http://{address}/mcp"))]).await;
    assert_eq!(house.report("remote").state, "failed");
    let remote = Arc::new(Remote::default());
    let router = Router::new().route("/mcp", post(answer)).with_state(remote);
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's runtime ends with the test, and everything on it"
    )]
    drop(tokio::spawn(
        async move { axum::serve(listener, router).await.unwrap() },
    ));
    house.until("remote", "ready").await;
    assert_eq!(inside(&house.call("remote.look", json!({})).await), "call 0");
}
