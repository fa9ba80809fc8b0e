//! What several tests need.

use std::time::Duration;

use eventsource_stream::{Event, Eventsource};
use futures::{SinkExt, StreamExt, stream::BoxStream};
use gaia_testkit::{TestCluster, Visitor};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

/// Longer than anything here takes, shorter than anybody's patience.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A fresh id.
pub(crate) fn id() -> String {
    gaia_names::TurnId::fresh().to_string()
}

/// Whoever holds the admin token, at the second port.
pub(crate) fn admin(cluster: &TestCluster) -> Visitor {
    let mut admin = Visitor::new(format!("http://{}", cluster.ops[0]));
    let token = cluster.game.gateway_settings().games.remove(0).admin_token;
    admin.access_token = Some(token.expose().to_owned());
    admin
}

/// A program of the game's with a new key, made as asked; and the key's id.
pub(crate) async fn program(cluster: &TestCluster, key: Value) -> (Visitor, String) {
    let path = format!("/admin/v1/keys/{}", cluster.game.id);
    let made = admin(cluster).post(&path, key).await.ok();
    let mut program = cluster.stranger();
    program.access_token = made["secret"].as_str().map(str::to_owned);
    (program, made["id"].as_str().unwrap().to_owned())
}

/// A request to say something and hear the reply as events.
pub(crate) fn saying(visitor: &Visitor, conversation: &str, turn: &str, text: &str) -> RequestBuilder {
    visitor
        .request(Method::POST, &format!("/v1/conversations/{conversation}/turns"))
        .header("accept", "text/event-stream")
        .json(&json!({ "text": text, "turn": turn }))
}

/// A request to come back to a turn.
pub(crate) fn resuming(visitor: &Visitor, conversation: &str, turn: &str, after: u32) -> RequestBuilder {
    visitor
        .request(Method::GET, &format!("/v1/conversations/{conversation}/turns/{turn}"))
        .header("accept", "text/event-stream")
        .header("last-event-id", after)
}

/// The events of an answer.
pub(crate) struct Events(BoxStream<'static, Event>);

impl Events {
    pub(crate) fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let events = answer.bytes_stream().eventsource();
        Self(events.map(|event| event.expect("the stream is whole")).boxed())
    }

    pub(crate) async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(LIMIT, self.0.next())
            .await
            .expect("an event in time")
    }

    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

/// The data of an event.
pub(crate) fn data(event: &Event) -> Value {
    serde_json::from_str(&event.data).expect("the data is JSON")
}

/// The words of the deltas, whose numbers must go on from `after` without a gap.
pub(crate) fn words(events: &[Event], after: u64) -> String {
    let deltas = events.iter().filter(|event| event.event == "delta");
    let numbered = deltas.zip(after + 1..).map(|(event, number)| {
        assert_eq!(event.id, number.to_string());
        assert_eq!(data(event)["number"], number);
        data(event)["text"].as_str().unwrap().to_owned()
    });
    numbered.collect()
}

/// A client's end of the socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(gateway: &str) -> Self {
        let url = format!("{}/v1/realtime", gateway.replacen("http", "ws", 1));
        let (socket, _) = connect_async(url).await.expect("the gateway opens a socket");
        Self(socket)
    }

    /// A socket on which the visitor is signed in.
    pub(crate) async fn of(visitor: &Visitor) -> Self {
        let mut socket = Self::open(&visitor.gateway).await;
        let hello = socket
            .ask(&json!({ "type": "sign_in", "access_token": visitor.access_token }))
            .await;
        assert_eq!(hello["type"], "signed_in", "{hello}");
        socket
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.expect("the socket takes a message");
    }

    /// The next message, or with which code and reason the gateway closed the socket.
    pub(crate) async fn next(&mut self) -> Result<Value, (CloseCode, String)> {
        loop {
            let message = tokio::time::timeout(LIMIT, self.0.next())
                .await
                .expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("messages are JSON")),
                Some(Ok(Message::Close(Some(frame)))) => return Err((frame.code, frame.reason.to_string())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err((CloseCode::Abnormal, String::new())),
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn heard(&mut self) -> Value {
        self.next().await.expect("the socket is open")
    }

    pub(crate) async fn ask(&mut self, message: &Value) -> Value {
        self.send(message).await;
        self.heard().await
    }

    /// Everything about a turn up to its end.
    pub(crate) async fn turn(&mut self, turn: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let message = self.heard().await;
            assert_eq!(message["turn"], turn, "{message}");
            let event = message["event"].clone();
            let kind = event["kind"].as_str().expect("it is about a turn").to_owned();
            events.push(event);
            if kind == "final" || kind == "failed" {
                return events;
            }
        }
    }
}

/// The words of the deltas on a socket, whose numbers must go on from `after` without a gap.
pub(crate) fn socket_words(events: &[Value], after: u64) -> String {
    let deltas = events.iter().filter(|event| event["kind"] == "delta");
    let numbered = deltas.zip(after + 1..).map(|(event, number)| {
        assert_eq!(event["number"], number, "{event}");
        event["text"].as_str().unwrap().to_owned()
    });
    numbered.collect()
}
