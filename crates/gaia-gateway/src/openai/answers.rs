//! Completions and their pieces, as OpenAI writes them.

use chrono::Utc;
use gaia_names::{PersonaId, TurnId};
use gaia_protocol::chat::{Reply, ReplySource, Turn, TurnUsage};
use serde_json::{Value, json};

/// What all pieces of one completion have in common.
#[derive(Clone, Debug)]
pub(super) struct Head {
    id: String,
    created: i64,
    model: String,
}

impl Head {
    pub(super) fn of(turn: TurnId, persona: &PersonaId) -> Self {
        Self {
            id: format!("chatcmpl-{}", turn.0.simple()),
            created: Utc::now().timestamp(),
            model: persona.to_string(),
        }
    }
}

/// The whole completion.
pub(super) fn whole(head: &Head, turn: &Turn, usage: Option<TurnUsage>) -> Value {
    let usage = usage.unwrap_or_else(|| guessed(turn));
    let text = turn.reply.as_ref().map_or("", |reply| reply.text.as_str());
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": text, "refusal": null, "annotations": [] },
            "logprobs": null,
            "finish_reason": finish_reason(&usage),
        }],
        "usage": written(&usage),
        "system_fingerprint": turn.reply.as_ref().map(fingerprint),
    })
}

/// A piece of a completion: what it adds, and how it ended, once it has.
pub(super) fn piece(head: &Head, delta: Value, ended: Option<(&Turn, &TurnUsage)>) -> Value {
    let reply = ended.and_then(|(turn, _)| turn.reply.as_ref());
    json!({
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": reply.map(fingerprint),
        "choices": [{
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": ended.map(|(_, usage)| finish_reason(usage)),
        }],
    })
}

/// The last piece, which says what the completion took.
pub(super) fn count(head: &Head, usage: &TurnUsage) -> Value {
    json!({
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": null,
        "choices": [],
        "usage": written(usage),
    })
}

/// What a turn took of which only the words are left: four bytes a token is what English comes to. An author's line took
/// nothing.
pub(super) fn guessed(turn: &Turn) -> TurnUsage {
    let tokens = |text: &str| text.len().div_ceil(4) as u64;
    match &turn.reply {
        Some(reply) if reply.source == ReplySource::Model => TurnUsage {
            input_tokens: tokens(&turn.text),
            output_tokens: tokens(&reply.text),
            is_estimated: true,
            ..TurnUsage::default()
        },
        _ => TurnUsage::default(),
    }
}

fn written(usage: &TurnUsage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 },
    })
}

fn finish_reason(usage: &TurnUsage) -> &'static str {
    if usage.is_cut { "length" } else { "stop" }
}

/// Where the words come from, so that nothing poses as what it is not: `model/<route>` or `authored/<route>`.
fn fingerprint(reply: &Reply) -> String {
    let source = match reply.source {
        ReplySource::Model => "model",
        ReplySource::Authored => "authored",
    };
    format!("{source}/{}", reply.route)
}
