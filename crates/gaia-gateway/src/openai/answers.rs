//! Completions and their pieces, as OpenAI writes them. A stream of them ends with `[DONE]`.

use chrono::Utc;
use gaia_names::{PersonaId, TurnId};
use gaia_protocol::chat::{ToolNews, Turn, TurnUsage};
use serde_json::{Value, json};

use super::{
    Refused,
    form::{Form, data, fingerprint},
};

/// One completion.
pub(super) struct ChatCompletion {
    id: String,
    created: i64,
    model: String,
    includes_usage: bool,
}

impl ChatCompletion {
    pub(super) fn of(turn: TurnId, persona: &PersonaId, includes_usage: bool) -> Self {
        Self {
            id: format!("chatcmpl-{}", turn.0.simple()),
            created: Utc::now().timestamp(),
            model: persona.to_string(),
            includes_usage,
        }
    }

    /// A piece: what it adds, and how the completion ended, once it has.
    fn piece(&self, delta: Value, ended: Option<(&Turn, &TurnUsage)>) -> Value {
        let reply = ended.and_then(|(turn, _)| turn.reply.as_ref());
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
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
    fn count(&self, usage: &TurnUsage) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": null,
            "choices": [],
            "usage": written(usage),
        })
    }
}

impl Form for ChatCompletion {
    fn whole(&self, turn: &Turn, usage: &TurnUsage) -> Value {
        let text = turn.reply.as_ref().map_or("", |reply| reply.text.as_str());
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text, "refusal": null, "annotations": [] },
                "logprobs": null,
                "finish_reason": finish_reason(usage),
            }],
            "usage": written(usage),
            "system_fingerprint": turn.reply.as_ref().map(fingerprint),
        })
    }

    fn begin(&mut self) -> String {
        data(&self.piece(json!({ "role": "assistant", "content": "", "refusal": null }), None))
    }

    fn say(&mut self, text: &str) -> String {
        data(&self.piece(json!({ "content": text }), None))
    }

    fn tool(&mut self, news: &ToolNews) -> String {
        let mut piece = self.piece(json!({}), None);
        piece["gaia_tool"] = json!(news);
        data(&piece)
    }

    fn end(&mut self, turn: &Turn, usage: &TurnUsage) -> String {
        let mut text = data(&self.piece(json!({}), Some((turn, usage))));
        if self.includes_usage {
            text.push_str(&data(&self.count(usage)));
        }
        text.push_str("data: [DONE]\n\n");
        text
    }

    fn fail(&mut self, refused: &Refused) -> String {
        data(&refused.to_json())
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
