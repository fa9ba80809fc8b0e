//! Responses, as OpenAI writes them: a client may go on from one by its id.

mod request;

use std::collections::BTreeMap;

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use chrono::Utc;
use gaia_names::TurnId;
use gaia_protocol::chat::{ToolNews, Turn, TurnUsage};
use serde_json::{Map, Value, json};

pub(super) use self::request::no_previous;
use self::request::{Body, PREFIX};
use super::{
    Refused, answer,
    asker::Admitted,
    form::{Form, fingerprint},
    wanted,
};
use crate::{asked::Asked, game::Shared};

/// `POST /openai/v1/responses`: says the last message to the persona.
pub(crate) async fn respond(
    State(game): State<Shared>,
    asked: Asked,
    headers: HeaderMap,
    admitted: Admitted,
    request: Request,
) -> Result<Response, Refused> {
    admitted.must_chat()?;
    let mut body: Body = wanted::read(request).await?;
    let wanted = body.wanted()?;
    let model = wanted.persona.to_string();
    answer(&game, &asked, &headers, &admitted, wanted, |turn| {
        ModelResponse::of(turn, model, body)
    })
    .await
}

/// One response, of one message.
struct ModelResponse {
    id: String,
    message: String,
    created: i64,
    model: String,
    previous: Option<String>,
    keeps: bool,
    most_tokens: Option<u32>,
    temperature: Option<f64>,
    metadata: BTreeMap<String, String>,
    /// The number of the next event.
    number: u64,
    /// The words so far, once there are some.
    said: Option<String>,
}

/// How far a response has come.
enum Standing<'a> {
    Working,
    Over(&'a Turn, &'a TurnUsage),
    Failed(&'a Refused),
}

impl ModelResponse {
    fn of(turn: TurnId, model: String, body: Body) -> Self {
        let id = turn.0.simple();
        Self {
            id: format!("{PREFIX}{id}"),
            message: format!("msg_{id}"),
            created: Utc::now().timestamp(),
            model,
            previous: body.previous_response_id,
            keeps: body.store.unwrap_or(true),
            most_tokens: body.max_output_tokens,
            temperature: body.temperature,
            metadata: body.metadata.unwrap_or_default(),
            number: 0,
            said: None,
        }
    }

    fn written(&self, standing: &Standing<'_>) -> Value {
        let (status, turn, usage, error) = match standing {
            Standing::Working => ("in_progress", None, None, None),
            Standing::Over(turn, usage) => (status(usage), Some(turn), Some(usage), None),
            Standing::Failed(refused) => ("failed", None, None, Some(refused.to_json())),
        };
        let message = match &self.said {
            Some(said) if error.is_some() => Some(self.item("incomplete", said)),
            _ => turn.map(|turn| {
                let text = turn.reply.as_ref().map_or("", |reply| reply.text.as_str());
                self.item(status, text)
            }),
        };
        let is_cut = status == "incomplete";
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": (status == "completed").then(|| Utc::now().timestamp()),
            "status": status,
            "background": false,
            "error": error.map(|error| json!({ "code": "server_error", "message": error["error"]["message"] })),
            "incomplete_details": is_cut.then(|| json!({ "reason": "max_output_tokens" })),
            "instructions": null,
            "max_output_tokens": self.most_tokens,
            "model": self.model,
            "output": message.into_iter().collect::<Vec<_>>(),
            "parallel_tool_calls": true,
            "previous_response_id": self.previous,
            "store": self.keeps,
            "temperature": self.temperature,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "truncation": "disabled",
            "usage": usage.map(|usage| written(usage)),
            "metadata": self.metadata,
            "system_fingerprint": turn.and_then(|turn| turn.reply.as_ref()).map(fingerprint),
        })
    }

    /// The message.
    fn item(&self, status: &str, text: &str) -> Value {
        let content = match status {
            "in_progress" => json!([]),
            _ => json!([part(text)]),
        };
        json!({ "id": self.message, "type": "message", "role": "assistant", "status": status, "content": content })
    }

    fn event(&mut self, kind: &str, value: Value) -> String {
        let mut event = Map::from_iter([
            ("type".to_owned(), json!(kind)),
            ("sequence_number".to_owned(), json!(self.number)),
        ]);
        if let Value::Object(more) = value {
            event.extend(more);
        }
        self.number += 1;
        format!("event: {kind}\ndata: {}\n\n", Value::Object(event))
    }

    /// An event about the message's words.
    fn about_words(&mut self, kind: &str, mut value: Value) -> String {
        value["item_id"] = json!(self.message);
        value["output_index"] = json!(0);
        value["content_index"] = json!(0);
        self.event(kind, value)
    }

    /// The message begins, unless it has.
    fn begin_message(&mut self) -> String {
        if self.said.is_some() {
            return String::new();
        }
        self.said = Some(String::new());
        let item = self.item("in_progress", "");
        let added = self.event("response.output_item.added", json!({ "output_index": 0, "item": item }));
        added + &self.about_words("response.content_part.added", json!({ "part": part("") }))
    }
}

impl Form for ModelResponse {
    fn whole(&self, turn: &Turn, usage: &TurnUsage) -> Value {
        self.written(&Standing::Over(turn, usage))
    }

    fn begin(&mut self) -> String {
        let response = self.written(&Standing::Working);
        let created = self.event("response.created", json!({ "response": response }));
        created + &self.event("response.in_progress", json!({ "response": response }))
    }

    fn say(&mut self, text: &str) -> String {
        let begun = self.begin_message();
        self.said.get_or_insert_default().push_str(text);
        begun + &self.about_words("response.output_text.delta", json!({ "delta": text, "logprobs": [] }))
    }

    fn tool(&mut self, news: &ToolNews) -> String {
        // Clients know no events but OpenAI's, and this one says nothing new to those who want nothing more.
        let response = self.written(&Standing::Working);
        self.event(
            "response.in_progress",
            json!({ "response": response, "gaia_tool": news }),
        )
    }

    fn end(&mut self, turn: &Turn, usage: &TurnUsage) -> String {
        let mut text = self.begin_message();
        let said = self.said.clone().unwrap_or_default();
        let item = self.item(status(usage), &said);
        text.push_str(&self.about_words("response.output_text.done", json!({ "text": said, "logprobs": [] })));
        text.push_str(&self.about_words("response.content_part.done", json!({ "part": part(&said) })));
        text.push_str(&self.event("response.output_item.done", json!({ "output_index": 0, "item": item })));
        let response = self.written(&Standing::Over(turn, usage));
        text.push_str(&self.event(&format!("response.{}", status(usage)), json!({ "response": response })));
        text
    }

    fn fail(&mut self, refused: &Refused) -> String {
        let response = self.written(&Standing::Failed(refused));
        self.event("response.failed", json!({ "response": response }))
    }
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn status(usage: &TurnUsage) -> &'static str {
    if usage.is_cut { "incomplete" } else { "completed" }
}

fn written(usage: &TurnUsage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": { "cached_tokens": usage.cached_tokens, "cache_write_tokens": 0 },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
    })
}
