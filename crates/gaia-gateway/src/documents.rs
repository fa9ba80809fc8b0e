//! What the API says of itself: OpenAPI for the paths, AsyncAPI for the socket, and a page for people.

mod asyncapi;
mod openapi;
mod page;

use std::sync::LazyLock;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

pub(crate) use self::openapi::head;
use crate::{asked::Asked, game::Shared, problem::Refusal};

/// The OpenAPI 3.1 document of the player's API.
#[must_use]
pub fn openapi() -> Value {
    openapi::document(crate::router::described())
}

/// The AsyncAPI 3.0 document of the socket.
#[must_use]
pub fn asyncapi() -> Value {
    asyncapi::document()
}

static OPENAPI: LazyLock<String> = LazyLock::new(|| openapi().to_string());
static ASYNCAPI: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| page::of(&openapi(), &asyncapi()));

/// Nothing from elsewhere, no scripts, no frames.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; \
                           base-uri 'none'; form-action 'none'";

/// This API as an OpenAPI document
#[utoipa::path(get, path = "/openapi.json", tag = "documents",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)))]
pub(crate) async fn openapi_json() -> Response {
    kept("application/json", &OPENAPI)
}

/// The socket `WS /v1/realtime` as an AsyncAPI document
#[utoipa::path(get, path = "/asyncapi.json", tag = "documents",
    responses((status = 200, description = "AsyncAPI 3.0.", body = serde_json::Value)))]
pub(crate) async fn asyncapi_json() -> Response {
    kept("application/json", &ASYNCAPI)
}

/// This API as a page
#[utoipa::path(get, path = "/docs", tag = "documents",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")))]
pub(crate) async fn docs() -> Response {
    let mut response = kept("text/html; charset=utf-8", &PAGE);
    let policy = axum::http::HeaderValue::from_static(PAGE_POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn kept(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=300")];
    (headers, text).into_response()
}

/// The public keys that access tokens are checked with
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "documents",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517).", body = serde_json::Value)))]
pub(crate) async fn jwks(State(game): State<Shared>, asked: Asked) -> Result<Response, Refusal> {
    let keys = game.tokens.public_keys(&asked.call()).await?;
    Ok(([(header::CACHE_CONTROL, "max-age=300")], Json(keys)).into_response())
}

/// Whether this gateway runs
#[utoipa::path(get, path = "/health/live", tag = "documents",
    responses((status = 200, description = "It does.", body = serde_json::Value)))]
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}
