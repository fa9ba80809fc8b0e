//! Every address of the server, by who calls it.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::metrics::Now;
use super::refusal::Refusal;
use super::{Shared, access, embeddings};
use crate::worker::Life;

/// The contents page.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let with_key = Router::new()
        // For services.
        .route(
            "/v1/embeddings",
            post(embeddings::embed).fallback(|| async { Refusal::wrong_method("POST") }),
        )
        .route(
            "/v1/models",
            get(list_models).fallback(|| async { Refusal::wrong_method("GET") }),
        )
        // For operators.
        .route(
            "/metrics",
            get(read_metrics).fallback(|| async { Refusal::wrong_method("GET") }),
        )
        .fallback(|| async { Refusal::unknown_path() })
        .layer(DefaultBodyLimit::max(embeddings::BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&shared), access::with_key));
    // For the platform, without the key: they say nothing about players or games.
    Router::new()
        .route("/health/live", get(|| async { Json(json!({ "status": "live" })) }))
        .route("/health/ready", get(tell_ready))
        .merge(with_key)
        .with_state(shared)
}

async fn list_models(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let model = json!({ "id": shared.model.name, "object": "model", "created": 0, "owned_by": "gaia" });
    Json(json!({ "object": "list", "data": [model] }))
}

async fn tell_ready(State(shared): State<Arc<Shared>>) -> Response {
    match shared.missing() {
        None => Json(json!({ "status": "ready" })).into_response(),
        Some(missing) => {
            let body = json!({ "status": "not ready", "missing": { "model": missing } });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

async fn read_metrics(State(shared): State<Arc<Shared>>) -> Response {
    let now = Now {
        ready: shared.missing().is_none(),
        free_places: shared.worker.free_places(),
        kept: shared.cache.kept(),
    };
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.text(&now)).into_response()
}

impl Shared {
    /// Why the model does not answer, or `None` when it does.
    pub(super) fn missing(&self) -> Option<String> {
        match &*self.worker.life().borrow() {
            Life::Ready => None,
            Life::Loading => Some("the model is being loaded; this takes about a second".into()),
            Life::Failed(reason) => Some(reason.clone()),
            Life::Ended => Some("the model's thread has ended; the process is ending too".into()),
        }
    }
}
