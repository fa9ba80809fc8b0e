//! A stand-in for the machine's embeddings, for tests in which likeness must be known: texts are as alike as their
//! words.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use gaia_names::Secret;
use gaia_protocol::settings::InferenceAccess;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const DIMENSIONS: usize = 384;

#[derive(Clone, Default)]
pub(crate) struct Embeddings {
    state: Arc<Shared>,
    address: String,
}

#[derive(Default)]
struct Shared {
    is_slow: AtomicBool,
    is_broken: AtomicBool,
    /// What was sent, and whether it may be kept.
    texts: Mutex<Vec<(String, bool)>>,
}

impl Embeddings {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(Shared::default());
        let router = Router::new()
            .route("/v1/embeddings", post(embed))
            .with_state(Arc::clone(&state));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { state, address }
    }

    pub(crate) fn access(&self) -> InferenceAccess {
        InferenceAccess {
            base_url: self.address.clone(),
            key: Secret::new("embedding-key"),
        }
    }

    pub(crate) fn slow(&self, is_slow: bool) {
        self.state.is_slow.store(is_slow, Ordering::SeqCst);
    }

    pub(crate) fn broken(&self, is_broken: bool) {
        self.state.is_broken.store(is_broken, Ordering::SeqCst);
    }

    pub(crate) fn texts(&self) -> Vec<(String, bool)> {
        self.state.texts.lock().unwrap().clone()
    }
}

async fn embed(State(state): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if headers
        .get("authorization")
        .is_none_or(|key| key != "Bearer embedding-key")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if state.is_slow.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    if state.is_broken.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let is_kept = headers.get("gaia-keep").is_some_and(|value| value == "1");
    let texts: Vec<_> = body["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert!((1..=64).contains(&texts.len()) && body["model"] == "all-minilm-l6-v2");
    let mut seen = state.texts.lock().unwrap();
    seen.extend(texts.iter().map(|text| ((*text).to_owned(), is_kept)));
    let rows: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "object": "embedding", "index": index, "embedding": BASE64_STANDARD.encode(vector(text)) }))
        .collect();
    Json(json!({ "object": "list", "data": rows, "model": "all-minilm-l6-v2", "usage": {} })).into_response()
}

fn vector(text: &str) -> Vec<u8> {
    let mut vector = [0.0_f32; DIMENSIONS];
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    for word in words.map(|word| word.trim_end_matches('s')) {
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        // Small words count little, as they mean little.
        let weight = if word.len() < 4 { 0.3 } else { 1.0 };
        vector[usize::try_from(hasher.finish() % DIMENSIONS as u64).unwrap()] += weight;
    }
    vector[0] += 0.01;
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}
