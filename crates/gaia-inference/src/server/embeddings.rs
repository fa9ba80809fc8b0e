//! `POST /v1/embeddings`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::refusal::Refusal;
use crate::cache::{Embedding, TextHash};
use crate::models::Model;
use crate::worker::Unembedded;

/// A request with this header and the value `1` has its embeddings written to disk, so that they outlive the process.
/// It is for what a game's author wrote, such as a persona's example lines. What players say is never to be sent with
/// it: without it nothing of a request reaches the disk. What is written is the text's hash and its vector, not the
/// text.
pub const KEEP_HEADER: &str = "gaia-keep";

/// How large a request may be, in bytes.
pub(super) const BODY_BYTES: usize = 256 * 1024;

/// How many texts a request may bring.
const TEXTS: usize = 64;

/// How long a text may be, in characters. The model reads the first 256 tokens of it.
const TEXT_CHARACTERS: usize = 8_000;

/// A request as it comes. Fields that are not named here are ignored, `user` among them.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    encoding_format: Value,
    #[serde(default)]
    dimensions: Value,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Float,
    Base64,
}

/// A request that has been checked.
#[derive(Debug, PartialEq, Eq)]
struct Ask {
    texts: Vec<String>,
    format: Format,
}

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Row>,
    model: &'static str,
    usage: Usage,
}

#[derive(Serialize)]
struct Row {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Takes a request, answers it and counts how it ended.
pub(super) async fn embed(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let response = match answer(&shared, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    shared.metrics.count_answer(response.status());
    response
}

async fn answer(shared: &Shared, request: Request) -> Result<Answer, Refusal> {
    let deadline = Instant::now() + shared.request_limit;
    let keep = wants_to_keep(request.headers());
    let body = timeout_at(deadline, read(request))
        .await
        .map_err(|_| Refusal::slow_client())??;
    let ask = check(&body, shared.model)?;
    if let Some(missing) = shared.missing() {
        return Err(Refusal::not_ready(&missing));
    }
    let embeddings = timeout_at(deadline, find_or_compute(shared, ask.texts, keep)).await;
    let embeddings = embeddings.map_err(|_| Refusal::timed_out())??;
    let tokens = embeddings.iter().map(|embedding| u64::from(embedding.tokens)).sum();
    let row = |(index, embedding): (usize, &Arc<Embedding>)| Row {
        object: "embedding",
        index,
        embedding: write(&embedding.vector, ask.format),
    };
    Ok(Answer {
        object: "list",
        data: embeddings.iter().enumerate().map(row).collect(),
        model: shared.model.name,
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    })
}

fn wants_to_keep(headers: &HeaderMap) -> bool {
    headers.get(KEEP_HEADER).is_some_and(|value| value.as_bytes() == b"1")
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large(BODY_BYTES),
            _ => Refusal::unreadable("The request broke off before its end."),
        })
}

/// The vectors of the texts, in their order: from the cache, or from the model for those that are new.
async fn find_or_compute(shared: &Shared, texts: Vec<String>, keep: bool) -> Result<Vec<Arc<Embedding>>, Refusal> {
    let hashes: Vec<TextHash> = texts.iter().map(|text| TextHash::of(text)).collect();
    let mut known: HashMap<TextHash, Arc<Embedding>> = HashMap::new();
    let mut new: Vec<(TextHash, String)> = Vec::new();
    for (hash, text) in hashes.iter().zip(texts) {
        if known.contains_key(hash) || new.iter().any(|(other, _)| other == hash) {
            continue;
        }
        let cached = shared.cache.get(*hash);
        shared.metrics.count_text(cached.as_ref().map(|(_, found)| *found));
        match cached {
            Some((embedding, _)) => drop(known.insert(*hash, embedding)),
            None => new.push((*hash, text)),
        }
    }
    let (new_hashes, new_texts): (Vec<_>, Vec<_>) = new.into_iter().unzip();
    let computed = shared.worker.embed(new_texts).await.map_err(|error| match error {
        Unembedded::Full => Refusal::full(),
        Unembedded::Gone => Refusal::not_ready("the model's thread has ended; the process is ending too"),
        // The worker has logged it.
        Unembedded::Failed(_) => Refusal::failed(),
    })?;
    for (hash, embedding) in new_hashes.into_iter().zip(computed) {
        let embedding = Arc::new(embedding);
        shared.cache.remember(hash, Arc::clone(&embedding));
        known.insert(hash, embedding);
    }
    if keep {
        known
            .iter()
            .for_each(|(hash, embedding)| shared.cache.keep(*hash, embedding));
    }
    Ok(hashes.iter().filter_map(|hash| known.get(hash).cloned()).collect())
}

fn write(vector: &[f32], format: Format) -> Vector {
    match format {
        Format::Float => Vector::Float(vector.to_vec()),
        Format::Base64 => {
            Vector::Base64(STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()))
        }
    }
}

fn check(body: &[u8], model: &Model) -> Result<Ask, Refusal> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Refusal::unreadable(format!("The request is not a JSON object as expected: {error}")))?;
    match &body.model {
        Value::String(name) if name == model.name => {}
        Value::String(_) => return Err(Refusal::unknown_model(model.name)),
        _ => {
            return Err(Refusal::field(
                "model",
                "missing_model",
                format!("Name the model: `{}`.", model.name),
            ));
        }
    }
    let format = match &body.encoding_format {
        Value::Null => Format::Float,
        Value::String(word) if word == "float" => Format::Float,
        Value::String(word) if word == "base64" => Format::Base64,
        _ => {
            return Err(Refusal::field(
                "encoding_format",
                "invalid_value",
                "It is `float` or `base64`.",
            ));
        }
    };
    if !body.dimensions.is_null() && body.dimensions.as_u64() != Some(model.dimensions as u64) {
        let message = format!(
            "This model's vectors have {} dimensions; leave the field out.",
            model.dimensions
        );
        return Err(Refusal::field("dimensions", "invalid_value", message));
    }
    Ok(Ask {
        texts: check_input(body.input)?,
        format,
    })
}

fn check_input(input: Value) -> Result<Vec<String>, Refusal> {
    let refuse = |code, message: String| Err(Refusal::field("input", code, message));
    let items = match input {
        Value::String(text) => vec![Value::String(text)],
        Value::Array(items) => items,
        _ => return refuse("invalid_type", "It is a text or a list of texts.".into()),
    };
    if items.is_empty() || items.len() > TEXTS {
        return refuse(
            "invalid_count",
            format!("It has {} texts; 1 to {TEXTS} are allowed.", items.len()),
        );
    }
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let Value::String(text) = item else {
            return refuse(
                "invalid_type",
                format!("Item {index} is not a text. Lists of token numbers are not read."),
            );
        };
        let characters = text.chars().count();
        if text.trim().is_empty() {
            return refuse("empty_text", format!("Item {index} is an empty text."));
        }
        if characters > TEXT_CHARACTERS {
            let message = format!("Item {index} has {characters} characters; {TEXT_CHARACTERS} are allowed.");
            return refuse("text_too_long", message);
        }
        texts.push(text);
    }
    Ok(texts)
}
