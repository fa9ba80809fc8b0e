//! OpenAI's chat completions, streamed: OpenAI, Ollama, vLLM, llama-server and many others.

use std::borrow::Cow;

use gaia_protocol::bundle::Route;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    draft::Tokens,
    models::{Part, RouteFault},
    prompt::Prompt,
    tools::Round,
    wanted::CallPiece,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// Left empty only beside calls of tools.
    content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: String,
}

impl<'a> Message<'a> {
    fn of(role: &'static str, content: impl Into<Cow<'a, str>>) -> Self {
        Self {
            role,
            content: Some(content.into()),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: u32,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<u64>,
}

/// Where to ask.
pub(super) fn url(base: &str) -> String {
    format!("{}/chat/completions", base.trim_end_matches('/'))
}

/// What to ask.
pub(super) fn body(route: &Route, prompt: Prompt<'_>) -> Vec<u8> {
    let tools = prompt.tools;
    // One system message, because some servers' templates take no second. What changes stands last in it, so that the
    // beginning stays the same from turn to turn and can be cached.
    let mut system = prompt.stable.to_owned();
    if let Some(now) = prompt.now {
        system.push_str("\n\n");
        system.push_str(&now);
    }
    let mut messages = vec![Message::of("system", system)];
    messages.extend(
        prompt
            .messages
            .into_iter()
            .map(|(is_player, text)| Message::of(if is_player { "user" } else { "assistant" }, text)),
    );
    for (number, round) in tools.rounds.iter().enumerate() {
        messages.extend(of_round(number, round));
    }
    let offered = tools.offered.iter().map(|tool| Tool {
        kind: "function",
        function: Function {
            name: &tool.wire_name,
            description: &tool.description,
            parameters: &tool.input_schema,
        },
    });
    let must_answer = !tools.offered.is_empty() && !tools.may_call();
    let most = prompt.most_tokens;
    let is_openai = route.base_url.starts_with("https://api.openai.com");
    // OpenAI's newer models refuse a request that has one of these, and no player may make a route fail by asking for
    // it. The stop is kept all the same, where the reply is said.
    let options = prompt.options.filter(|_| !is_openai);
    let body = Body {
        model: &route.model,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_tokens: (!is_openai).then_some(most),
        max_completion_tokens: is_openai.then_some(most),
        stop: options.map_or(&[], |options| &options.stop),
        seed: options.and_then(|options| options.seed),
        temperature: options.and_then(|options| options.temperature),
        tools: offered.collect(),
        tool_choice: must_answer.then_some("none"),
        messages,
    };
    serde_json::to_vec(&body).expect("texts and numbers can be written as JSON")
}

/// What a model said and wanted, and what it is told of that.
fn of_round(number: usize, round: &Round) -> Vec<Message<'_>> {
    let calls = round.calls.iter().enumerate().map(|(place, (call, _))| ToolCall {
        id: round.call_id(number, place),
        kind: "function",
        function: Called {
            name: &call.name,
            // What is no JSON makes some servers refuse the whole request.
            arguments: call
                .read()
                .map_or_else(|| "{}".to_owned(), |arguments| arguments.to_string()),
        },
    });
    let said = Some(round.said.as_str()).filter(|said| !said.trim().is_empty());
    let asked = Message {
        role: "assistant",
        content: said.map(Cow::from),
        tool_calls: calls.collect(),
        tool_call_id: None,
    };
    let told = round.calls.iter().enumerate().map(|(place, (_, told))| Message {
        tool_call_id: Some(round.call_id(number, place)),
        ..Message::of("tool", told.text.as_str())
    });
    std::iter::once(asked).chain(told).collect()
}

fn piece(delta: CallDelta) -> CallPiece {
    let function = delta.function;
    let (name, arguments) = function.map_or((None, None), |function| (function.name, function.arguments));
    CallPiece {
        index: delta.index,
        id: delta.id.filter(|id| !id.is_empty()),
        name: name.filter(|name| !name.is_empty()),
        arguments: arguments.unwrap_or_default(),
    }
}

/// What an event means.
pub(super) fn read(data: &str) -> Result<Part, RouteFault> {
    let data = data.trim();
    if data == "[DONE]" {
        return Ok(Part {
            is_end: true,
            is_last: true,
            ..Part::default()
        });
    }
    let chunk: Chunk<'_> = serde_json::from_str(data).map_err(|_| RouteFault::Garbage)?;
    if chunk.error.is_some() {
        return Err(RouteFault::Reported("an error object".to_owned()));
    }
    let mut part = Part::default();
    if let Some(choice) = chunk.choices.into_iter().next() {
        part.is_end = choice.finish_reason.is_some();
        part.is_cut = choice.finish_reason.is_some_and(|reason| reason == "length");
        if let Some(delta) = choice.delta {
            part.text = delta.content.map(Cow::into_owned).unwrap_or_default();
            part.calls = delta.tool_calls.into_iter().flatten().map(piece).collect();
        }
    }
    if let Some(usage) = chunk.usage {
        let cached = usage
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .unwrap_or(0);
        part.is_whole_count = true;
        part.tokens = Some(Tokens {
            input: usage.prompt_tokens.saturating_sub(cached),
            output: usage.completion_tokens,
            cache_read: cached,
            cache_write: 0,
        });
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_format_are_read_and_others_refused() {
        let text = read(r#"{"choices":[{"index":0,"delta":{"content":"Go \"n\" "},"finish_reason":null}]}"#).unwrap();
        assert_eq!((text.text.as_str(), text.is_end), ("Go \"n\" ", false));
        let end = read(r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}"#).unwrap();
        assert!(end.is_end && !end.is_last && !end.is_cut && end.tokens.is_none());
        let cut = read(r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#).unwrap();
        assert!(cut.is_end && cut.is_cut);
        let count = read(
            r#"{"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":20}}}"#,
        );
        let tokens = Tokens {
            input: 10,
            output: 5,
            cache_read: 20,
            cache_write: 0,
        };
        assert_eq!(count.unwrap().tokens, Some(tokens));
        assert!(read(" [DONE]").unwrap().is_last);
        assert!(matches!(read("<html>"), Err(RouteFault::Garbage)));
        assert!(matches!(
            read(r#"{"error":{"message":"no"}}"#),
            Err(RouteFault::Reported(_))
        ));
    }
}
