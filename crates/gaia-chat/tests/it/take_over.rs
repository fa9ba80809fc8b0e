//! Processes that are lost or stop in the middle of a turn.

use std::time::Duration;

use gaia_names::TurnId;
use gaia_protocol::{
    ErrorCode,
    chat::{ListPersonas, TurnState},
};
use gaia_testkit::{Ending, Script, eventually, eventually_within};

use crate::chat::{Chat, REPLY, reply};

/// Longer than a lease.
const LEASE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_turn_whose_process_was_killed_is_taken_over_when_its_lease_has_run_out() {
    let mut chat = Chat::start().await;
    let (first, second) = (chat.conversation().await.id, chat.conversation().await.id);
    chat.llm.always(Script::says("Half a").then(Ending::Stall));
    for route in &mut chat.bundle.routes {
        route.silence_ms = 60_000;
    }
    let mut next = chat.bundle.clone();
    next.generation += 1;
    let publish = gaia_protocol::chat::PublishBundle { bundle: Box::new(next) };
    chat.ask(&publish).await.unwrap();
    let (turn, left) = (TurnId::fresh(), TurnId::fresh());
    let mut stream = chat.begin(first, turn, "hello").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    chat.begin(second, left, "hello").await.accepted().await;
    chat.start_instance();
    chat.instance(0).kill();
    chat.llm.always(Script::says(REPLY));
    eventually("the other instance answers", async || {
        chat.ask_quickly(&ListPersonas {}).await
    })
    .await;
    let told = chat.begin(first, turn, "hello").await.rest().await;
    assert_eq!(told.refused(), ErrorCode::TurnInProgress, "the lease still holds");
    // The same turn sent again goes on in its own row.
    let taken = eventually_within(LEASE, "the turn is taken over", async || {
        let told = chat.begin(first, turn, "hello").await.rest().await;
        let why = told.fault.as_ref().map(|fault| fault.code);
        assert!(matches!(why, None | Some(ErrorCode::TurnInProgress)), "{told:?}");
        why.is_none().then_some(told)
    })
    .await;
    let last = taken.final_turn();
    assert_eq!((last.sequence, last.state, reply(&last)), (1, TurnState::Done, REPLY));
    assert_eq!(taken.deltas_after(0), REPLY);
    // A turn that nobody sends again is interrupted, and does not stand in the way.
    let abandoned = chat.read(second, left).await.unwrap();
    assert_eq!((abandoned.state, abandoned.reply), (TurnState::Interrupted, None));
    assert_eq!(chat.say(second, "anybody?").await.sequence, 2);
    let owner = chat.game.owner().await;
    let row = owner
        .query_one("SELECT state FROM chat.turns WHERE id = $1", &[&left.0])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "interrupted");
    // The one that was left can still be had.
    let late = chat.begin(second, left, "hello").await.rest().await.final_turn();
    assert_eq!((late.sequence, reply(&late)), (1, REPLY));
    assert_eq!(chat.say(second, "go on").await.sequence, 3);
}

#[tokio::test]
async fn a_process_that_drains_ends_its_turns_and_takes_no_new_ones() {
    let mut chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(100)));
    let mut stream = chat.begin(conversation, TurnId::fresh(), "hello").await;
    stream.accepted().await;
    let tasks = chat.instance(0).tasks.clone();
    let (ended, last) = tokio::join!(tasks.drain(Duration::from_secs(10)), stream.rest());
    assert!(ended, "everything ended by itself");
    assert_eq!(reply(&last.final_turn()), REPLY);
    let told = chat.begin(conversation, TurnId::fresh(), "hello?").await.rest().await;
    assert_eq!(told.refused(), ErrorCode::Unavailable, "nobody takes questions");
}

#[tokio::test]
async fn a_turn_that_draining_cannot_wait_for_is_given_back_at_once() {
    let mut chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says(REPLY).every(Duration::from_secs(3)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation, turn, "hello").await;
    stream.accepted().await;
    chat.start_instance();
    let tasks = chat.instance(0).tasks.clone();
    let (_, told) = tokio::join!(tasks.drain(Duration::from_millis(100)), stream.rest());
    assert_eq!(told.refused(), ErrorCode::TurnInterrupted);
    chat.llm.always(Script::says(REPLY));
    let again = eventually_within(Duration::from_secs(4), "the other instance takes it", async || {
        let told = chat.begin(conversation, turn, "hello").await.rest().await;
        told.fault.is_none().then(|| told.final_turn())
    })
    .await;
    assert_eq!((again.sequence, reply(&again)), (1, REPLY));
}
