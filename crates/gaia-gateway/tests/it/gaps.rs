//! Events that are lost, doubled or late: the gateway beside a chat that the test plays itself.

use std::sync::{Arc, Mutex};

use chrono::Utc;
use futures::StreamExt;
use gaia_names::{ConversationId, Service};
use gaia_protocol::{
    ErrorCode,
    chat::{ReadTurn, Reply, ReplySource, TakeTurn, Turn, TurnCommand, TurnEvent, TurnState},
    subjects::turn_commands,
};
use gaia_service::{Bus, Call, EventSink, Tasks, bus::Answers};
use gaia_testkit::{TestGame, Visitor, eventually};
use serde_json::json;

use crate::support::{Events, Socket, data, id, saying, socket_words, words};

const WORDS: [&str; 5] = ["The ", "bridge ", "is ", "north ", "of the market."];

/// What the test's chat does.
#[derive(Clone, Copy)]
struct Play {
    /// The numbers of the deltas that arrive after `accepted`.
    arrive: &'static [u32],
    /// Whether `final` arrives after them.
    is_ended: bool,
    /// Whether somebody answers who is asked for the rest.
    is_followed: bool,
    /// What is kept of the turn; nothing if the question itself was lost on the way.
    kept: Option<TurnState>,
}

fn delta(number: u32) -> TurnEvent {
    TurnEvent::Delta {
        number,
        text: WORDS[number as usize - 1].to_owned(),
    }
}

fn turn(conversation: ConversationId, turn: gaia_names::TurnId, state: TurnState) -> Turn {
    Turn {
        id: turn,
        conversation,
        sequence: 1,
        text: "Where is the bridge?".to_owned(),
        state,
        reply: Some(Reply {
            text: WORDS.concat(),
            source: ReplySource::Model,
            route: "scripted".to_owned(),
        }),
        created_at: Utc::now(),
        finished_at: None,
    }
}

async fn answer(play: Play, ask: TakeTurn, sink: EventSink) {
    if play.kept.is_none() {
        return;
    }
    let accepted = TurnEvent::Accepted {
        turn: ask.turn,
        sequence: 1,
    };
    sink.event(&accepted).await;
    for number in play.arrive {
        sink.event(&delta(*number)).await;
    }
    if play.is_ended {
        let turn = turn(ask.conversation, ask.turn, TurnState::Done);
        sink.event(&TurnEvent::Final { turn, usage: None }).await;
    }
}

/// From which deltas on the gateway asked for the rest.
type Followed = Arc<Mutex<Vec<u32>>>;

async fn follow(play: Play, bus: Bus, followed: Followed) {
    let mut commands = bus.hear(turn_commands(bus.game(), None)).await.unwrap();
    while let Some(message) = commands.next().await {
        let Ok(TurnCommand::Follow { after, .. }) = serde_json::from_slice(&message.payload) else {
            continue;
        };
        followed.lock().unwrap().push(after);
        if !play.is_followed {
            continue;
        }
        let sink = bus.sink_for(&message).unwrap();
        for number in after + 1..=5 {
            sink.event(&delta(number)).await;
        }
        let (conversation, id) = (
            ConversationId::fresh(),
            message.subject.rsplit('.').next().unwrap().parse().unwrap(),
        );
        let turn = turn(conversation, id, TurnState::Done);
        sink.event(&TurnEvent::Final { turn, usage: None }).await;
    }
}

/// A gateway with a signed-in player, `auth`, and the test's chat.
async fn staged(play: Play) -> (Visitor, Followed, Tasks) {
    let (game, tasks, followed) = (TestGame::start().await, Tasks::default(), Followed::default());
    gaia_auth::start(game.auth_settings(), &tasks).await.unwrap();
    let bus = game.bus(Service::Chat).await;
    let answers = Answers::new(&bus, &tasks, 10);
    answers
        .to_stream::<TakeTurn, _, _>(move |_: Call, ask, sink| async move {
            answer(play, ask, sink).await;
            Ok(())
        })
        .await
        .unwrap();
    answers
        .to::<ReadTurn, _, _>(move |_: Call, ask| async move {
            let kept = play.kept.ok_or(ErrorCode::NotFound)?;
            Ok(turn(ask.conversation, ask.turn, kept))
        })
        .await
        .unwrap();
    let hearing = follow(play, bus, Arc::clone(&followed));
    let ending = tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = hearing => {}
            () = ending.draining() => {}
        }
    });
    let listening = gaia_gateway::start(game.gateway_settings(), &tasks).await.unwrap();
    let stranger = Visitor::new(format!("http://{}", listening.games[&game.id]));
    eventually("auth answers", async || {
        (stranger.get("/.well-known/jwks.json").await.status == 200).then_some(())
    })
    .await;
    let visitor = Visitor::enter(stranger.gateway).await;
    (visitor, followed, tasks)
}

const LOST_ONE: Play = Play {
    arrive: &[1, 2, 4, 5],
    is_ended: true,
    is_followed: true,
    kept: Some(TurnState::Running),
};

#[tokio::test]
async fn a_delta_that_was_lost_on_the_way_is_asked_for_again() {
    let (visitor, followed, _tasks) = staged(LOST_ONE).await;
    let events = Events::of(
        saying(&visitor, &id(), &id(), "Where is the bridge?")
            .send()
            .await
            .unwrap(),
    );
    let events = events.rest().await;
    assert_eq!(words(&events, 0), WORDS.concat());
    assert_eq!(events.last().unwrap().event, "final");
    assert_eq!(*followed.lock().unwrap(), [2]);

    let mut socket = Socket::of(&visitor).await;
    let turn = id();
    let say = json!({ "type": "say", "conversation": id(), "turn": turn, "text": "Where is the bridge?" });
    socket.send(&say).await;
    let events = socket.turn(&turn).await;
    assert_eq!(socket_words(&events, 0), WORDS.concat());
}

#[tokio::test]
async fn a_delta_that_comes_twice_is_passed_on_once() {
    let play = Play {
        arrive: &[1, 1, 2, 1, 3, 2, 4, 5, 5],
        ..LOST_ONE
    };
    let (visitor, followed, _tasks) = staged(play).await;
    let events = Events::of(
        saying(&visitor, &id(), &id(), "Where is the bridge?")
            .send()
            .await
            .unwrap(),
    );
    let events = events.rest().await;
    assert_eq!(words(&events, 0), WORDS.concat());
    assert!(followed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_gap_that_nobody_can_fill_ends_in_the_whole_turn_if_it_is_kept() {
    let play = Play {
        is_followed: false,
        kept: Some(TurnState::Done),
        ..LOST_ONE
    };
    let (visitor, _, _tasks) = staged(play).await;
    let events = Events::of(
        saying(&visitor, &id(), &id(), "Where is the bridge?")
            .send()
            .await
            .unwrap(),
    );
    let events = events.rest().await;
    assert_eq!(words(&events, 0), "The bridge ");
    let last = events.last().unwrap();
    assert_eq!(last.event, "final");
    assert_eq!(data(last)["turn"]["reply"]["text"], WORDS.concat());
}

#[tokio::test]
async fn a_turn_whose_worker_was_lost_is_told_as_interrupted() {
    let play = Play {
        arrive: &[1],
        is_ended: false,
        is_followed: false,
        kept: Some(TurnState::Running),
    };
    let (visitor, _, _tasks) = staged(play).await;
    let (conversation, turn) = (id(), id());
    let events = Events::of(saying(&visitor, &conversation, &turn, "Hello?").send().await.unwrap());
    let events = events.rest().await;
    let last = events.last().unwrap();
    assert_eq!(
        (&*last.event, &data(last)["code"]),
        ("error", &json!("turn_interrupted"))
    );
    // Who comes back is told the same, as a problem, because nothing has been said yet.
    let again = crate::support::resuming(&visitor, &conversation, &turn, 1)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 503);
    assert_eq!(
        again.json::<serde_json::Value>().await.unwrap()["code"],
        "turn_interrupted"
    );
}

#[tokio::test]
async fn a_message_that_got_lost_on_its_way_can_be_sent_again() {
    let play = Play {
        arrive: &[],
        is_ended: false,
        is_followed: false,
        kept: None,
    };
    let (visitor, _, _tasks) = staged(play).await;
    // Not `not_found`: the conversation is there, and a client would give up.
    let path = format!("/v1/conversations/{}/turns", id());
    let answer = visitor.post(&path, json!({ "text": "Hello?" })).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"));
}
