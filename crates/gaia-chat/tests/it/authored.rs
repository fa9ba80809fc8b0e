//! Answers without a generative model.

use std::{collections::BTreeSet, time::Duration};

use gaia_protocol::chat::{ReadBundle, ReplySource};
use gaia_testkit::{eventually, eventually_within};

use crate::{
    chat::{Chat, reply, route_of, somebody},
    inference::Embeddings,
};

async fn offline() -> (Chat, Embeddings) {
    let embeddings = Embeddings::start().await;
    let access = embeddings.access();
    let chat = Chat::start_with(move |bundle, settings, _| {
        bundle.routes.clear();
        settings.inference = Some(access);
    })
    .await;
    let examples: BTreeSet<_> = when_lines(&chat);
    eventually("the author's lines are read", async || {
        let read: BTreeSet<_> = embeddings.texts().into_iter().map(|(text, _)| text).collect();
        examples.is_subset(&read).then_some(())
    })
    .await;
    (chat, embeddings)
}

fn when_lines(chat: &Chat) -> BTreeSet<String> {
    let personas = chat.bundle.personas.iter();
    personas
        .flat_map(|persona| {
            let intents = persona.intents.iter().flat_map(|intent| intent.when.clone());
            intents
                .chain(persona.facts.iter().flat_map(|fact| fact.when.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn lines_of(chat: &Chat, intent: &str) -> Vec<String> {
    let persona = &chat.bundle.personas[0];
    let intent = persona.intents.iter().find(|one| one.name == intent);
    intent.unwrap_or_else(|| panic!("no such intent")).say.clone()
}

#[tokio::test]
async fn the_authors_line_for_what_the_player_means_is_said_and_labelled() {
    let (chat, embeddings) = offline().await;
    let conversation = chat.conversation().await.id;
    let turn = chat.say(conversation, "tell me where the bridge is").await;
    assert_eq!(reply(&turn), "The bridge is north of the market.");
    assert_eq!(route_of(&turn), "offline");
    assert_eq!(turn.reply.as_ref().unwrap().source, ReplySource::Authored);
    let turn = chat.say(conversation, "quantum chromodynamics").await;
    assert!(
        lines_of(&chat, "fallback").iter().any(|line| line == reply(&turn)),
        "{turn:?}"
    );
    let used = chat.ask(&ReadBundle {}).await.unwrap();
    assert_eq!(used.answers_by, "offline");
    // The author's lines may be kept there; the player's may not.
    let authors = when_lines(&chat);
    for (text, is_kept) in embeddings.texts() {
        assert_eq!(is_kept, authors.contains(&text), "{text}");
    }
    assert_eq!(chat.llm.calls(), 0);
}

#[tokio::test]
async fn no_line_is_said_twice_running() {
    let (chat, _embeddings) = offline().await;
    let conversation = chat.conversation().await.id;
    let mut last = String::new();
    for message in [
        "hello",
        "hello",
        "good evening",
        "where is the bridge",
        "where is the bridge",
        "xyzzy",
        "xyzzy",
        "plugh",
    ] {
        let turn = chat.say(conversation, message).await;
        assert_ne!(reply(&turn), last, "{message}");
        reply(&turn).clone_into(&mut last);
    }
}

#[tokio::test]
async fn the_players_name_and_words_are_remembered() {
    let (chat, _embeddings) = offline().await;
    let conversation = chat.conversation().await.id;
    let nothing = chat.say(conversation, "do you remember what I told you").await;
    assert_eq!(lines_of(&chat, "recall_nothing"), [reply(&nothing)]);
    let named = chat.say(conversation, "Hi, my name is Ada.").await;
    assert!(reply(&named).contains("Ada"), "{named:?}");
    chat.say(conversation, "My brother Tom hides below the old mill.").await;
    chat.say(conversation, "which lamp oil is used").await;
    chat.say(conversation, "I want to cross the river at night.").await;
    let recalled = chat.say(conversation, "what did I say about my brother?").await;
    assert_eq!(
        reply(&recalled),
        "You said: \"My brother Tom hides below the old mill\"."
    );
    let other = chat.say(conversation, "hello").await;
    assert_ne!(reply(&other), reply(&recalled));
    let latest = chat.say(conversation, "do you remember what I told you").await;
    assert_eq!(reply(&latest), "You said: \"I want to cross the river at night\".");
    // Another player's words are not in it.
    let stranger = somebody();
    let theirs = chat.conversation_of(stranger).await.id;
    let stream = chat
        .begin_as(
            stranger,
            theirs,
            gaia_names::TurnId::fresh(),
            "what did I say about my brother?",
        )
        .await;
    assert_eq!(
        lines_of(&chat, "recall_nothing"),
        [reply(&stream.rest().await.final_turn())]
    );
}

#[tokio::test]
async fn a_name_outlives_what_redis_holds() {
    let (chat, _embeddings) = offline().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "call me Ishmael").await;
    let owner = chat.game.owner().await;
    let row = owner
        .query_one(
            "SELECT player_name FROM chat.conversations WHERE id = $1",
            &[&conversation.0],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Option<String>>(0).as_deref(), Some("Ishmael"));
}

#[tokio::test]
async fn without_inference_words_find_the_line() {
    let chat = Chat::start_with(|bundle, _, _| bundle.routes.clear()).await;
    let conversation = chat.conversation().await.id;
    let turn = chat.say(conversation, "Where's the bridge?").await;
    assert_eq!(
        (reply(&turn), route_of(&turn)),
        ("The bridge is north of the market.", "barks")
    );
    let turn = chat.say(conversation, "I'm Joan").await;
    assert!(reply(&turn).contains("Joan"), "{turn:?}");
    chat.say(conversation, "There is a red boat under the willow").await;
    let turn = chat
        .say(conversation, "do you remember what I told you about a boat")
        .await;
    assert_eq!(reply(&turn), "You said: \"There is a red boat under the willow\".");
}

#[tokio::test]
async fn inference_that_is_slow_or_away_costs_a_second_and_no_reply() {
    let (chat, embeddings) = offline().await;
    let conversation = chat.conversation().await.id;
    embeddings.slow(true);
    let turn = chat.say(conversation, "where is the bridge").await;
    assert_eq!(
        (reply(&turn), route_of(&turn)),
        ("The bridge is north of the market.", "barks")
    );
    let used = chat.ask(&ReadBundle {}).await.unwrap();
    assert_eq!(used.answers_by, "barks");
    assert!(used.why.unwrap().contains("inference"));
    embeddings.slow(false);
    embeddings.broken(true);
    assert_eq!(route_of(&chat.say(conversation, "hello").await), "barks");
    embeddings.broken(false);
    eventually_within(Duration::from_secs(10), "the offline route is back", async || {
        (route_of(&chat.say(conversation, "hello").await) == "offline").then_some(())
    })
    .await;
}
