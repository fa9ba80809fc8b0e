//! What a model is told of the conversation, with and without Redis.

use gaia_protocol::bundle::Provider;
use gaia_testkit::{ReceivedCall, Script, route};
use serde_json::Value;

use crate::chat::{Chat, REPLY};

fn messages(call: &ReceivedCall) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
    let messages = call.body["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| (text(&message["role"]), text(&message["content"])))
        .collect()
}

#[tokio::test]
async fn a_model_hears_the_stable_prompt_then_the_recent_messages_then_the_player() {
    let chat = Chat::start_with(|bundle, _, _| bundle.context_window = 3).await;
    let conversation = chat.conversation().await.id;
    for number in 1..=4 {
        chat.llm.next(Script::says(&format!("reply {number}")));
        chat.say(conversation, &format!("line {number}")).await;
    }
    let calls = chat.llm.received();
    let last = messages(&calls[3]);
    let roles: Vec<_> = last.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
    assert_eq!(
        roles[1..],
        [
            ("assistant", "reply 2"),
            ("user", "line 3"),
            ("assistant", "reply 3"),
            ("user", "line 4")
        ]
    );
    let persona = &chat.bundle.personas[0];
    let (role, system) = &last[0];
    assert_eq!(role, "system");
    for part in [
        &chat.bundle.theme,
        &persona.prompt,
        &persona.voice,
        &persona.facts[0].say[0],
        &persona.limits.avoid[0],
    ] {
        assert!(system.contains(part.as_str()), "{part} is not in {system}");
    }
    assert_eq!(
        messages(&calls[0])[0].1,
        *system,
        "the beginning is the same for every turn"
    );
    let body = &calls[0].body;
    assert_eq!(
        (&body["stream"], &body["max_tokens"]),
        (&Value::Bool(true), &Value::from(120))
    );
    assert_eq!(body["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn anthropic_gets_its_own_form_with_the_stable_part_to_be_cached() {
    let chat = Chat::start_with(|bundle, settings, llm| {
        bundle.routes = vec![route("far", Provider::Anthropic, &llm.anthropic_url())];
        bundle.routes[0].key = Some("FAR_KEY".to_owned());
        settings
            .route_keys
            .insert("FAR_KEY".to_owned(), gaia_names::Secret::new("far-key"));
    })
    .await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "my name is Ada").await;
    chat.say(conversation, "hello again").await;
    let calls = chat.llm.received();
    let call = &calls[1];
    assert_eq!(call.path, "/v1/messages");
    assert_eq!(call.headers["x-api-key"], "far-key");
    assert_eq!(call.headers["anthropic-version"], "2023-06-01");
    assert!(call.headers.get("authorization").is_none());
    assert_eq!(call.body["system"][0]["cache_control"]["type"], "ephemeral");
    assert!(call.body["system"][1].get("cache_control").is_none());
    assert!(call.body["system"][1]["text"].as_str().unwrap().contains("Ada"));
    assert_eq!(call.body["max_tokens"], 120);
    assert_eq!(messages(call)[0].0, "user");
    let row = chat
        .game
        .owner()
        .await
        .query_one(
            "SELECT provider, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens FROM chat.usage
             WHERE game_id = $1 LIMIT 1",
            &[&chat.game.id.as_str()],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "anthropic");
    assert_eq!([1, 2, 3, 4].map(|column| row.get::<_, i64>(column)), [20, 7, 7, 3]);
}

#[tokio::test]
async fn postgres_tells_what_redis_has_forgotten() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    for line in ["one", "two", "three"] {
        chat.say(conversation, line).await;
    }
    forget(&chat, conversation).await;
    chat.say(conversation, "four").await;
    let from_postgres = messages(chat.llm.received().last().unwrap());
    chat.say(conversation, "five").await;
    let from_redis = messages(chat.llm.received().last().unwrap());
    let texts = |messages: &[(String, String)]| {
        messages
            .iter()
            .skip(1)
            .map(|(_, text)| text.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&from_postgres).last().unwrap(), "four");
    let mut expected = texts(&from_postgres);
    expected.extend([REPLY.to_owned(), "five".to_owned()]);
    let window = usize::from(chat.bundle.context_window) + 1;
    assert_eq!(texts(&from_redis), expected[expected.len().saturating_sub(window)..]);
}

#[tokio::test]
async fn an_old_context_in_redis_does_not_mislead_the_model() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "one").await;
    let redis = chat.game.redis();
    let key = redis.key(format_args!("context:{conversation}"));
    let (from, to) = (key.clone(), key.clone());
    let old: Vec<u8> = redis
        .ask(async move |mut connection| redis::cmd("GET").arg(from).query_async(&mut connection).await)
        .await
        .unwrap();
    chat.say(conversation, "two").await;
    redis
        .ask(async move |mut connection| {
            redis::cmd("SET")
                .arg(to)
                .arg(old)
                .query_async::<()>(&mut connection)
                .await
        })
        .await
        .unwrap();
    let turn = chat.say(conversation, "three").await;
    assert_eq!(turn.sequence, 3);
    let heard = messages(chat.llm.received().last().unwrap());
    assert!(heard.iter().any(|(_, text)| text == "two"), "{heard:?}");
}

async fn forget(chat: &Chat, conversation: gaia_names::ConversationId) {
    let redis = chat.game.redis();
    let key = redis.key(format_args!("context:{conversation}"));
    let deleted: i64 = redis
        .ask(async move |mut connection| redis::cmd("DEL").arg(key).query_async(&mut connection).await)
        .await
        .unwrap();
    assert_eq!(deleted, 1, "there was a context");
}
