//! The promise about the first useful output, on models that break it.

use std::time::Duration;

use gaia_protocol::{
    bundle::Provider,
    chat::{ReplySource, StartConversation, TurnEvent, TurnState},
};
use gaia_testkit::{Ending, Script, ScriptedLlm, eventually, route};

use crate::chat::{Chat, REPLY, Told, reply, route_of};

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(300);

/// A game that promises something within this time, with the scripted model as its only route.
async fn promising(milliseconds: u32) -> Chat {
    Chat::start_with(|bundle, _, _| {
        bundle.response_time_target_ms = milliseconds;
        bundle.routes[0].first_token_ms = 60_000;
    })
    .await
}

/// The same with a route before it.
async fn with_first(first: &ScriptedLlm, milliseconds: u32) -> Chat {
    let url = first.openai_url();
    Chat::start_with(move |bundle, _, _| {
        bundle.response_time_target_ms = milliseconds;
        let mut first = route("first", Provider::Openai, &url);
        first.first_token_ms = 60_000;
        bundle.routes.insert(0, first);
    })
    .await
}

async fn hear(chat: &Chat, text: &str) -> Told {
    let conversation = chat.conversation().await.id;
    let stream = chat.begin(conversation, gaia_names::TurnId::fresh(), text).await;
    stream.rest().await
}

fn interim(told: &Told) -> Vec<&str> {
    let lines = told.events.iter().filter_map(|event| match event {
        TurnEvent::Interim { text } => Some(text.as_str()),
        _ => None,
    });
    lines.collect()
}

fn lines<'a>(chat: &'a Chat, intent: &str) -> &'a [String] {
    let intents = &chat.bundle.personas[0].intents;
    &intents.iter().find(|known| known.name == intent).unwrap().say
}

#[tokio::test]
async fn a_reply_that_takes_its_time_is_bridged_by_a_line_that_is_no_part_of_it() {
    let chat = promising(400).await;
    chat.llm.always(Script::says(REPLY).after(Duration::from_millis(900)));
    let told = hear(&chat, "Where is the bridge?").await;
    let turn = told.final_turn();
    let [line] = interim(&told)[..] else { panic!("{told:?}") };
    assert!(lines(&chat, "meanwhile").iter().any(|known| known == line), "{line}");
    assert_eq!((reply(&turn), route_of(&turn)), (REPLY, "scripted"));
    assert_eq!(told.deltas_after(0), REPLY);
    assert!(matches!(told.events[0], TurnEvent::Accepted { .. }), "{told:?}");
    assert!(matches!(told.events[1], TurnEvent::Interim { .. }), "{told:?}");
}

#[tokio::test]
async fn the_line_that_bridges_fits_what_was_said_where_the_author_wrote_one() {
    let chat = promising(400).await;
    chat.llm.always(Script::says(REPLY).after(Duration::from_millis(900)));
    let told = hear(&chat, "Tell me a riddle!").await;
    assert_eq!(interim(&told), ["A riddle. Let me hold it to the light."]);
}

#[tokio::test]
async fn two_waits_in_a_row_are_not_bridged_by_the_same_line() {
    let chat = promising(300).await;
    chat.llm.always(Script::says(REPLY).after(Duration::from_millis(700)));
    let conversation = chat.conversation().await.id;
    let mut before = String::new();
    for _ in 0..4 {
        let stream = chat
            .begin(conversation, gaia_names::TurnId::fresh(), "Is it far?")
            .await;
        let told = stream.rest().await;
        let [line] = interim(&told)[..] else { panic!("{told:?}") };
        assert_ne!(line, before);
        line.clone_into(&mut before);
    }
}

#[tokio::test]
async fn a_reply_in_time_needs_no_bridge() {
    let chat = promising(20_000).await;
    let told = hear(&chat, "hello").await;
    assert_eq!((interim(&told).len(), told.final_turn().state), (0, TurnState::Done));
}

#[tokio::test]
async fn a_persona_whose_model_stays_silent_closes_in_character() {
    let chat = promising(300).await;
    for script in [Script::says("x").after(NEVER), Script::says("").then(Ending::Stall)] {
        chat.llm.always(script);
        let told = hear(&chat, "The moon is made of brass, they say.").await;
        let turn = told.final_turn();
        assert_eq!(interim(&told).len(), 1, "{told:?}");
        assert!(
            lines(&chat, "closing").iter().any(|line| line == reply(&turn)),
            "{turn:?}"
        );
        assert_eq!(turn.reply.as_ref().unwrap().source, ReplySource::Authored);
    }
    eventually("no call is left open", async || (chat.llm.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn what_the_author_wrote_on_the_matter_is_a_better_end_than_a_closing_line() {
    let chat = promising(300).await;
    chat.llm.always(Script::says("x").after(NEVER));
    let told = hear(&chat, "where is the bridge").await;
    assert_eq!(reply(&told.final_turn()), "The bridge is north of the market.");
}

#[tokio::test]
async fn a_silent_route_is_raced_by_the_next_then_left_alone_and_asked_again_when_it_is_well() {
    let first = ScriptedLlm::start(Script::says("x").after(NEVER)).await;
    let chat = with_first(&first, 2_000).await;
    for _ in 0..5 {
        let turn = hear(&chat, "hello").await.final_turn();
        assert_eq!((reply(&turn), route_of(&turn)), (REPLY, "scripted"));
    }
    assert_eq!(first.calls(), 5);
    eventually("the losers are cancelled", async || (first.open() == 0).then_some(())).await;
    let turn = hear(&chat, "hello").await.final_turn();
    assert_eq!((route_of(&turn), first.calls()), ("scripted", 5), "it is left alone");

    first.always(Script::says("I am well again."));
    eventually("the first route speaks again", async || {
        let turn = hear(&chat, "hello").await.final_turn();
        (route_of(&turn) == "first").then_some(())
    })
    .await;
}

#[tokio::test]
async fn both_calls_of_a_race_are_metered() {
    let first = ScriptedLlm::start(Script::says("").then(Ending::Stall)).await;
    let chat = with_first(&first, 1_000).await;
    let turn = hear(&chat, "hello").await.final_turn();
    let owner = chat.game.owner().await;
    let rows = owner
        .query(
            "SELECT route, is_estimated FROM chat.usage WHERE turn_id = $1 ORDER BY route",
            &[&turn.id.0],
        )
        .await
        .unwrap();
    let rows: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("first".to_owned(), true), ("scripted".to_owned(), false)]);
}

#[tokio::test]
async fn a_message_that_waits_for_nothing_else_is_answered_at_once_when_its_route_is_given_up() {
    let first = ScriptedLlm::start(Script::says("x").after(NEVER)).await;
    let chat = with_first(&first, 60_000).await;
    let conversation = chat.conversation().await.id;
    let mut waits = chat
        .begin(conversation, gaia_names::TurnId::fresh(), "Is anybody there?")
        .await;
    waits.accepted().await;
    eventually("the first route has the call", async || {
        (first.calls() == 1).then_some(())
    })
    .await;
    first.always(Script::refuses(500));
    for _ in 0..3 {
        assert_eq!(route_of(&hear(&chat, "hello").await.final_turn()), "scripted");
    }
    assert_eq!(reply(&waits.rest().await.final_turn()), REPLY);
}

#[tokio::test]
async fn in_a_conversation_like_letters_a_late_model_is_asked_again_and_answers_later() {
    let chat = promising(200).await;
    let start = StartConversation {
        caller: chat.player,
        persona: chat.persona(),
        title: None,
        may_answer_later: true,
    };
    let conversation = chat.ask(&start).await.unwrap();
    assert!(conversation.may_answer_later);
    chat.llm.next(Script::says(REPLY).after(NEVER));
    chat.llm.next(Script::refuses(500));
    let stream = chat
        .begin(conversation.id, gaia_names::TurnId::fresh(), "Where is the bridge?")
        .await;
    let told = stream.rest().await;
    let turn = told.final_turn();
    assert_eq!((reply(&turn), route_of(&turn)), (REPLY, "scripted"));
    let [bridge, closing] = interim(&told)[..] else {
        panic!("{told:?}")
    };
    assert!(lines(&chat, "meanwhile").iter().any(|line| line == bridge), "{told:?}");
    assert!(lines(&chat, "closing").iter().any(|line| line == closing), "{told:?}");
}
