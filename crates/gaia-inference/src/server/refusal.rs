//! Refusals in the shape that OpenAI's clients read.

use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What is wrong with a request.
const REQUEST: &str = "invalid_request_error";

/// What is wrong with the server.
const SERVER: &str = "server_error";

/// An answer that is not the one that was asked for.
#[derive(Debug)]
pub(super) struct Refusal(Box<Content>);

#[derive(Debug)]
struct Content {
    status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<&'static str>,
    code: &'static str,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Content {
            status,
            message,
            kind,
            param: None,
            code,
            header: None,
        }))
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, value));
        self
    }

    fn with_param(mut self, param: &'static str) -> Self {
        self.0.param = Some(param);
        self
    }

    /// A field of the request is wrong.
    pub(super) fn field(param: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, REQUEST, code, message).with_param(param)
    }

    /// The request as a whole cannot be read.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, REQUEST, "invalid_json", message)
    }

    pub(super) fn wrong_key() -> Self {
        let message = "The key is missing or wrong. Send it as `Authorization: Bearer KEY`.";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "invalid_api_key",
            message,
        )
        .with_header(WWW_AUTHENTICATE, "Bearer")
    }

    pub(super) fn unknown_model(known: &str) -> Self {
        let message = format!("There is no such model here. This server has `{known}`.");
        Self::new(StatusCode::NOT_FOUND, REQUEST, "model_not_found", message).with_param("model")
    }

    pub(super) fn unknown_path() -> Self {
        let message = "There is nothing at this address. Try /v1/embeddings or /v1/models.";
        Self::new(StatusCode::NOT_FOUND, REQUEST, "unknown_url", message)
    }

    pub(super) fn wrong_method(allowed: &'static str) -> Self {
        let message = format!("This address takes {allowed}.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, REQUEST, "method_not_allowed", message).with_header(ALLOW, allowed)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("The request is larger than {limit} bytes. Send fewer texts at once.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, REQUEST, "request_too_large", message)
    }

    pub(super) fn slow_client() -> Self {
        let message = "The request took too long to arrive.";
        Self::new(StatusCode::REQUEST_TIMEOUT, REQUEST, "request_timeout", message)
    }

    /// The queue is full.
    pub(super) fn full() -> Self {
        Self::later(
            "overloaded",
            "Too many texts wait already. Try again in a second, with fewer at once.",
        )
    }

    /// The model took too long.
    pub(super) fn timed_out() -> Self {
        Self::later(
            "timeout",
            "The model did not get to these texts in time. Try again, with fewer at once.",
        )
    }

    /// The model is not there, or not yet.
    pub(super) fn not_ready(reason: &str) -> Self {
        Self::later("model_not_ready", reason)
    }

    fn later(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, code, message).with_header(RETRY_AFTER, "1")
    }

    /// The model failed on these texts; the log has the cause.
    pub(super) fn failed() -> Self {
        let message = "The model failed on these texts. The server's log says why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, "model_failed", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let content = *self.0;
        let body = json!({ "error": {
            "message": content.message, "type": content.kind, "param": content.param, "code": content.code,
        }});
        let mut response = (content.status, Json(body)).into_response();
        if let Some((name, value)) = content.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
