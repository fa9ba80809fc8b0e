//! Processes and stores that are lost while money is set aside.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::join_all;
use gaia_chat::BudgetOptions;
use gaia_names::{Store, TurnId};
use gaia_protocol::costs::By;
use gaia_testkit::{Ending, Script, TestGame, eventually, eventually_within};

use super::{FOR_ONE, ONE_CALL, PLENTY, costs, counted, greet, in_step, number, with_options};
use crate::chat::{Chat, REPLY, Stream, route_of};

/// How long a lost call is waited for in these tests, in seconds.
const SOON: u32 = 2;

fn lost_soon() -> BudgetOptions {
    BudgetOptions {
        reservation_seconds: SOON,
        ..BudgetOptions::default()
    }
}

/// A turn that the model does not end, after its first words.
async fn hanging(chat: &Chat) -> Stream {
    chat.llm.next(Script::says("The lamps are").then(Ending::Stall));
    let conversation = chat.conversation().await.id;
    let mut stream = chat.begin(conversation, TurnId::fresh(), "hello").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    stream
}

#[tokio::test]
async fn a_process_that_dies_between_reserve_and_settle_loses_and_doubles_nothing() {
    let mut chat = with_options(TestGame::start().await, lost_soon(), |bundle| {
        bundle.budget.per_day = Some(PLENTY);
    })
    .await;
    counted(&chat).await;
    greet(&chat).await;
    in_step(&chat).await;
    let _streams = join_all((0..3).map(|_| hanging(&chat))).await;
    let reserved = counted(&chat).await[0].reserved_micros;
    assert!(reserved > 3 * 12_000, "{reserved}");
    chat.instance(0).kill();
    chat.start_instance();
    assert_eq!(
        counted(&chat).await[0].reserved_micros,
        reserved,
        "what was set aside still is"
    );
    // A provider was called and may want all of it: what nobody knows is entered at its worst.
    let spent = in_step(&chat).await;
    assert_eq!(spent, ONE_CALL + reserved);
    assert_eq!(
        number(&chat, "SELECT count(*) FROM chat.usage WHERE game_id = $1").await,
        4
    );
    assert_eq!(
        number(&chat, "SELECT count(*) FROM chat.reservations WHERE game_id = $1").await,
        0
    );
    chat.llm.always(Script::says(REPLY));
    greet(&chat).await;
    assert_eq!(in_step(&chat).await, spent + ONE_CALL);
}

#[tokio::test]
async fn a_process_and_a_redis_that_are_lost_together_lose_nothing() {
    let mut chat = with_options(TestGame::start_alone().await, lost_soon(), |bundle| {
        bundle.budget.per_day = Some(PLENTY);
    })
    .await;
    counted(&chat).await;
    let _stream = hanging(&chat).await;
    let reserved = counted(&chat).await[0].reserved_micros;
    eventually("postgres knows of it", async || {
        (number(&chat, "SELECT count(*) FROM chat.reservations WHERE game_id = $1").await == 1).then_some(())
    })
    .await;
    chat.instance(0).kill();
    chat.game.kill(Store::Redis).await;
    chat.game.start_again(Store::Redis).await;
    chat.start_instance();
    assert_eq!(in_step(&chat).await, reserved);
    assert_eq!(
        number(&chat, "SELECT count(*) FROM chat.usage WHERE game_id = $1").await,
        1
    );
}

#[tokio::test]
async fn a_redis_that_is_emptied_under_running_calls_loses_and_doubles_nothing() {
    let chat = with_options(TestGame::start_alone().await, BudgetOptions::default(), |bundle| {
        bundle.budget.per_day = Some(PLENTY);
    })
    .await;
    counted(&chat).await;
    greet(&chat).await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(150)));
    let mut streams = Vec::new();
    for conversation in join_all((0..16).map(|_| chat.conversation())).await {
        streams.push(chat.begin(conversation.id, TurnId::fresh(), "hello").await);
    }
    for stream in &mut streams {
        stream.accepted().await;
        stream.next().await.unwrap();
    }
    chat.game.empty_redis().await;
    let turns = join_all(streams.into_iter().map(Stream::rest)).await;
    assert!(turns.iter().all(|told| route_of(&told.final_turn()) == "scripted"));
    assert_eq!(in_step(&chat).await, 17 * ONE_CALL);
    assert_eq!(
        number(&chat, "SELECT count(*) FROM chat.usage WHERE game_id = $1").await,
        17
    );
}

#[tokio::test]
async fn counters_that_are_made_again_before_the_ledger_has_a_call_let_it_go_once_it_has() {
    let options = BudgetOptions {
        turns_time: Duration::from_secs(2),
        ..BudgetOptions::default()
    };
    let chat = with_options(TestGame::start_alone().await, options, |bundle| {
        bundle.budget.per_day = Some(PLENTY);
    })
    .await;
    counted(&chat).await;
    let mut owner = chat.game.owner().await;
    let ledger = owner.transaction().await.unwrap();
    ledger
        .batch_execute("LOCK TABLE chat.usage IN SHARE MODE")
        .await
        .unwrap();
    let turn = async {
        let told = greet(&chat).await;
        assert_eq!(route_of(&told), "scripted");
    };
    let rebuild = async {
        eventually("the call has left the counters", async || {
            let counted = &counted(&chat).await[0];
            (counted.spent_micros == ONE_CALL && counted.reserved_micros == 0).then_some(())
        })
        .await;
        chat.game.empty_redis().await;
        eventually("it is set aside once more", async || {
            (counted(&chat).await[0].reserved_micros > ONE_CALL).then_some(())
        })
        .await;
        ledger.rollback().await.unwrap();
    };
    tokio::join!(turn, rebuild);
    assert_eq!(in_step(&chat).await, ONE_CALL);
}

#[tokio::test]
async fn a_node_that_takes_over_lets_nobody_spend_more_than_there_is() {
    let limit = 40 * ONE_CALL + FOR_ONE;
    let game = TestGame::start_alone_with_redis_cluster().await;
    let chat = with_options(game, BudgetOptions::default(), |bundle| {
        bundle.budget.per_day = Some(limit);
    })
    .await;
    counted(&chat).await;
    let turns = AtomicUsize::new(0);
    // More than there is room for, before, while and after a node is lost.
    let players = join_all((0..4).map(async |_| {
        let conversation = chat.conversation().await.id;
        // A call that was begun when the node was lost keeps its room for minutes, and 40 are then too many.
        while chat.llm.calls() < 40 && turns.load(Ordering::Relaxed) < 400 {
            chat.say(conversation, "hello").await;
            turns.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let loss = async {
        eventually("some was spent", async || {
            (turns.load(Ordering::Relaxed) >= 8).then_some(())
        })
        .await;
        let budget = format!("{{{}}}:budget:epoch", chat.game.id);
        chat.game.kill_redis_node_of(budget).await;
    };
    tokio::join!(players, loss);
    let limit_of_time = Duration::from_secs(60);
    eventually_within(limit_of_time, "there is nothing left for another call", async || {
        if route_of(&greet(&chat).await) == "barks" {
            in_step(&chat).await;
            return (route_of(&greet(&chat).await) == "barks").then_some(());
        }
        None
    })
    .await;
    let spent = in_step(&chat).await;
    assert!(spent <= limit, "{spent} of {limit}");
    assert_eq!(spent, chat.llm.calls() as u64 * ONE_CALL);
    assert!(
        turns.load(Ordering::Relaxed) > chat.llm.calls(),
        "none went on without a paid route"
    );
}

#[tokio::test]
async fn an_emptied_redis_does_not_forget_what_was_spent() {
    let chat = with_options(TestGame::start_alone().await, BudgetOptions::default(), |bundle| {
        bundle.budget.per_day = Some(FOR_ONE);
    })
    .await;
    counted(&chat).await;
    chat.llm.always(Script::says(REPLY).claiming(190));
    assert_eq!(route_of(&greet(&chat).await), "scripted");
    in_step(&chat).await;
    for _ in 0..5 {
        chat.game.empty_redis().await;
        assert_eq!(route_of(&greet(&chat).await), "barks");
    }
    assert_eq!((chat.llm.calls(), in_step(&chat).await), (1, 20 + 19_000));
}

#[tokio::test]
async fn without_redis_paid_routes_wait_where_there_is_a_budget_and_go_on_where_there_is_none() {
    for (budget, expected) in [(Some(PLENTY), "barks"), (None, "scripted")] {
        let chat = with_options(TestGame::start_alone().await, BudgetOptions::default(), |bundle| {
            bundle.budget.per_day = budget;
        })
        .await;
        let conversation = chat.conversation().await.id;
        chat.say(conversation, "hello").await;
        chat.game.kill(Store::Redis).await;
        assert_eq!(route_of(&chat.say(conversation, "hello").await), expected);
        chat.game.start_again(Store::Redis).await;
        eventually("paid routes are back", async || {
            (route_of(&chat.say(conversation, "hello").await) == "scripted").then_some(())
        })
        .await;
        let total = eventually("what was called is in the ledger", async || {
            let total = costs(&chat, By::Day).await.total;
            (total.calls as usize == chat.llm.calls()).then_some(total)
        })
        .await;
        assert_eq!(total.cost_micros, total.calls * ONE_CALL);
    }
}
