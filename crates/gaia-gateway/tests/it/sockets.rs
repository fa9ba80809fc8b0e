//! The socket.

use std::time::Duration;

use futures::future::join_all;
use gaia_testkit::{Script, TestCluster};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{Socket, id, socket_words};

const REPLY: &str = "The bridge is north of the market, past the old lanterns.";
const UNAUTHORIZED: CloseCode = CloseCode::Library(4401);

fn say(conversation: &str, turn: &str, text: &str) -> Value {
    json!({ "type": "say", "conversation": conversation, "turn": turn, "text": text })
}

#[tokio::test]
async fn a_player_talks_over_a_socket() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(Script::says(REPLY));
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let mut socket = Socket::of(&player).await;
    assert_eq!(socket.ask(&json!({ "type": "ping" })).await, json!({ "type": "pong" }));
    for _ in 0..2 {
        let turn = id();
        socket.send(&say(&conversation, &turn, "Where is the bridge?")).await;
        let events = socket.turn(&turn).await;
        assert_eq!(events[0]["kind"], "accepted");
        assert_eq!(socket_words(&events, 0), REPLY);
        assert_eq!(events.last().unwrap()["turn"]["reply"]["text"], REPLY);
    }
}

#[tokio::test]
async fn after_a_drop_a_turn_is_resumed_where_it_was() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(Script::says(REPLY).every(Duration::from_millis(60)));
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let mut socket = Socket::of(&player).await;
    socket.send(&say(&conversation, &turn, "Where is the bridge?")).await;
    let mut first = Vec::new();
    while first.last().is_none_or(|event: &Value| event["number"] != 2) {
        first.push(socket.heard().await["event"].clone());
    }
    drop(socket);
    let mut socket = Socket::of(&player).await;
    let resume = json!({ "type": "resume", "conversation": conversation, "turn": turn, "after": 2 });
    socket.send(&resume).await;
    let rest = socket.turn(&turn).await;
    assert_eq!(socket_words(&first, 0) + &socket_words(&rest, 2), REPLY);
    socket.send(&resume).await;
    assert_eq!(socket.turn(&turn).await[0]["kind"], "final");
}

#[tokio::test]
async fn a_turn_is_cancelled_over_the_socket() {
    let cluster = TestCluster::start().await;
    cluster
        .llm
        .always(Script::says(&"word ".repeat(500)).every(Duration::from_millis(20)));
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let mut socket = Socket::of(&player).await;
    socket.send(&say(&conversation, &turn, "Tell me all")).await;
    while socket.heard().await["event"]["kind"] != "delta" {}
    socket
        .send(&json!({ "type": "cancel", "conversation": conversation, "turn": turn }))
        .await;
    let events = socket.turn(&turn).await;
    assert_eq!(events.last().unwrap()["turn"]["state"], "cancelled");
    let again = socket
        .ask(&json!({ "type": "cancel", "conversation": conversation, "turn": turn }))
        .await;
    assert_eq!(
        (&again["code"], &again["turn"]),
        (&json!("turn_finished"), &json!(turn))
    );
}

#[tokio::test]
async fn four_turns_run_on_one_socket_and_a_fifth_waits() {
    let cluster = TestCluster::start().await;
    cluster
        .llm
        .always(Script::says(REPLY).after(Duration::from_millis(300)));
    let player = cluster.visitor().await;
    let conversations = join_all((0..5).map(|_| player.start_conversation("guide"))).await;
    let mut socket = Socket::of(&player).await;
    for conversation in &conversations {
        socket.send(&say(conversation, &id(), "Good evening")).await;
    }
    let (mut finals, mut refused) = (0, 0);
    while finals + refused < 5 {
        let message = socket.heard().await;
        finals += usize::from(message["event"]["kind"] == "final");
        refused += usize::from(message["code"] == "rate_limited");
    }
    assert_eq!((finals, refused), (4, 1));
}

#[tokio::test]
async fn nobody_talks_before_signing_in() {
    let cluster = TestCluster::start().await;
    let mut socket = Socket::open(&cluster.gateway).await;
    let answer = socket.ask(&say(&id(), &id(), "Good evening")).await;
    assert_eq!(answer["code"], "sign_in_first");
    assert_eq!(socket.next().await.unwrap_err().0, UNAUTHORIZED);
    for token in ["nonsense", ""] {
        let mut socket = Socket::open(&cluster.gateway).await;
        let answer = socket.ask(&json!({ "type": "sign_in", "access_token": token })).await;
        assert_eq!(answer["code"], "token_invalid");
        assert_eq!(
            socket.next().await.unwrap_err(),
            (UNAUTHORIZED, "token_invalid".to_owned())
        );
    }
}

#[tokio::test]
async fn signing_out_holds_on_open_sockets_at_once() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let mut socket = Socket::of(&player).await;
    assert_eq!(player.delete("/v1/sessions/current").await.status, 204);
    let answer = socket.ask(&say(&conversation, &id(), "Still here?")).await;
    assert_eq!(answer["code"], "session_ended");
    assert_eq!(
        socket.next().await.unwrap_err(),
        (UNAUTHORIZED, "session_ended".to_owned())
    );
    assert_eq!(cluster.llm.calls(), 0);
}

#[tokio::test]
async fn a_socket_stays_with_the_player_who_signed_in_on_it() {
    let cluster = TestCluster::start().await;
    let (player, other) = (cluster.visitor().await, cluster.visitor().await);
    let mut socket = Socket::of(&player).await;
    let answer = socket
        .ask(&json!({ "type": "sign_in", "access_token": other.access_token }))
        .await;
    assert_eq!(answer["code"], "forbidden");
    let conversation = other.start_conversation("guide").await;
    let answer = socket.ask(&say(&conversation, &id(), "Hello")).await;
    assert_eq!(answer["event"]["code"], "not_found", "{answer}");
}

#[tokio::test]
async fn a_fresh_token_lengthens_the_stay() {
    let cluster = TestCluster::start().await;
    let mut player = cluster.visitor().await;
    let mut socket = Socket::of(&player).await;
    let refreshed = player
        .post("/v1/sessions/refresh", json!({ "refresh_token": player.refresh_token }))
        .await
        .ok();
    player.take_tokens(&refreshed);
    let again = socket
        .ask(&json!({ "type": "sign_in", "access_token": player.access_token }))
        .await;
    assert_eq!(again["type"], "signed_in");
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_refused_and_the_socket_stays_open() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let mut socket = Socket::of(&player).await;
    for (message, code) in [
        (Message::text("{"), "bad_request"),
        (Message::text("[]"), "invalid_input"),
        (Message::text(r#"{"type":"dance"}"#), "invalid_input"),
        (Message::text(r#"{"type":"ping","x":1}"#), "invalid_input"),
        (
            Message::text(r#"{"type":"say","conversation":"x","turn":"y","text":"z"}"#),
            "invalid_input",
        ),
        (Message::text(say(&id(), &id(), "a\u{0}b").to_string()), "invalid_input"),
        (Message::binary(vec![0, 159, 146, 150]), "bad_request"),
    ] {
        let shown = message.to_string();
        socket.send_raw(message).await;
        assert_eq!(socket.heard().await["code"], code, "{shown}");
    }
    assert_eq!(socket.ask(&json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn a_huge_message_and_a_flood_of_messages_close_the_socket() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let mut socket = Socket::of(&player).await;
    socket.send(&say(&id(), &id(), &"a".repeat(40_000))).await;
    assert_eq!(socket.next().await.unwrap_err().0, CloseCode::Size);

    let mut socket = Socket::of(&player).await;
    for _ in 0..200 {
        socket.send(&json!({ "type": "ping" })).await;
    }
    let end = loop {
        if let Err(end) = socket.next().await {
            break end;
        }
    };
    assert_eq!(end.0, CloseCode::Policy);
}
