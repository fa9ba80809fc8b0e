//! What a client wants of a persona, whichever of OpenAI's two formats it says it in.

use axum::extract::Request;
use gaia_names::{PersonaId, TurnId};
use gaia_protocol::chat::{Claimed, LONGEST_MESSAGE, Quote, TurnOptions};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::Refused;
use crate::{
    extract::{json_bytes, parse_at},
    inputs::prose,
};

/// The largest body, in bytes: a client sends all that was said with every request.
const LARGEST_BODY: usize = 512 * 1024;
/// The most messages in it.
const MOST_MESSAGES: usize = 2_000;

/// A reply that can be had.
pub(super) struct Wanted {
    pub(super) persona: PersonaId,
    /// The response that this goes on from, where the client names one.
    pub(super) previous: Option<TurnId>,
    /// What the client says the player and the persona said since then, oldest first.
    pub(super) said: Vec<Quote>,
    /// What the client wants the persona to be told.
    pub(super) instructions: Vec<String>,
    /// What the player says now.
    pub(super) text: String,
    pub(super) options: TurnOptions,
    pub(super) streams: bool,
    /// The client may name this response as the one that it goes on from.
    pub(super) keeps: bool,
    /// The client wants to see which tools the persona uses.
    pub(super) shows_tools: bool,
    /// What the holder of a key calls the player.
    pub(super) player_name: Option<String>,
}

/// What was said, of which the player says the last now.
pub(super) struct Lines {
    pub(super) said: Vec<Quote>,
    pub(super) instructions: Vec<String>,
    pub(super) text: String,
}

/// A message, and its place in what the client sent.
pub(super) struct Message {
    pub(super) place: usize,
    pub(super) role: String,
    pub(super) content: Option<Content>,
}

/// A message's words.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
pub(super) struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

/// Reads a body.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let bytes = json_bytes(request, LARGEST_BODY).await.map_err(|refusal| refusal.0)?;
    parse_at(&bytes).map_err(|(field, fault)| match field {
        Some(field) => Refused::from(fault).blaming(field, None),
        None => fault.into(),
    })
}

/// Puts messages, each with its role and its words, where they belong. `list` is what the client calls them.
pub(super) fn lines(list: &'static str, messages: Vec<Message>) -> Result<Lines, Refused> {
    if messages.len() > MOST_MESSAGES {
        let detail = format!("`{list}` must have at most {MOST_MESSAGES} messages.");
        return Err(Refused::of(list, detail));
    }
    let (mut said, mut instructions) = (Vec::new(), Vec::new());
    for Message { place, role, content } in messages {
        let text = text(list, content, place)?;
        let said_as = match role.as_str() {
            "user" => Claimed::Player,
            "assistant" => Claimed::Persona,
            "system" | "developer" => {
                instructions.push(text);
                continue;
            }
            _ => {
                let detail = "A message's role must be `user`, `assistant`, `system` or `developer`.";
                return Err(Refused::of(format!("{list}[{place}].role"), detail));
            }
        };
        said.push(Quote { said_as, text });
    }
    let last = said.pop().filter(|last| last.said_as == Claimed::Player);
    let text = last.map(|last| last.text).ok_or_else(|| {
        let detail = "The last message must be the player's: one with the role `user`.";
        Refused::of(list, detail)
    })?;
    prose(list, &text, LONGEST_MESSAGE)
        .map_err(|fault| Refused::of(list, format!("The last message cannot be taken: {}.", fault.detail)))?;
    Ok(Lines {
        said,
        instructions,
        text,
    })
}

/// A message's words, in the form in which `chat` keeps them.
fn text(list: &str, content: Option<Content>, place: usize) -> Result<String, Refused> {
    let text = match content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let texts = parts
                .into_iter()
                .map(|part| match (part.kind.as_str(), part.text, part.refusal) {
                    ("text" | "input_text" | "output_text", Some(text), _) | ("refusal", _, Some(text)) => Ok(text),
                    ("image_url" | "input_image" | "input_audio" | "file" | "input_file", ..) => {
                        let detail = "A character reads words: it sees no images and files, and hears nothing.";
                        Err(Refused::unsupported(format!("{list}[{place}].content"), detail))
                    }
                    _ => {
                        let detail = "A part of a message's content must be text and have a `text`.";
                        Err(Refused::of(format!("{list}[{place}].content"), detail))
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

/// The lowest of the limits that a client has set.
pub(super) fn reply_tokens(limits: &[(&'static str, Option<u32>)]) -> Result<Option<u32>, Refused> {
    if let Some((name, _)) = limits.iter().find(|(_, most)| *most == Some(0)) {
        return Err(Refused::of(*name, format!("`{name}` must be 1 or more.")));
    }
    Ok(limits.iter().filter_map(|(_, most)| *most).min())
}

pub(super) fn temperature(temperature: Option<f64>) -> Result<Option<f64>, Refused> {
    match temperature {
        Some(heat) if !(0.0..=2.0).contains(&heat) => {
            Err(Refused::of("temperature", "`temperature` must be from 0 to 2."))
        }
        heat => Ok(heat),
    }
}

/// What the holder of a key calls the player.
pub(super) fn player_name(safety_identifier: Option<String>, user: Option<String>) -> Option<String> {
    let named = |name: &String| !name.is_empty();
    safety_identifier.filter(named).or(user.filter(named))
}

/// Refuses a client's own tools.
pub(super) fn refuse_tools(tools: Option<&Vec<IgnoredAny>>) -> Result<(), Refused> {
    match tools {
        Some(tools) if !tools.is_empty() => {
            let detail = "A character has tools of its own and takes none from a client.";
            Err(Refused::unsupported("tools", detail))
        }
        _ => Ok(()),
    }
}
