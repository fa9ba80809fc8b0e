//! Conversations: started, listed, deleted, forgotten.

use gaia_protocol::{
    ErrorCode,
    chat::{
        DeleteConversation, ForgetPlayer, ListConversations, ListPersonas, ListTurns, ReadConversation,
        StartConversation,
    },
};
use gaia_testkit::eventually;

use crate::chat::{Chat, somebody};

#[tokio::test]
async fn personas_are_shown_with_their_greeting() {
    let chat = Chat::start().await;
    let cards = chat.ask(&ListPersonas {}).await.unwrap();
    assert_eq!(cards.len(), chat.bundle.personas.len());
    assert_eq!(cards[0].id, chat.persona());
    assert_eq!(cards[0].greeting.as_deref(), Some("Welcome to Lantern Town."));
}

#[tokio::test]
async fn conversations_are_listed_the_one_talked_in_last_first() {
    let chat = Chat::start().await;
    let mut started = Vec::new();
    for _ in 0..5 {
        started.push(chat.conversation().await.id);
    }
    chat.conversation_of(somebody()).await;
    chat.say(started[1], "hello").await;
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let list = ListConversations {
            caller: chat.player,
            limit: 2,
            before,
        };
        let page = chat.ask(&list).await.unwrap();
        listed.extend(
            page.items
                .iter()
                .map(|conversation| (conversation.id, conversation.turns)),
        );
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected = [(1, 1), (4, 0), (3, 0), (2, 0), (0, 0)].map(|(place, turns)| (started[place], turns));
    assert_eq!(listed, expected);
    let list = ListConversations {
        caller: chat.player,
        limit: 2,
        before: Some("x".repeat(5_000)),
    };
    assert_eq!(chat.ask(&list).await.unwrap_err().code, ErrorCode::InvalidInput);
}

#[tokio::test]
async fn a_conversation_needs_a_persona_of_the_game_and_a_decent_title() {
    let chat = Chat::start().await;
    let start = |persona: &str, title: Option<&str>| StartConversation {
        caller: chat.player,
        persona: persona.parse().unwrap(),
        title: title.map(str::to_owned),
        may_answer_later: false,
    };
    let persona = chat.persona();
    let fault = chat.ask(&start("nobody", None)).await.unwrap_err();
    assert_eq!(fault.code, ErrorCode::NotFound);
    for bad in ["", "  ", "a\nb", &"x".repeat(121)] {
        let fault = chat.ask(&start(persona.as_str(), Some(bad))).await.unwrap_err();
        assert_eq!(fault.code, ErrorCode::InvalidInput);
    }
    let conversation = chat.ask(&start(persona.as_str(), Some(" Lanterns "))).await.unwrap();
    assert_eq!(conversation.title.as_deref(), Some("Lanterns"));
    let read = ReadConversation {
        caller: chat.player,
        conversation: conversation.id,
    };
    assert_eq!(chat.ask(&read).await.unwrap(), conversation);
    let stranger = ReadConversation {
        caller: somebody(),
        ..read
    };
    assert_eq!(chat.ask(&stranger).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_with_its_turns() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "hello").await;
    let delete = |caller| DeleteConversation { caller, conversation };
    assert_eq!(
        chat.ask(&delete(somebody())).await.unwrap_err().code,
        ErrorCode::NotFound
    );
    chat.ask(&delete(chat.player)).await.unwrap();
    assert_eq!(
        chat.ask(&delete(chat.player)).await.unwrap_err().code,
        ErrorCode::NotFound
    );
    let list = ListTurns {
        caller: chat.player,
        conversation,
        limit: 10,
        before: None,
    };
    assert_eq!(chat.ask(&list).await.unwrap_err().code, ErrorCode::NotFound);
    let owner = chat.game.owner().await;
    let count = |rows: Vec<tokio_postgres::Row>| rows[0].get::<_, i64>(0);
    let turns = owner
        .query(
            "SELECT count(*) FROM chat.turns WHERE conversation_id = $1",
            &[&conversation.0],
        )
        .await;
    assert_eq!(count(turns.unwrap()), 0);
    let used = owner
        .query(
            "SELECT count(*) FROM chat.usage WHERE game_id = $1",
            &[&chat.game.id.as_str()],
        )
        .await;
    assert_eq!(count(used.unwrap()), 1);
}

#[tokio::test]
async fn a_forgotten_player_leaves_no_words_and_no_name() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "my name is Ada").await;
    let other = somebody();
    let kept = chat.conversation_of(other).await;
    for _ in 0..2 {
        chat.ask(&ForgetPlayer {
            player: chat.player.player,
        })
        .await
        .unwrap();
    }
    let list = |caller| ListConversations {
        caller,
        limit: 10,
        before: None,
    };
    assert!(chat.ask(&list(chat.player)).await.unwrap().items.is_empty());
    assert_eq!(chat.ask(&list(other)).await.unwrap().items, [kept]);
    let owner = chat.game.owner().await;
    let used = owner
        .query(
            "SELECT player_id FROM chat.usage WHERE game_id = $1",
            &[&chat.game.id.as_str()],
        )
        .await
        .unwrap();
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].get::<_, Option<uuid::Uuid>>(0), None);
    let redis = chat.game.redis();
    let key = redis.key(format_args!("context:{conversation}"));
    eventually("the context is gone", async || {
        let key = key.clone();
        let found: Option<Vec<u8>> = redis
            .ask(async move |mut connection| redis::cmd("GET").arg(key).query_async(&mut connection).await)
            .await
            .ok()?;
        found.is_none().then_some(())
    })
    .await;
}
