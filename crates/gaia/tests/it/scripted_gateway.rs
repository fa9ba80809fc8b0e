//! A gateway that answers as a test scripts it, so that drops, refusals and gaps come when they are wanted.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::{Value, json};

const CONVERSATION: &str = "01930000-0000-7000-8000-000000000001";

/// How a turn is answered.
pub(crate) enum Script {
    /// These events; whole if the last is `final`, else the connection breaks there.
    Events(Vec<Value>),
    /// A refusal.
    Problem(u16, &'static str),
}

/// What was asked of the gateway: `POST /v1/...`, the token, and the body.
pub(crate) type Asked = (String, String, Value);

pub(crate) struct Gateway {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_over: AtomicBool,
    turns: Mutex<VecDeque<Script>>,
    asked: Mutex<Vec<Asked>>,
}

impl Gateway {
    /// A gateway on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away in the middle is part of what is tested.
                let _ = answer(&shared, stream.unwrap());
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next turns like this.
    pub(crate) fn script(&self, turns: impl IntoIterator<Item = Script>) {
        self.state.turns.lock().unwrap().extend(turns);
    }

    /// Everything that was asked so far whose path ends like this.
    pub(crate) fn asked(&self, end: &str) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|(what, ..)| what.ends_with(end)).cloned().collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A delta event.
pub(crate) fn delta(number: u32, text: &str) -> Value {
    json!({ "type": "delta", "number": number, "text": text })
}

/// The last event, with the whole reply.
pub(crate) fn whole(text: &str) -> Value {
    json!({ "type": "final", "turn": {
        "id": CONVERSATION, "conversation": CONVERSATION, "sequence": 1, "text": "?", "state": "done",
        "reply": { "text": text, "source": "authored", "route": "barks" },
        "created_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z",
    }})
}

fn answer(state: &State, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let what = line.rsplit_once(' ').map_or("", |(what, _)| what).to_owned();
    let (mut length, mut token) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("authorization", value)) => token = value.to_owned(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    state.asked.lock().unwrap().push((what.clone(), token, body));
    respond(state, &what, &mut stream)?;
    stream.shutdown(Shutdown::Both)
}

fn respond(state: &State, what: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    let conversation = json!({ "id": CONVERSATION, "persona": "mara", "title": null, "turns": 0,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z" });
    let (status, body) = match what {
        "POST /v1/players/guest" | "POST /v1/sessions/refresh" => (200, signed_in()),
        "GET /v1/personas" => (
            200,
            json!([
                { "id": "mara", "name": "Mara", "role": "guide", "greeting": "Quiet." },
                { "id": "otto", "name": "Otto", "role": "medic", "greeting": null },
            ]),
        ),
        "GET /v1/conversations" => (200, json!({ "items": [], "next": null })),
        "POST /v1/conversations" => (201, conversation),
        "GET /health/live" => (200, json!({ "status": "live" })),
        "GET /health/ready" => (
            503,
            json!({ "status": "not ready", "missing": { "kos/postgres": "connection refused" } }),
        ),
        _ if what.ends_with("/turns") => match state.turns.lock().unwrap().pop_front() {
            Some(Script::Events(events)) => return tell(stream, &events),
            Some(Script::Problem(status, code)) => (status, json!({ "code": code, "detail": "as scripted" })),
            None => (500, json!({ "code": "internal", "detail": "no script" })),
        },
        _ => (404, json!({ "code": "not_found", "detail": what })),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn signed_in() -> Value {
    json!({
        "player": { "id": CONVERSATION, "display_name": "Ada", "email": null, "role": "player", "is_guest": true,
            "created_at": "2026-01-01T00:00:00Z" },
        "access_token": "access", "refresh_token": "refresh", "token_type": "Bearer", "expires_in": 900,
    })
}

/// Chunked, so that a stream that breaks is told from one that ends.
fn tell(stream: &mut TcpStream, events: &[Value]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    for event in events {
        let text = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
        write!(stream, "{:x}\r\n{text}\r\n", text.len())?;
    }
    if events.last().is_some_and(|event| event["type"] == "final") {
        write!(stream, "0\r\n\r\n")?;
    }
    stream.flush()
}
