//! Stores that are away for a while.

use std::time::Duration;

use gaia_names::{Store, TurnId};
use gaia_protocol::{
    ErrorCode,
    chat::{ListConversations, TurnEvent, TurnState},
};
use gaia_testkit::{Script, TestGame, eventually, eventually_within};

use crate::chat::{Chat, REPLY, reply};

async fn alone() -> Chat {
    Chat::start_in(TestGame::start_alone().await, |_, _, _| {}).await
}

#[tokio::test]
async fn without_redis_turns_go_on_with_the_same_context() {
    let chat = alone().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "one").await;
    chat.game.kill(Store::Redis).await;
    assert_eq!(chat.say(conversation, "two").await.sequence, 2);
    assert_eq!(chat.say(conversation, "three").await.sequence, 3);
    let calls = chat.llm.received();
    let heard = calls.last().unwrap().body["messages"].to_string();
    assert!(heard.contains("one") && heard.contains("two"), "{heard}");
    chat.game.start_again(Store::Redis).await;
    assert_eq!(chat.say(conversation, "four").await.sequence, 4);
}

#[tokio::test]
async fn without_postgres_a_turn_is_refused_and_nothing_is_half_written() {
    let chat = alone().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "one").await;
    chat.game.kill(Store::Postgres).await;
    let list = ListConversations {
        caller: chat.player,
        limit: 5,
        before: None,
    };
    // Its processes go on for a moment without their parent.
    let fault = eventually("postgres is gone", async || chat.ask(&list).await.err()).await;
    assert_eq!(fault.code, ErrorCode::Unavailable);
    let lost = TurnId::fresh();
    let told = chat.begin(conversation, lost, "two").await.rest().await;
    assert_eq!((told.refused(), told.events.len()), (ErrorCode::Unavailable, 0));
    chat.game.start_again(Store::Postgres).await;
    let page = eventually("postgres is back", async || chat.ask(&list).await.ok()).await;
    assert_eq!(page.items[0].turns, 1);
    let turn = chat.begin(conversation, lost, "two").await.rest().await.final_turn();
    assert_eq!((turn.sequence, reply(&turn)), (2, REPLY));
}

#[tokio::test]
async fn a_reply_survives_a_postgres_that_restarts_under_it() {
    let chat = alone().await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(150)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation, turn, "hello").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    chat.game.kill(Store::Postgres).await;
    chat.game.start_again(Store::Postgres).await;
    let last = stream.rest().await.final_turn();
    assert_eq!((last.state, reply(&last)), (TurnState::Done, REPLY));
    assert_eq!(chat.read(conversation, turn).await.unwrap(), last);
}

#[tokio::test]
async fn a_reply_that_cannot_be_kept_is_refused_and_can_be_had_again() {
    let chat = alone().await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(100)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation, turn, "hello").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    chat.game.kill(Store::Postgres).await;
    let told = stream.rest().await;
    assert_eq!(told.refused(), ErrorCode::Unavailable);
    assert!(told.alive > 0, "whoever waits hears that it is being worked on");
    chat.game.start_again(Store::Postgres).await;
    let again = eventually_within(Duration::from_secs(20), "the turn is taken again", async || {
        let told = chat.begin(conversation, turn, "hello").await.rest().await;
        told.fault.is_none().then(|| told.final_turn())
    })
    .await;
    assert_eq!(
        (again.sequence, again.state, reply(&again)),
        (1, TurnState::Done, REPLY)
    );
}

#[tokio::test]
async fn nats_that_restarts_loses_no_turn() {
    let chat = alone().await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(100)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation, turn, "hello").await;
    stream.accepted().await;
    chat.game.kill(Store::Nats).await;
    chat.game.start_again(Store::Nats).await;
    let kept = eventually("the turn is done", async || {
        chat.read(conversation, turn)
            .await
            .ok()
            .filter(|turn| turn.state == TurnState::Done)
    })
    .await;
    assert_eq!(reply(&kept), REPLY);
    let again = chat.begin(conversation, turn, "hello").await.rest().await;
    assert_eq!(
        again.events.last(),
        Some(&TurnEvent::Final {
            turn: kept,
            usage: None
        })
    );
}
