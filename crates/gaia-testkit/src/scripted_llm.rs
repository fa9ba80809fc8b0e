//! A stand-in for a model's vendor, for tests in which the answer must be known.
//!
//! It speaks the two wire formats that routes can have, OpenAI's chat completions and Anthropic's Messages, both
//! streamed, and does on request what vendors do on bad days: wait, stall, break off, refuse, send garbage.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

/// How one call is answered.
#[derive(Clone, Debug)]
pub struct Script {
    /// Refuse with this status instead.
    pub status: u16,
    /// How long until the answer's head; then the first token follows at once.
    pub first_token: Duration,
    /// How long between tokens.
    pub between: Duration,
    /// What is said, token by token.
    pub tokens: Vec<String>,
    /// The tools that are called after that: wire name and arguments.
    pub calls: Vec<(String, String)>,
    /// What comes after the tokens.
    pub ending: Ending,
    /// How many tokens it claims to have written, where that is not how many it said.
    pub claims: Option<u64>,
}

/// What comes after a script's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The proper end, with usage.
    Done,
    /// The same, because the reply has reached its limit.
    Cut,
    /// Nothing more, with the connection open.
    Stall,
    /// The connection breaks.
    Broken,
    /// Bytes that are no events.
    Garbage,
}

impl Script {
    /// Says a text at once, a word a token.
    #[must_use]
    pub fn says(text: &str) -> Self {
        let tokens = text.split_inclusive(' ').map(str::to_owned).collect();
        Self {
            status: 200,
            first_token: Duration::ZERO,
            between: Duration::ZERO,
            tokens,
            calls: Vec::new(),
            ending: Ending::Done,
            claims: None,
        }
    }

    /// Refuses.
    #[must_use]
    pub fn refuses(status: u16) -> Self {
        Self {
            status,
            ..Self::says("")
        }
    }

    /// The same, and calls a tool by its wire name with these arguments, which may be anything but JSON.
    #[must_use]
    pub fn calling(mut self, tool: &str, arguments: &str) -> Self {
        self.calls.push((tool.to_owned(), arguments.to_owned()));
        self
    }

    /// The same, but only after a while.
    #[must_use]
    pub fn after(self, first_token: Duration) -> Self {
        Self { first_token, ..self }
    }

    /// The same, slower.
    #[must_use]
    pub fn every(self, between: Duration) -> Self {
        Self { between, ..self }
    }

    /// The same, with a bill for this many tokens, whatever was said.
    #[must_use]
    pub fn claiming(self, tokens: u64) -> Self {
        Self {
            claims: Some(tokens),
            ..self
        }
    }

    fn written(&self) -> u64 {
        self.claims.unwrap_or(self.tokens.len() as u64)
    }

    /// The same with another ending.
    #[must_use]
    pub fn then(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

/// One call that was received.
#[derive(Clone, Debug)]
pub struct ReceivedCall {
    /// The path: `/v1/chat/completions` or `/v1/messages`.
    pub path: &'static str,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
}

/// The stand-in. It ends when dropped.
pub struct ScriptedLlm {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    always: Mutex<Script>,
    next: Mutex<VecDeque<Script>>,
    received: Mutex<Vec<ReceivedCall>>,
    keeps: usize,
    open: AtomicUsize,
    calls: AtomicUsize,
}

impl ScriptedLlm {
    /// Starts on a free loopback port and keeps the last thousand calls for tests to look at.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start(always: Script) -> Self {
        Self::start_keeping(always, 1_000).await
    }

    /// The same, keeping this many calls: none for a benchmark.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start_keeping(always: Script, keeps: usize) -> Self {
        let shared = Arc::new(Shared {
            always: Mutex::new(always),
            next: Mutex::default(),
            received: Mutex::default(),
            keeps,
            open: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(completions))
            .route("/v1/messages", post(messages))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        // As vendors do: otherwise the kernel holds the first token back for 40 ms, waiting for more to send.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (stop, stopped) = oneshot::channel::<()>();
        crate::spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                _ = stopped => {}
            }
        });
        Self {
            address,
            shared,
            _stop: stop,
        }
    }

    /// The base URL of an OpenAI-compatible route.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base URL of an Anthropic route.
    #[must_use]
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, every call is answered so.
    pub fn always(&self, script: Script) {
        *lock(&self.shared.always) = script;
    }

    /// The next call that has no script of its own is answered so, once.
    pub fn next(&self, script: Script) {
        lock(&self.shared.next).push_back(script);
    }

    /// The calls so far, oldest first.
    #[must_use]
    pub fn received(&self) -> Vec<ReceivedCall> {
        lock(&self.shared.received).clone()
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// How many answers are being streamed just now; a caller that gave up is no longer counted.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

async fn completions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let script = shared.take("/v1/chat/completions", headers, &body);
    if script.status != 200 {
        let error = json!({ "error": { "message": "scripted refusal", "type": "server_error", "code": null } });
        return refuse(shared, script, error).await;
    }
    let tokens = script.written();
    let delta = |text: &String| chunk(&json!([{ "index": 0, "delta": { "content": text }, "finish_reason": null }]));
    let mut parts: Vec<String> = script.tokens.iter().map(delta).collect();
    for (index, (name, arguments)) in script.calls.iter().enumerate() {
        let delta =
            |call: Value| chunk(&json!([{ "index": 0, "delta": { "tool_calls": [call] }, "finish_reason": null }]));
        let begin = json!({ "index": index, "id": format!("theirs_{index}"), "type": "function",
            "function": { "name": name, "arguments": "" } });
        let rest = json!({ "index": index, "function": { "arguments": arguments } });
        parts.extend([delta(begin), delta(rest)]);
    }
    if let Ending::Done | Ending::Cut = script.ending {
        let reason = match script.ending {
            Ending::Cut => "length",
            _ if !script.calls.is_empty() => "tool_calls",
            _ => "stop",
        };
        let usage = json!({ "prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens });
        let last = chunk(&json!([{ "index": 0, "delta": {}, "finish_reason": reason }]));
        let counted = json!({ "id": "scripted", "object": "chat.completion.chunk", "choices": [], "usage": usage });
        parts.push(format!("{last}data: {counted}\n\ndata: [DONE]\n\n"));
    }
    events(shared, script, String::new(), parts)
}

fn chunk(choices: &Value) -> String {
    let chunk = json!({ "id": "scripted", "object": "chat.completion.chunk", "model": "scripted", "choices": choices });
    format!("data: {chunk}\n\n")
}

async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let script = shared.take("/v1/messages", headers, &body);
    if script.status != 200 {
        let error = json!({ "type": "error", "error": { "type": "api_error", "message": "scripted refusal" } });
        return refuse(shared, script, error).await;
    }
    let usage = json!({ "input_tokens": 20, "output_tokens": 1, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 3 });
    let start = json!({ "type": "message_start", "message": { "id": "scripted", "role": "assistant", "content": [], "usage": usage } });
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let head = format!("{}{}", event(&start), event(&block));
    let delta = |text: &String| {
        event(&json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }))
    };
    let mut parts: Vec<String> = script.tokens.iter().map(delta).collect();
    for (place, (name, arguments)) in script.calls.iter().enumerate() {
        let index = place + 1;
        let block = json!({ "type": "tool_use", "id": format!("theirs_{index}"), "name": name, "input": {} });
        let delta = json!({ "type": "input_json_delta", "partial_json": arguments });
        parts.extend([
            event(&json!({ "type": "content_block_start", "index": index, "content_block": block })),
            event(&json!({ "type": "content_block_delta", "index": index, "delta": delta })),
            event(&json!({ "type": "content_block_stop", "index": index })),
        ]);
    }
    if let Ending::Done | Ending::Cut = script.ending {
        let reason = match script.ending {
            Ending::Cut => "max_tokens",
            _ if !script.calls.is_empty() => "tool_use",
            _ => "end_turn",
        };
        let usage = json!({ "output_tokens": script.written() });
        let stop = json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": usage });
        let closed = event(&json!({ "type": "content_block_stop", "index": 0 }));
        parts.push(format!(
            "{closed}{}{}",
            event(&stop),
            event(&json!({ "type": "message_stop" }))
        ));
    }
    events(shared, script, head, parts)
}

fn event(data: &Value) -> String {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

async fn refuse(shared: Arc<Shared>, script: Script, error: Value) -> Response {
    let _open = Open::new(shared);
    tokio::time::sleep(script.first_token).await;
    let status = StatusCode::from_u16(script.status).expect("a script's status is one");
    (status, Json(error)).into_response()
}

fn events(shared: Arc<Shared>, script: Script, head: String, parts: Vec<String>) -> Response {
    let body = Body::from_stream(pieces(shared, script, head, parts));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn pieces(
    shared: Arc<Shared>,
    script: Script,
    head: String,
    parts: Vec<String>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    // The guard lives in the stream, so that a caller that gave up is no longer counted as open.
    let open = Open::new(shared);
    let begin = stream::once(async move {
        wait(script.first_token).await;
        Ok(Bytes::from(head))
    });
    let between = script.between;
    let middle = stream::iter(parts.into_iter().enumerate()).then(move |(number, part)| async move {
        if number > 0 && !between.is_zero() {
            tokio::time::sleep(between).await;
        }
        Ok::<_, std::io::Error>(Bytes::from(part))
    });
    let end = stream::once(async move {
        let _open = open;
        match script.ending {
            Ending::Done | Ending::Cut => Ok(Bytes::new()),
            Ending::Stall => std::future::pending().await,
            Ending::Broken => Err(std::io::Error::other("scripted break")),
            Ending::Garbage => Ok(Bytes::from_static(b"\xff\xfe<html>502 Bad Gateway</html>\n\n{{{{\n\n")),
        }
    });
    begin
        .chain(middle)
        .chain(end)
        .filter(|piece| std::future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty())))
}

/// Waits exactly this long. Tokio's own clock ticks once a millisecond, which would hide as much of what others take.
async fn wait(time: Duration) {
    const TICKS: Duration = Duration::from_millis(2);
    let until = Instant::now() + time;
    tokio::time::sleep(time.saturating_sub(TICKS)).await;
    let rest = move || std::thread::sleep(until.saturating_duration_since(Instant::now()));
    if !time.is_zero() {
        let _ = tokio::task::spawn_blocking(rest).await;
    }
}

impl Shared {
    fn take(&self, path: &'static str, headers: HeaderMap, body: &[u8]) -> Script {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.keeps > 0 {
            let body = serde_json::from_slice(body).unwrap_or(Value::Null);
            let mut received = lock(&self.received);
            received.push(ReceivedCall { path, headers, body });
            let over = received.len().saturating_sub(self.keeps);
            received.drain(..over);
        }
        lock(&self.next)
            .pop_front()
            .unwrap_or_else(|| lock(&self.always).clone())
    }
}

struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
