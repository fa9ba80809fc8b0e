//! What OpenAI's clients send for a completion, and what of it a persona can do. What we do not know is ignored, as
//! OpenAI does; what a client would miss is refused, by name.

use gaia_protocol::chat::{LONGEST_STOP, MOST_STOPS, TurnOptions};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Refused,
    wanted::{self, Content, Lines, Message, Wanted},
};

#[derive(Deserialize)]
pub(super) struct Body {
    model: String,
    messages: Vec<Sent>,
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
struct Sent {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<IgnoredAny>>,
    function_call: Option<IgnoredAny>,
}

impl Body {
    /// Whether a stream ends with what the completion took.
    pub(super) fn includes_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage == Some(true))
    }

    pub(super) fn wanted(self) -> Result<Wanted, Refused> {
        refuse_what_no_persona_can(&self)?;
        let persona = self.model.parse().map_err(|_| Refused::no_model(&self.model))?;
        let limits = [
            ("max_completion_tokens", self.max_completion_tokens),
            ("max_tokens", self.max_tokens),
        ];
        let options = TurnOptions {
            reply_tokens: wanted::reply_tokens(&limits)?,
            stop: stops(self.stop)?,
            // Servers differ in what they take for a seed; all take this many bits.
            seed: self
                .seed
                .map(|seed| u32::try_from(seed & 0x7fff_ffff).unwrap_or_default()),
            temperature: wanted::temperature(self.temperature)?,
            quotes: Vec::new(),
        };
        let Lines {
            said,
            instructions,
            text,
        } = wanted::lines("messages", messages(self.messages)?)?;
        Ok(Wanted {
            persona,
            previous: None,
            said,
            instructions,
            text,
            options,
            streams: self.stream.unwrap_or(false),
            keeps: false,
            shows_tools: self
                .metadata
                .is_some_and(|metadata| metadata.gaia_tools.as_deref() == Some("shown")),
            player_name: wanted::player_name(self.safety_identifier, self.user),
        })
    }
}

fn refuse_what_no_persona_can(body: &Body) -> Result<(), Refused> {
    wanted::refuse_tools(body.tools.as_ref())?;
    wanted::refuse_tools(body.functions.as_ref())?;
    let other_than_text = |kinds: &Vec<String>| kinds.iter().any(|kind| kind != "text");
    let format = body.response_format.as_ref();
    let refused = if body.n.is_some_and(|n| n != 1) {
        ("n", "A character answers once: `n` must be 1.")
    } else if format.is_some_and(|format| format.kind != "text") {
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

/// The messages, if all of them are words.
fn messages(sent: Vec<Sent>) -> Result<Vec<Message>, Refused> {
    let plain = |(place, sent): (usize, Sent)| {
        let has_calls = sent.tool_calls.is_some_and(|calls| !calls.is_empty()) || sent.function_call.is_some();
        if has_calls || matches!(sent.role.as_str(), "tool" | "function") {
            let detail = "A character has tools of its own and takes no results of a client's.";
            return Err(Refused::unsupported(format!("messages[{place}]"), detail));
        }
        Ok(Message {
            place,
            role: sent.role,
            content: sent.content,
        })
    };
    sent.into_iter().enumerate().map(plain).collect()
}
