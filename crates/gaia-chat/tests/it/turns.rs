//! Turns: streamed, kept, sent again, followed, cancelled.

use std::time::Duration;

use gaia_names::{ConversationId, TurnId};
use gaia_protocol::{
    ErrorCode,
    chat::{ListTurns, ReplySource, TurnEvent, TurnState},
};
use gaia_testkit::{Ending, Script, eventually};

use crate::chat::{Chat, REPLY, Stream, reply, somebody};

#[tokio::test]
async fn a_reply_is_streamed_after_the_message_is_kept_and_ends_with_the_whole_turn() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(20)));
    let turn = TurnId::fresh();
    let told = chat.begin(conversation.id, turn, "  hello \n").await.rest().await;
    assert_eq!(told.events[0], TurnEvent::Accepted { turn, sequence: 1 });
    assert!(told.events.len() > 4, "more than one delta: {told:?}");
    assert_eq!(told.deltas_after(0), REPLY);
    let last = told.final_turn();
    assert_eq!((last.id, last.sequence, last.text.as_str()), (turn, 1, "hello"));
    assert_eq!((last.state, reply(&last)), (TurnState::Done, REPLY));
    let kept = chat.read(conversation.id, turn).await.unwrap();
    assert_eq!(kept, last);
    assert_eq!(kept.reply.as_ref().unwrap().source, ReplySource::Model);
    assert_eq!(kept.reply.unwrap().route, "scripted");
    assert!(kept.finished_at.unwrap() >= kept.created_at);
}

#[tokio::test]
async fn a_turn_that_waits_says_that_it_is_alive() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).after(Duration::from_millis(1_400)));
    let told = chat.begin(conversation.id, TurnId::fresh(), "hello").await.rest().await;
    assert!(told.alive >= 1, "{told:?}");
    assert_eq!(reply(&told.final_turn()), REPLY);
}

#[tokio::test]
async fn a_turn_sent_again_is_the_same_turn_and_calls_no_model() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    let turn = TurnId::fresh();
    let first = chat
        .begin(conversation.id, turn, "hello")
        .await
        .rest()
        .await
        .final_turn();
    let again = chat.begin(conversation.id, turn, "hello").await.rest().await;
    assert_eq!(
        again.events,
        [
            TurnEvent::Accepted { turn, sequence: 1 },
            TurnEvent::Final {
                turn: first,
                usage: None
            }
        ]
    );
    assert_eq!(chat.llm.calls(), 1);
}

#[tokio::test]
async fn a_turn_id_belongs_to_one_message_of_one_player() {
    let chat = Chat::start().await;
    let (conversation, second) = (chat.conversation().await, chat.conversation().await);
    let turn = TurnId::fresh();
    chat.begin(conversation.id, turn, "hello")
        .await
        .rest()
        .await
        .final_turn();
    let refused = async |conversation, text| chat.begin(conversation, turn, text).await.rest().await.refused();
    assert_eq!(
        refused(conversation.id, "something else").await,
        ErrorCode::TurnMismatch
    );
    assert_eq!(refused(second.id, "hello").await, ErrorCode::TurnMismatch);
    let other = somebody();
    let theirs = chat.conversation_of(other).await;
    let told = chat.begin_as(other, theirs.id, turn, "hello").await.rest().await;
    assert_eq!(told.refused(), ErrorCode::TurnMismatch);
    assert!(!told.fault.unwrap().detail.contains("hello"));
}

#[tokio::test]
async fn another_players_conversation_is_not_there() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    let turn = TurnId::fresh();
    chat.begin(conversation.id, turn, "a secret")
        .await
        .rest()
        .await
        .final_turn();
    let other = somebody();
    for (conversation, turn, text) in [
        (conversation.id, turn, "a secret"),
        (conversation.id, TurnId::fresh(), "hello"),
        (ConversationId::fresh(), TurnId::fresh(), "hello"),
    ] {
        let told = chat.begin_as(other, conversation, turn, text).await.rest().await;
        assert_eq!((told.refused(), told.events.len()), (ErrorCode::NotFound, 0));
    }
    assert_eq!(chat.llm.calls(), 1);
}

#[tokio::test]
async fn a_second_turn_waits_for_the_first() {
    let mut chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).then(Ending::Stall));
    let first = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, first, "hello").await;
    stream.accepted().await;
    let told = chat.begin(conversation.id, TurnId::fresh(), "and?").await.rest().await;
    assert_eq!(told.refused(), ErrorCode::TurnInProgress);
    assert!(told.fault.unwrap().retry_after_ms.is_some());
    // Also at an instance that does not have the first one. Which instance answers is up to nats, so ask often.
    chat.start_instance();
    for _ in 0..12 {
        let told = chat.begin(conversation.id, TurnId::fresh(), "and?").await.rest().await;
        assert_eq!(told.refused(), ErrorCode::TurnInProgress);
    }
    assert_eq!(stream.rest().await.final_turn().sequence, 1);
    chat.llm.always(Script::says(REPLY));
    assert_eq!(chat.say(conversation.id, "and now?").await.sequence, 2);
}

#[tokio::test]
async fn a_turn_sent_again_while_it_runs_is_heard_from_the_start() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(60)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, turn, "hello").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    let again = chat.begin(conversation.id, turn, "hello").await.rest().await;
    assert_eq!(again.events[0], TurnEvent::Accepted { turn, sequence: 1 });
    assert_eq!(again.deltas_after(0), REPLY);
    assert_eq!(chat.llm.calls(), 1);
    assert_eq!(stream.rest().await.final_turn(), again.final_turn());
}

#[tokio::test]
async fn whoever_lost_the_stream_can_follow_it_from_the_last_delta() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(60)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, turn, "hello").await;
    stream.accepted().await;
    let first = stream.next().await.unwrap();
    let TurnEvent::Delta { number: 1, text } = first else {
        panic!("{first:?}")
    };
    drop(stream);
    let told = chat.follow(turn, 1).await.rest().await;
    assert_eq!(format!("{text}{}", told.deltas_after(1)), REPLY);
    assert_eq!(reply(&told.final_turn()), REPLY);
}

#[tokio::test]
async fn many_may_follow_one_turn() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(80)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, turn, "hello").await;
    stream.accepted().await;
    let mut followers = Vec::new();
    for _ in 0..5 {
        followers.push(chat.follow(turn, 0).await);
    }
    let expected = stream.rest().await.final_turn();
    for follower in followers {
        assert_eq!(follower.rest().await.final_turn(), expected);
    }
}

#[tokio::test]
async fn a_cancelled_turn_keeps_what_was_said_and_stops_the_model() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says("One two three").then(Ending::Stall));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, turn, "count").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    let wait = Duration::from_secs(5);
    assert_eq!(chat.cancel(turn, chat.player.player, wait).await, Ok(()));
    let last = stream.rest().await.final_turn();
    assert_eq!(last.state, TurnState::Cancelled);
    assert!("One two three".starts_with(reply(&last)), "{last:?}");
    eventually("the call of the model is given up", async || {
        (chat.llm.open() == 0).then_some(())
    })
    .await;
    assert_eq!(chat.read(conversation.id, turn).await.unwrap(), last);
    chat.llm.always(Script::says(REPLY));
    assert_eq!(chat.say(conversation.id, "go on").await.sequence, 2);
}

#[tokio::test]
async fn nobody_cancels_or_follows_another_players_turn() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(100)));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, turn, "hello").await;
    stream.accepted().await;
    let answer = chat.cancel(turn, somebody().player, Duration::from_millis(300)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(stream.rest().await.final_turn().state, TurnState::Done);
}

#[tokio::test]
async fn what_cannot_be_said_is_refused() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    for bad in ["", " \n ", "nul\0", "\u{1b}[2J", &"x".repeat(4_001)] {
        let told = chat.begin(conversation.id, TurnId::fresh(), bad).await.rest().await;
        assert_eq!(told.refused(), ErrorCode::InvalidInput);
    }
    assert_eq!(chat.llm.calls(), 0);
    assert_eq!(chat.say(conversation.id, &"ü".repeat(4_000)).await.sequence, 1);
}

#[tokio::test]
async fn turns_are_listed_newest_first_page_by_page() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    for number in 1..=5 {
        chat.say(conversation.id, &format!("message {number}")).await;
    }
    let (mut sequences, mut before) = (Vec::new(), None);
    loop {
        let list = ListTurns {
            caller: chat.player,
            conversation: conversation.id,
            limit: 2,
            before,
        };
        let page = chat.ask(&list).await.unwrap();
        sequences.extend(page.items.iter().map(|turn| turn.sequence));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(sequences, [5, 4, 3, 2, 1]);
    let list = |before: &str, limit| ListTurns {
        caller: chat.player,
        conversation: conversation.id,
        limit,
        before: Some(before.to_owned()),
    };
    assert_eq!(
        chat.ask(&list("nonsense", 2)).await.unwrap_err().code,
        ErrorCode::InvalidInput
    );
    assert_eq!(chat.ask(&list("1", 0)).await.unwrap_err().code, ErrorCode::InvalidInput);
}

#[tokio::test]
async fn what_a_call_used_is_kept_with_the_turn() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    let turn = chat.say(conversation.id, "hello").await;
    chat.llm.next(Script::says("Half a sen").then(Ending::Stall));
    let cancelled = TurnId::fresh();
    let mut stream = chat.begin(conversation.id, cancelled, "again").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    chat.cancel(cancelled, chat.player.player, Duration::from_secs(5))
        .await
        .unwrap();
    stream.rest().await.final_turn();
    let rows = chat
        .game
        .owner()
        .await
        .query(
            "SELECT turn_id, route, provider, model, input_tokens, output_tokens, is_estimated, player_id
             FROM chat.usage WHERE game_id = $1 ORDER BY created_at",
            &[&chat.game.id.as_str()],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<_, uuid::Uuid>(0), turn.id.0);
    assert_eq!(rows[0].get::<_, String>(1), "scripted");
    assert_eq!(rows[0].get::<_, String>(2), "openai");
    assert_eq!((rows[0].get::<_, i64>(4), rows[0].get::<_, i64>(5)), (20, 7));
    assert!(!rows[0].get::<_, bool>(6));
    assert!(
        rows[1].get::<_, bool>(6) && rows[1].get::<_, i64>(4) > 0,
        "a call without a count is estimated"
    );
    assert_eq!(rows[1].get::<_, uuid::Uuid>(7), chat.player.player.0);
}

#[tokio::test]
async fn turns_that_begin_together_do_not_get_in_each_others_way() {
    let chat = Chat::start().await;
    let (one, other) = (somebody(), somebody());
    let (of_one, of_other) = (chat.conversation_of(one).await, chat.conversation_of(other).await);
    let mut conversations = Vec::new();
    for _ in 0..30 {
        conversations.push(chat.conversation().await.id);
    }
    for _ in 0..5 {
        let contested = TurnId::fresh();
        let mut contestants = Vec::new();
        let mut streams = Vec::new();
        for (place, conversation) in conversations.iter().enumerate() {
            match place {
                10 => contestants.push(chat.begin_as(one, of_one.id, contested, "mine").await),
                20 => contestants.push(chat.begin_as(other, of_other.id, contested, "mine").await),
                _ => {}
            }
            streams.push(chat.begin(*conversation, TurnId::fresh(), "hello").await);
        }
        let ended = futures::future::join_all(streams.into_iter().map(Stream::rest)).await;
        assert!(ended.iter().all(|told| reply(&told.final_turn()) == REPLY));
        let contested = futures::future::join_all(contestants.into_iter().map(Stream::rest)).await;
        let refused: Vec<_> = contested.iter().filter_map(|told| told.fault.as_ref()).collect();
        assert_eq!(refused.len(), 1, "one message has the id, and only one");
        assert_eq!(refused[0].code, ErrorCode::TurnMismatch);
    }
}
