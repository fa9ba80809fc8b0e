//! What OpenAI's clients send for a response. What a client would miss is refused, by name.

use std::collections::BTreeMap;

use gaia_names::TurnId;
use gaia_protocol::{ErrorCode, Fault, chat::TurnOptions};
use serde::{Deserialize, de::IgnoredAny};
use uuid::Uuid;

use crate::openai::{
    Refused,
    wanted::{self, Content, Lines, Message, Wanted},
};

/// What OpenAI's ids of responses begin with.
pub(super) const PREFIX: &str = "resp_";
/// The most pairs of metadata, and the longest key and value, in characters: OpenAI's own bounds.
const MOST_METADATA: (usize, usize, usize) = (16, 64, 512);

#[derive(Deserialize)]
pub(super) struct Body {
    model: String,
    input: Option<Input>,
    instructions: Option<String>,
    pub(super) previous_response_id: Option<String>,
    stream: Option<bool>,
    pub(super) store: Option<bool>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    #[serde(default)]
    pub(super) metadata: Option<BTreeMap<String, String>>,
    safety_identifier: Option<String>,
    user: Option<String>,
    tools: Option<Vec<IgnoredAny>>,
    text: Option<Text>,
    background: Option<bool>,
    conversation: Option<IgnoredAny>,
    prompt: Option<IgnoredAny>,
    top_logprobs: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Item>),
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Text {
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
}

impl Body {
    pub(super) fn wanted(&mut self) -> Result<Wanted, Refused> {
        self.refuse_what_no_persona_can()?;
        let persona = self.model.parse().map_err(|_| Refused::no_model(&self.model))?;
        let options = TurnOptions {
            reply_tokens: wanted::reply_tokens(&[("max_output_tokens", self.max_output_tokens)])?,
            stop: Vec::new(),
            seed: None,
            temperature: wanted::temperature(self.temperature)?,
            quotes: Vec::new(),
        };
        let Lines {
            said,
            mut instructions,
            text,
        } = wanted::lines("input", messages(self.input.take())?)?;
        if let Some(told) = self.instructions.take() {
            instructions.insert(0, wanted::normal(&told));
        }
        let metadata = self.metadata.as_ref();
        Ok(Wanted {
            persona,
            previous: self.previous_response_id.as_deref().map(turn_of).transpose()?,
            said,
            instructions,
            text,
            options,
            streams: self.stream.unwrap_or(false),
            keeps: self.store.unwrap_or(true),
            shows_tools: metadata.is_some_and(|pairs| pairs.get("gaia_tools").is_some_and(|tools| tools == "shown")),
            player_name: wanted::player_name(self.safety_identifier.take(), self.user.take()),
        })
    }

    fn refuse_what_no_persona_can(&self) -> Result<(), Refused> {
        wanted::refuse_tools(self.tools.as_ref())?;
        let format = self.text.as_ref().and_then(|text| text.format.as_ref());
        let refused = if format.is_some_and(|format| format.kind != "text") {
            ("text", "A character answers with words: `text.format` must be `text`.")
        } else if self.background == Some(true) {
            (
                "background",
                "A character answers whoever waits: `background` must be `false`.",
            )
        } else if self.conversation.is_some() {
            (
                "conversation",
                "Conversations are not named: go on with `previous_response_id`, or send all that was said.",
            )
        } else if self.prompt.is_some() {
            (
                "prompt",
                "There are no stored prompts: what a character is stands in its file.",
            )
        } else if self.top_logprobs.is_some_and(|most| most > 0) {
            ("top_logprobs", "How likely a character's words were is not told.")
        } else {
            return self.refuse_metadata();
        };
        Err(Refused::unsupported(refused.0, refused.1))
    }

    /// It is sent back as it is.
    fn refuse_metadata(&self) -> Result<(), Refused> {
        let (pairs, key, value) = MOST_METADATA;
        let is_longer = |text: &str, most| text.chars().nth(most).is_some();
        let is_too_much = self.metadata.as_ref().is_some_and(|metadata| {
            metadata.len() > pairs || metadata.iter().any(|(k, v)| is_longer(k, key) || is_longer(v, value))
        });
        if is_too_much {
            let detail = format!(
                "`metadata` must be at most {pairs} pairs with keys of at most {key} and values of at most {value} \
                 characters."
            );
            return Err(Refused::of("metadata", detail));
        }
        Ok(())
    }
}

/// Each item's role and words.
fn messages(input: Option<Input>) -> Result<Vec<Message>, Refused> {
    let items = match input {
        None => return Err(Refused::of("input", "`input` must be a text or a list of messages.")),
        Some(Input::Text(text)) => {
            return Ok(vec![Message {
                place: 0,
                role: "user".to_owned(),
                content: Some(Content::Text(text)),
            }]);
        }
        Some(Input::Items(items)) => items,
    };
    let mut messages = Vec::new();
    for (place, item) in items.into_iter().enumerate() {
        match item.kind.as_deref() {
            None | Some("message") => messages.push(Message {
                place,
                role: item.role.unwrap_or_default(),
                content: item.content,
            }),
            // What another model thought on the way says nothing to a character.
            Some("reasoning") => {}
            Some(_) => {
                let detail = "A character takes messages alone: it has tools of its own.";
                return Err(Refused::unsupported(format!("input[{place}]"), detail));
            }
        }
    }
    Ok(messages)
}

fn turn_of(response: &str) -> Result<TurnId, Refused> {
    let turn = response.strip_prefix(PREFIX).and_then(|id| Uuid::try_parse(id).ok());
    turn.map(TurnId).ok_or_else(no_previous)
}

/// The response that a client goes on from is not known, or is not this player's.
pub(in crate::openai) fn no_previous() -> Refused {
    let detail = "No response of this player's has this id, or it is too long ago: send all that was said.";
    Refused::from(Fault::new(ErrorCode::InvalidInput, detail))
        .blaming("previous_response_id", Some("previous_response_not_found"))
}
