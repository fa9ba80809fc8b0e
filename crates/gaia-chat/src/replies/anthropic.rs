//! Anthropic's Messages, streamed.

use std::borrow::Cow;

use gaia_protocol::bundle::Route;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    draft::Tokens,
    models::{Part, RouteFault},
    prompt::Prompt,
    tools::Round,
    wanted::CallPiece,
};

/// The version of the API that this speaks.
pub(super) const VERSION: &str = "2023-06-01";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Kind>,
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
}

#[derive(Serialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Kind>,
}

#[derive(Serialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<MessagePart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum MessagePart<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: String,
        name: &'a str,
        input: Value,
    },
    ToolResult {
        tool_use_id: String,
        content: &'a str,
        is_error: bool,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        #[serde(default)]
        index: u32,
        content_block: Opened,
    },
    ContentBlockDelta {
        #[serde(default)]
        index: u32,
        delta: Delta,
    },
    MessageDelta {
        #[serde(default)]
        delta: Stopping,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Reported,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Started {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Opened {
    ToolUse {
        id: String,
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
struct Stopping {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Reported {
    #[serde(rename = "type")]
    kind: String,
}

/// Where to ask.
pub(super) fn url(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with("/v1") {
        format!("{base}/messages")
    } else {
        format!("{base}/v1/messages")
    }
}

/// What to ask.
pub(super) fn body(route: &Route, prompt: Prompt<'_>) -> Vec<u8> {
    let tools = prompt.tools;
    let mut system = vec![Block {
        kind: "text",
        text: prompt.stable.into(),
        cache_control: Some(Kind { kind: "ephemeral" }),
    }];
    if let Some(now) = prompt.now {
        system.push(Block {
            kind: "text",
            text: now.into(),
            cache_control: None,
        });
    }
    let mut messages: Vec<_> = prompt
        .messages
        .into_iter()
        .map(|(is_player, content)| Message {
            role: if is_player { "user" } else { "assistant" },
            content: Content::Text(content),
        })
        .collect();
    if messages[0].role != "user" {
        // The format wants the user to begin, and an odd window begins with a reply.
        messages.insert(
            0,
            Message {
                role: "user",
                content: Content::Text("(The conversation goes on.)".into()),
            },
        );
    }
    for (number, round) in tools.rounds.iter().enumerate() {
        messages.extend(of_round(number, round));
    }
    let offered = tools.offered.iter().map(|tool| Tool {
        name: &tool.wire_name,
        description: &tool.description,
        input_schema: &tool.input_schema,
    });
    let must_answer = !tools.offered.is_empty() && !tools.may_call();
    // A blank one is refused by the vendor; it is kept where the reply is said, as all of them are. A seed and a
    // temperature are left out: the format has no seed, and newer models refuse a temperature.
    let stops = prompt.options.map_or(&[][..], |options| &options.stop);
    let stops = stops.iter().map(String::as_str);
    let body = Body {
        model: &route.model,
        max_tokens: prompt.most_tokens,
        stream: true,
        stop_sequences: stops.filter(|stop| !stop.trim().is_empty()).collect(),
        tools: offered.collect(),
        tool_choice: must_answer.then_some(Kind { kind: "none" }),
        system,
        messages,
    };
    serde_json::to_vec(&body).expect("texts and numbers can be written as JSON")
}

/// What a model said and wanted, and what it is told of that.
fn of_round(number: usize, round: &Round) -> [Message<'_>; 2] {
    let said = Some(round.said.as_str()).filter(|said| !said.trim().is_empty());
    let mut asked: Vec<_> = said.map(|text| MessagePart::Text { text }).into_iter().collect();
    let mut told = Vec::new();
    for (place, (call, answer)) in round.calls.iter().enumerate() {
        let id = round.call_id(number, place);
        asked.push(MessagePart::ToolUse {
            id: id.clone(),
            name: &call.name,
            input: call
                .read()
                .filter(Value::is_object)
                .unwrap_or_else(|| Value::Object(Map::new())),
        });
        told.push(MessagePart::ToolResult {
            tool_use_id: id,
            content: &answer.text,
            is_error: answer.is_error,
        });
    }
    [("assistant", asked), ("user", told)].map(|(role, parts)| Message {
        role,
        content: Content::Parts(parts),
    })
}

/// What an event means.
pub(super) fn read(data: &str) -> Result<Part, RouteFault> {
    let event: Event = serde_json::from_str(data).map_err(|_| RouteFault::Garbage)?;
    Ok(match event {
        Event::MessageStart { message } => Part {
            tokens: message.usage.map(Tokens::from),
            ..Part::default()
        },
        Event::ContentBlockStart {
            index,
            content_block: Opened::ToolUse { id, name },
        } => Part {
            calls: vec![CallPiece {
                index,
                id: Some(id),
                name: Some(name),
                arguments: String::new(),
            }],
            ..Part::default()
        },
        Event::ContentBlockDelta {
            index,
            delta: Delta::InputJson { partial_json },
        } => Part {
            calls: vec![CallPiece {
                index,
                arguments: partial_json,
                ..CallPiece::default()
            }],
            ..Part::default()
        },
        Event::ContentBlockDelta {
            delta: Delta::Text { text },
            ..
        } => Part {
            text,
            ..Part::default()
        },
        Event::MessageDelta { delta, usage } => Part {
            is_end: delta.stop_reason.is_some(),
            is_cut: delta.stop_reason.is_some_and(|reason| reason == "max_tokens"),
            is_whole_count: usage.is_some(),
            tokens: usage.map(Tokens::from),
            ..Part::default()
        },
        Event::MessageStop => Part {
            is_end: true,
            is_last: true,
            ..Part::default()
        },
        Event::Error { error } => return Err(RouteFault::Reported(known_kind(&error.kind))),
        Event::ContentBlockStart {
            content_block: Opened::Other,
            ..
        }
        | Event::ContentBlockDelta {
            delta: Delta::Other, ..
        }
        | Event::Other => Part::default(),
    })
}

/// Only words that the format documents go into logs.
fn known_kind(kind: &str) -> String {
    let is_word = kind.len() <= 40 && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { kind.to_owned() } else { "unknown".to_owned() }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input_tokens.unwrap_or(0),
            output: usage.output_tokens.unwrap_or(0),
            cache_read: usage.cache_read_input_tokens.unwrap_or(0),
            cache_write: usage.cache_creation_input_tokens.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_format_are_read_and_others_refused() {
        let start = r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":9,"output_tokens":1,"cache_read_input_tokens":7}}}"#;
        let tokens = Tokens {
            input: 9,
            output: 1,
            cache_read: 7,
            cache_write: 0,
        };
        assert_eq!(read(start).unwrap().tokens, Some(tokens));
        let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Go."}}"#;
        assert_eq!(read(text).unwrap().text, "Go.");
        let delta = read(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":12}}"#);
        let delta = delta.unwrap();
        assert!(delta.is_end && delta.is_whole_count && !delta.is_last && !delta.is_cut);
        let cut = read(r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}"#).unwrap();
        assert!(cut.is_end && cut.is_cut);
        assert!(read(r#"{"type":"message_stop"}"#).unwrap().is_last);
        for ignored in [
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        ] {
            assert_eq!(read(ignored).unwrap(), Part::default());
        }
        let error = read(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#).unwrap_err();
        assert!(error.to_string().ends_with("overloaded_error"));
        assert!(matches!(read("{"), Err(RouteFault::Garbage)));
    }

    #[test]
    fn the_path_is_right_with_and_without_the_version_in_the_base() {
        for base in [
            "https://api.anthropic.com",
            "https://api.anthropic.com/",
            "https://api.anthropic.com/v1",
        ] {
            assert_eq!(url(base), "https://api.anthropic.com/v1/messages");
        }
    }
}
