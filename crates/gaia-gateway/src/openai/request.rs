//! What OpenAI's clients send, and what of it a persona can do. What we do not know is ignored, as OpenAI does; what a
//! client would miss is refused, by name.

use axum::extract::Request;
use gaia_names::PersonaId;
use gaia_protocol::chat::{Claimed, LONGEST_MESSAGE, LONGEST_STOP, MOST_STOPS, Quote, TurnOptions};
use serde::{Deserialize, de::IgnoredAny};

use super::Refused;
use crate::{
    extract::{json_bytes, parse_at},
    inputs::prose,
};

/// The largest body, in bytes: a client sends all that was said with every request.
const LARGEST_BODY: usize = 512 * 1024;
/// The most messages in it.
const MOST_MESSAGES: usize = 2_000;

/// A completion that can be had.
pub(super) struct Wanted {
    pub(super) persona: PersonaId,
    /// What the client says the player and the persona said before, oldest first.
    pub(super) said: Vec<Quote>,
    /// What the client wants the persona to be told.
    pub(super) instructions: Vec<String>,
    /// What the player says now.
    pub(super) text: String,
    pub(super) options: TurnOptions,
    pub(super) streams: bool,
    pub(super) includes_usage: bool,
    /// The client wants to see which tools the persona uses.
    pub(super) shows_tools: bool,
    /// What the holder of a key calls the player.
    pub(super) player_name: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_completion_tokens: Option<u32>,
    max_tokens: Option<u32>,
    stop: Option<Stop>,
    seed: Option<i64>,
    temperature: Option<f64>,
    safety_identifier: Option<String>,
    user: Option<String>,
    n: Option<u32>,
    tools: Option<Vec<IgnoredAny>>,
    functions: Option<Vec<IgnoredAny>>,
    response_format: Option<ResponseFormat>,
    modalities: Option<Vec<String>>,
    audio: Option<IgnoredAny>,
    metadata: Option<Metadata>,
    logprobs: Option<bool>,
}

/// Of what a client may write there as it likes, the one word that is ours.
#[derive(Deserialize)]
struct Metadata {
    gaia_tools: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<IgnoredAny>>,
    function_call: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

/// Reads a request for a completion.
pub(super) async fn read(request: Request) -> Result<Wanted, Refused> {
    let bytes = json_bytes(request, LARGEST_BODY).await.map_err(|refusal| refusal.0)?;
    let body = parse_at(&bytes).map_err(|(field, fault)| match field {
        Some(field) => Refused::from(fault).blaming(field, None),
        None => fault.into(),
    })?;
    wanted(body)
}

fn wanted(body: Body) -> Result<Wanted, Refused> {
    refuse_what_no_persona_can(&body)?;
    let persona = body.model.parse().map_err(|_| Refused::no_model(&body.model))?;
    let options = TurnOptions {
        reply_tokens: reply_tokens(&body)?,
        stop: stops(body.stop)?,
        // Servers differ in what they take for a seed; all take this many bits.
        seed: body
            .seed
            .map(|seed| u32::try_from(seed & 0x7fff_ffff).unwrap_or_default()),
        temperature: temperature(body.temperature)?,
        quotes: Vec::new(),
    };
    let (mut said, instructions) = lines(body.messages)?;
    let last = said.pop().filter(|last| last.said_as == Claimed::Player);
    let text = last.map(|last| last.text).ok_or_else(|| {
        let detail = "The last message must be the player's: one with the role `user`.";
        Refused::of("messages", detail)
    })?;
    prose("messages", &text, LONGEST_MESSAGE).map_err(|fault| {
        Refused::of(
            "messages",
            format!("The last message cannot be taken: {}.", fault.detail),
        )
    })?;
    let named = |name: &String| !name.is_empty();
    Ok(Wanted {
        persona,
        said,
        instructions,
        text,
        options,
        streams: body.stream.unwrap_or(false),
        includes_usage: body
            .stream_options
            .is_some_and(|options| options.include_usage == Some(true)),
        shows_tools: body
            .metadata
            .is_some_and(|metadata| metadata.gaia_tools.as_deref() == Some("shown")),
        player_name: body.safety_identifier.filter(named).or(body.user.filter(named)),
    })
}

fn refuse_what_no_persona_can(body: &Body) -> Result<(), Refused> {
    let is_there = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let other_than_text = |kinds: &Vec<String>| kinds.iter().any(|kind| kind != "text");
    let refused = if is_there(&body.tools) || is_there(&body.functions) {
        (
            "tools",
            "A character has tools of its own and takes none from a client.",
        )
    } else if body.n.is_some_and(|n| n != 1) {
        ("n", "A character answers once: `n` must be 1.")
    } else if body
        .response_format
        .as_ref()
        .is_some_and(|format| format.kind != "text")
    {
        (
            "response_format",
            "A character answers with words: `response_format` must be `text`.",
        )
    } else if body.audio.is_some() || body.modalities.as_ref().is_some_and(other_than_text) {
        ("modalities", "A character answers with written words alone.")
    } else if body.logprobs == Some(true) {
        ("logprobs", "How likely a character's words were is not told.")
    } else {
        return Ok(());
    };
    Err(Refused::unsupported(refused.0, refused.1))
}

fn reply_tokens(body: &Body) -> Result<Option<u32>, Refused> {
    for (name, most) in [
        ("max_completion_tokens", body.max_completion_tokens),
        ("max_tokens", body.max_tokens),
    ] {
        if most == Some(0) {
            return Err(Refused::of(name, format!("`{name}` must be 1 or more.")));
        }
    }
    Ok(body.max_completion_tokens.into_iter().chain(body.max_tokens).min())
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>, Refused> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Many(texts)) => texts,
    };
    let keeps = stops.len() <= MOST_STOPS && stops.iter().all(|text| (1..=LONGEST_STOP).contains(&text.len()));
    keeps.then_some(stops).ok_or_else(|| {
        let detail = format!("`stop` must be at most {MOST_STOPS} texts of 1 to {LONGEST_STOP} bytes.");
        Refused::of("stop", detail)
    })
}

fn temperature(temperature: Option<f64>) -> Result<Option<f64>, Refused> {
    match temperature {
        Some(heat) if !(0.0..=2.0).contains(&heat) => {
            Err(Refused::of("temperature", "`temperature` must be from 0 to 2."))
        }
        heat => Ok(heat),
    }
}

/// What was said and what is to be told, apart.
fn lines(messages: Vec<Message>) -> Result<(Vec<Quote>, Vec<String>), Refused> {
    if messages.len() > MOST_MESSAGES {
        let detail = format!("`messages` must have at most {MOST_MESSAGES} messages.");
        return Err(Refused::of("messages", detail));
    }
    let (mut said, mut instructions) = (Vec::new(), Vec::new());
    for (place, message) in messages.into_iter().enumerate() {
        let has_calls = message.tool_calls.is_some_and(|calls| !calls.is_empty()) || message.function_call.is_some();
        if has_calls || matches!(message.role.as_str(), "tool" | "function") {
            let detail = "A character has tools of its own and takes no results of a client's.";
            return Err(Refused::unsupported(format!("messages[{place}]"), detail));
        }
        let text = text(message.content, place)?;
        let said_as = match message.role.as_str() {
            "user" => Claimed::Player,
            "assistant" => Claimed::Persona,
            "system" | "developer" => {
                instructions.push(text);
                continue;
            }
            _ => {
                let detail = "A message's role must be `user`, `assistant`, `system` or `developer`.";
                return Err(Refused::of(format!("messages[{place}].role"), detail));
            }
        };
        said.push(Quote { said_as, text });
    }
    Ok((said, instructions))
}

/// A message's words, in the form in which `chat` keeps them.
fn text(content: Option<Content>, place: usize) -> Result<String, Refused> {
    let text = match content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let texts = parts
                .into_iter()
                .map(|part| match (part.kind.as_str(), part.text, part.refusal) {
                    ("text", Some(text), _) | ("refusal", _, Some(text)) => Ok(text),
                    ("image_url" | "input_audio" | "file", ..) => {
                        let detail = "A character reads words: it sees no images and files, and hears nothing.";
                        Err(Refused::unsupported(format!("messages[{place}].content"), detail))
                    }
                    _ => {
                        let detail = "A part of a message's content must be of the type `text` and have a `text`.";
                        Err(Refused::of(format!("messages[{place}].content"), detail))
                    }
                });
            texts.collect::<Result<Vec<_>, _>>()?.join("\n")
        }
    };
    Ok(normal(&text))
}

/// Without the white space around it and with one kind of line break, so that a client that tidies up what it keeps is
/// still understood.
pub(super) fn normal(text: &str) -> String {
    let text = text.trim();
    if text.contains('\r') {
        return text.replace("\r\n", "\n").replace('\r', "\n");
    }
    text.to_owned()
}
