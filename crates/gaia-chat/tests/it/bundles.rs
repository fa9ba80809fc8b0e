//! Generations of the checked game: published, announced, refused.

use gaia_protocol::{
    ErrorCode,
    chat::{ListPersonas, PublishBundle, ReadBundle, ReadConversation},
};
use gaia_testkit::{eventually, persona};

use crate::chat::{Chat, reply};

#[tokio::test]
async fn a_published_bundle_is_used_by_all_instances_without_a_restart() {
    let mut chat = Chat::start_with(|bundle, _, _| bundle.routes.clear()).await;
    chat.start_instance();
    let conversation = chat.conversation().await;
    let mut next = chat.bundle.clone();
    next.generation += 1;
    for intent in &mut next.personas[0].intents {
        intent.say = vec![
            format!("New words, {} one.", intent.name),
            format!("New words, {} two.", intent.name),
        ];
    }
    let publish = PublishBundle {
        bundle: Box::new(next.clone()),
    };
    assert_eq!(chat.ask(&publish).await.unwrap().generation, next.generation);
    eventually("all instances use it", async || {
        // Whoever answers is chosen by chance, so often enough that none is left out.
        for _ in 0..64 {
            if chat.ask_quickly(&ReadBundle {}).await?.generation != next.generation {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert!(reply(&chat.say(conversation.id, "hello").await).starts_with("New words"));
    // The same again is fine; other content under the same number is not; an older one changes nothing.
    assert_eq!(chat.ask(&publish).await.unwrap().generation, next.generation);
    let mut conflicting = next.clone();
    conflicting.theme = "something else".to_owned();
    let fault = chat
        .ask(&PublishBundle {
            bundle: Box::new(conflicting),
        })
        .await
        .unwrap_err();
    assert_eq!(fault.code, ErrorCode::InvalidInput);
    let older = PublishBundle {
        bundle: Box::new(chat.bundle.clone()),
    };
    assert_eq!(chat.ask(&older).await.unwrap().generation, next.generation);
}

#[tokio::test]
async fn an_instance_that_starts_later_takes_the_highest_generation() {
    let mut chat = Chat::start().await;
    let mut next = chat.bundle.clone();
    next.generation += 7;
    chat.ask(&PublishBundle {
        bundle: Box::new(next.clone()),
    })
    .await
    .unwrap();
    chat.instance(0).kill();
    chat.start_instance();
    let used = eventually("the new instance answers", async || {
        chat.ask_quickly(&ReadBundle {}).await
    })
    .await;
    assert_eq!(used.generation, next.generation);
}

#[tokio::test]
async fn a_bundle_that_was_only_mounted_is_everybodys_once_it_is_published() {
    let mut chat = Chat::start_with(|bundle, _, _| bundle.generation = 2).await;
    let publish = PublishBundle {
        bundle: Box::new(chat.bundle.clone()),
    };
    assert_eq!(chat.ask(&publish).await.unwrap().generation, 2);
    // An instance whose own file is older, as when only some were started with the new one.
    let mut older = chat.bundle.clone();
    older.generation = 1;
    std::fs::write(&chat.settings.games[0].bundle, serde_json::to_vec(&older).unwrap()).unwrap();
    chat.start_instance();
    chat.instance(0).kill();
    let used = eventually("the older instance answers", async || {
        chat.ask_quickly(&ReadBundle {}).await
    })
    .await;
    assert_eq!(used.generation, 2);
}

#[tokio::test]
async fn a_bundle_of_another_game_is_refused() {
    let chat = Chat::start().await;
    let mut other = chat.bundle.clone();
    other.generation += 1;
    other.game = "another-game".parse().unwrap();
    let fault = chat
        .ask(&PublishBundle {
            bundle: Box::new(other),
        })
        .await
        .unwrap_err();
    assert_eq!(fault.code, ErrorCode::InvalidInput);
}

#[tokio::test]
async fn a_conversation_outlives_its_persona_but_takes_no_more_turns() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await;
    chat.say(conversation.id, "hello").await;
    let mut next = chat.bundle.clone();
    next.generation += 1;
    next.personas = vec![persona("somebody_new")];
    chat.ask(&PublishBundle { bundle: Box::new(next) }).await.unwrap();
    assert_eq!(chat.ask(&ListPersonas {}).await.unwrap()[0].id.as_str(), "somebody_new");
    let read = ReadConversation {
        caller: chat.player,
        conversation: conversation.id,
    };
    assert_eq!(chat.ask(&read).await.unwrap().turns, 1);
    let told = chat
        .begin(conversation.id, gaia_names::TurnId::fresh(), "hello?")
        .await
        .rest()
        .await;
    assert_eq!(told.refused(), ErrorCode::NotFound);
    assert!(told.fault.unwrap().detail.contains("no character"));
}

#[tokio::test]
async fn how_characters_answer_is_told_with_the_reason() {
    let chat = Chat::start_with(|bundle, _, _| {
        let mut better = bundle.routes[0].clone();
        better.name = "better".to_owned();
        better.key = Some("BETTER_KEY".to_owned());
        bundle.routes.insert(0, better);
    })
    .await;
    let used = chat.ask(&ReadBundle {}).await.unwrap();
    assert_eq!(used.answers_by, "scripted");
    assert!(used.why.unwrap().contains("BETTER_KEY"));
    chat.llm.always(gaia_testkit::Script::refuses(503));
    let conversation = chat.conversation().await;
    chat.say(conversation.id, "hello").await;
    let used = chat.ask(&ReadBundle {}).await.unwrap();
    assert_eq!(used.answers_by, "barks");
    assert!(used.why.unwrap().contains("gaia model pull"));
}
