//! The two forms in which OpenAI's clients hear a reply: a chat completion and a response.

use gaia_protocol::chat::{Reply, ReplySource, ToolNews, Turn, TurnUsage};
use serde_json::Value;

use super::Refused;

/// How a reply is written for a client, in one piece or as events in their order.
pub(super) trait Form: Send + 'static {
    /// The whole of it.
    fn whole(&self, turn: &Turn, usage: &TurnUsage) -> Value;

    /// What a stream begins with.
    fn begin(&mut self) -> String;

    /// More words.
    fn say(&mut self, text: &str) -> String;

    /// The persona uses a tool, and the client wants to see that.
    fn tool(&mut self, news: &ToolNews) -> String;

    /// The end, after all words.
    fn end(&mut self, turn: &Turn, usage: &TurnUsage) -> String;

    /// The end, where there is no more to come.
    fn fail(&mut self, refused: &Refused) -> String;
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

/// Where the words come from, so that nothing poses as what it is not: `model/<route>` or `authored/<route>`.
pub(super) fn fingerprint(reply: &Reply) -> String {
    let source = match reply.source {
        ReplySource::Model => "model",
        ReplySource::Authored => "authored",
    };
    format!("{source}/{}", reply.route)
}

/// A server-sent event without a name.
pub(super) fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}
