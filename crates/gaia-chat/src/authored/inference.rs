//! The machine's embeddings, behind OpenAI's wire format.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use gaia_protocol::settings::InferenceAccess;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// A text's meaning, of length one.
pub(super) type Vector = Vec<f32>;

const MODEL: &str = "all-minilm-l6-v2";
/// How many texts one request brings.
const TEXTS: usize = 64;
/// The longest answer: a batch of vectors as base64 is a fifth of it.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a batch of the author's lines may take. Nobody waits for it.
const KEPT_PATIENCE: Duration = Duration::from_secs(30);
/// How long it is left alone after it failed, so that turns need not wait for it in vain.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// The machine's inference. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inference {
    http: reqwest::Client,
    access: Arc<InferenceAccess>,
    failing: Arc<Mutex<Option<(Instant, String)>>>,
    /// The authors' lines are read one batch at a time: players' lines go before.
    kept: Arc<Semaphore>,
}

/// Why there are no embeddings.
#[derive(Debug, thiserror::Error)]
pub(super) enum InferenceFault {
    #[error("it failed a moment ago")]
    LeftAlone,
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it refuses with status {0}")]
    Refused(StatusCode),
    #[error("it takes over {} ms", .0.as_millis())]
    Slow(Duration),
    #[error("it answers with what its format does not allow")]
    Garbage,
}

#[derive(Serialize)]
struct Ask<'a> {
    model: &'static str,
    encoding_format: &'static str,
    input: &'a [String],
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    embedding: String,
}

impl Inference {
    pub(crate) fn new(access: InferenceAccess, http: reqwest::Client) -> Self {
        Self {
            http,
            access: Arc::new(access),
            failing: Arc::default(),
            kept: Arc::new(Semaphore::new(1)),
        }
    }

    /// Why it failed when it was last asked, if it did.
    pub(crate) fn failing(&self) -> Option<String> {
        self.lock().as_ref().map(|(_, why)| why.clone())
    }

    /// The meanings of what a player said. Nothing of it is kept there.
    pub(super) async fn embed(&self, texts: &[String], patience: Duration) -> Result<Vec<Vector>, InferenceFault> {
        if self
            .lock()
            .as_ref()
            .is_some_and(|(when, _)| when.elapsed() < LEFT_ALONE)
        {
            return Err(InferenceFault::LeftAlone);
        }
        self.noted(self.batch(texts, false, patience).await)
    }

    /// The meanings of an author's lines, which the inference may keep for the next start.
    pub(super) async fn embed_kept(&self, texts: &[String]) -> Result<Vec<Vector>, InferenceFault> {
        let mut vectors = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS) {
            let _turn = self.kept.acquire().await;
            vectors.extend(self.noted(self.batch(some, true, KEPT_PATIENCE).await)?);
        }
        Ok(vectors)
    }

    fn noted<T>(&self, outcome: Result<T, InferenceFault>) -> Result<T, InferenceFault> {
        let mut failing = self.lock();
        match &outcome {
            Ok(_) => *failing = None,
            Err(fault) => {
                if failing.replace((Instant::now(), fault.to_string())).is_none() {
                    let chain = gaia_service::telemetry::chain(fault);
                    tracing::warn!(error = %chain, "the machine's inference fails: {chain}");
                }
            }
        }
        outcome
    }

    async fn batch(&self, texts: &[String], keep: bool, patience: Duration) -> Result<Vec<Vector>, InferenceFault> {
        let asked = tokio::time::timeout(patience, self.ask(texts, keep)).await;
        asked.unwrap_or(Err(InferenceFault::Slow(patience)))
    }

    async fn ask(&self, texts: &[String], keep: bool) -> Result<Vec<Vector>, InferenceFault> {
        let unreachable = |error: reqwest::Error| InferenceFault::Unreachable(error.without_url());
        let mut request = self
            .http
            .post(format!("{}/embeddings", self.access.base_url.trim_end_matches('/')))
            .bearer_auth(self.access.key.expose())
            .json(&Ask {
                model: MODEL,
                encoding_format: "base64",
                input: texts,
            });
        if keep {
            request = request.header("gaia-keep", "1");
        }
        let mut response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(InferenceFault::Refused(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(InferenceFault::Garbage);
            }
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| InferenceFault::Garbage)?;
        let vectors: Option<Vec<_>> = answer.data.iter().map(|row| vector(&row.embedding)).collect();
        let vectors = vectors.ok_or(InferenceFault::Garbage)?;
        let length = vectors.first().map(Vec::len);
        let is_even = vectors.iter().all(|vector| Some(vector.len()) == length);
        if vectors.len() == texts.len() && is_even {
            Ok(vectors)
        } else {
            Err(InferenceFault::Garbage)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Little-endian floats in base64, brought to length one.
fn vector(text: &str) -> Option<Vector> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    let mut vector: Vector = floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if !rest.is_empty() || !length.is_finite() || length == 0.0 {
        return None;
    }
    vector.iter_mut().for_each(|x| *x /= length);
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_comes_with_length_one_or_not_at_all() {
        let encode = |floats: &[f32]| {
            let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            BASE64_STANDARD.encode(bytes)
        };
        assert_eq!(vector(&encode(&[3.0, 4.0])), Some(vec![0.6, 0.8]));
        for bad in [
            encode(&[]),
            encode(&[0.0, 0.0]),
            encode(&[f32::NAN]),
            "AAA=".to_owned(),
            "?".to_owned(),
        ] {
            assert_eq!(vector(&bad), None, "{bad}");
        }
    }
}
