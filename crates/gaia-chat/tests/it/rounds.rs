//! Characters that use tools: servers that misbehave, a model that misuses them, and a player who is asked.

use std::time::{Duration, Instant};

use gaia_names::TurnId;
use gaia_protocol::{
    Fault,
    bundle::{Provider, ToolKind, ToolServer},
    chat::{Asked, PlayerAnswer, ReplySource, TakeTurn, ToolState, TurnCommand, TurnEvent, Verdict, Wants},
    subjects,
};
use gaia_testkit::{Script, eventually, hostile};
use serde_json::{Value, json};

use crate::chat::{Chat, REPLY, Stream, Told, call, reply};

/// A game whose persona may use all of these, once they are there.
async fn with(servers: Vec<ToolServer>, milliseconds: u32, provider: Provider) -> Chat {
    let wanted = servers.len();
    let chat = Chat::start_with(|bundle, _, llm| {
        bundle.response_time_target_ms = milliseconds;
        bundle.personas[0].tools = servers.iter().map(|server| server.name.clone()).collect();
        bundle.tool_servers = servers;
        let route = &mut bundle.routes[0];
        (route.provider, route.first_token_ms) = (provider, 60_000);
        if provider == Provider::Anthropic {
            route.base_url = llm.anthropic_url();
        }
    })
    .await;
    eventually("the tools are offered", async || {
        hear(&chat, "hello").await;
        let offered = last_body(&chat)["tools"].to_string();
        let servers = &chat.bundle.tool_servers;
        let all = servers
            .iter()
            .filter(|server| offered.contains(&format!("{}__", server.name)));
        (all.count() == wanted).then_some(())
    })
    .await;
    chat
}

async fn with_one(mode: &str) -> Chat {
    with(vec![hostile(mode)], 3_000, Provider::Openai).await
}

async fn begin(chat: &Chat, text: &str) -> (TurnId, Stream) {
    let (conversation, turn) = (chat.conversation().await.id, TurnId::fresh());
    (turn, chat.begin(conversation, turn, text).await)
}

async fn hear(chat: &Chat, text: &str) -> Told {
    begin(chat, text).await.1.rest().await
}

fn last_body(chat: &Chat) -> Value {
    chat.llm.received().pop().expect("the model was asked").body
}

fn look(text: &str) -> String {
    json!({ "text": text }).to_string()
}

/// What happened to tools, in order.
fn used(told: &Told) -> Vec<(&str, ToolState)> {
    let news = told.events.iter().filter_map(|event| match event {
        TurnEvent::Tool(news) if news.message.is_none() => Some((news.tool.as_str(), news.state)),
        _ => None,
    });
    news.collect()
}

/// What the model was told of the calls of the last round, in OpenAI's format.
fn told_the_model(chat: &Chat) -> Vec<String> {
    let body = last_body(chat);
    let messages = body["messages"].as_array().unwrap().iter().rev();
    let results = messages.take_while(|message| message["role"] == "tool");
    let mut results: Vec<_> = results
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    results.reverse();
    results
}

async fn question(stream: &mut Stream) -> Asked {
    loop {
        match stream.next().await {
            Ok(TurnEvent::Ask(question)) => return question,
            Ok(event) if !event.is_last() => {}
            other => panic!("the player was not asked: {other:?}"),
        }
    }
}

async fn answer(
    chat: &Chat,
    turn: TurnId,
    number: u32,
    verdict: Verdict,
    values: Option<Value>,
) -> Result<bool, Fault> {
    let subject = subjects::turn_commands(&chat.game.id, Some(turn));
    let command = TurnCommand::Answer {
        player: chat.player.player,
        number,
        answer: PlayerAnswer { verdict, values },
    };
    chat.bus.ask_at(subject, &call(), &command).await
}

#[tokio::test]
async fn a_model_hears_what_its_tool_answered_and_goes_on_in_either_format() {
    for provider in [Provider::Openai, Provider::Anthropic] {
        let chat = with(vec![hostile("plain")], 3_000, provider).await;
        let asks = Script::says("Let me look.").calling("plain__look", &look("the north gate"));
        chat.llm.next(asks);
        chat.llm.next(Script::says("It is shut."));
        let told = hear(&chat, "Is the north gate open?").await;
        let turn = told.final_turn();
        assert_eq!(reply(&turn), "Let me look. It is shut.");
        assert_eq!(told.deltas_after(0), "Let me look. It is shut.");
        assert_eq!(turn.reply.unwrap().source, ReplySource::Model);
        assert_eq!(
            used(&told),
            [("plain.look", ToolState::Working), ("plain.look", ToolState::Done)]
        );
        let messages = last_body(&chat)["messages"].as_array().unwrap().clone();
        let [.., asked, answered] = &messages[..] else {
            panic!("{messages:?}")
        };
        let answered = if provider == Provider::Openai {
            assert_eq!(asked["content"], "Let me look.");
            let called = &asked["tool_calls"][0];
            assert_eq!(
                (&called["function"]["name"], &called["id"]),
                (&json!("plain__look"), &answered["tool_call_id"])
            );
            &answered["content"]
        } else {
            assert_eq!(asked["content"][0]["text"], "Let me look.");
            let called = &asked["content"][1];
            assert_eq!(
                (&called["input"]["text"], &called["type"]),
                (&json!("the north gate"), &json!("tool_use"))
            );
            assert_eq!(called["id"], answered["content"][0]["tool_use_id"]);
            &answered["content"][0]["content"]
        };
        assert!(answered.as_str().unwrap().contains("saw the north gate"), "{answered}");
    }
}

#[tokio::test]
async fn the_calls_of_a_round_are_made_side_by_side_and_no_more_than_eight() {
    let chat = with_one("slow").await;
    let mut asks = Script::says("");
    for number in 0..10 {
        asks = asks.calling("slow__look", &look(&number.to_string()));
    }
    chat.llm.next(asks);
    let began = Instant::now();
    let told = hear(&chat, "Look everywhere.").await;
    assert_eq!(reply(&told.final_turn()), REPLY);
    let took = began.elapsed();
    assert!(
        took < Duration::from_millis(300 * 6),
        "one after the other takes 2.4 s: {took:?}"
    );
    let results = told_the_model(&chat);
    assert_eq!(results.len(), 10);
    for (number, result) in results.iter().enumerate() {
        let was_made = result.contains(&format!("saw {number}"));
        assert_eq!(
            (was_made, result.contains("was not made")),
            (number < 8, number >= 8),
            "{result}"
        );
    }
}

#[tokio::test]
async fn a_model_that_only_calls_tools_is_stopped_and_the_author_answers() {
    let chat = with_one("plain").await;
    chat.llm.always(Script::says("").calling("plain__look", &look("again")));
    let before = chat.llm.calls();
    let turn = hear(&chat, "Where is the bridge?").await.final_turn();
    assert_eq!(turn.reply.unwrap().source, ReplySource::Authored);
    assert_eq!(chat.llm.calls() - before, 5);
    assert_eq!(last_body(&chat)["tool_choice"], "none");
}

#[tokio::test]
async fn a_model_that_calls_what_is_not_there_or_writes_garbage_is_told_so() {
    let chat = with_one("plain").await;
    let asks = Script::says("")
        .calling("plain__look", "{\"text\": ")
        .calling("plain__look", "{\"text\": 7}")
        .calling("plain__open", "{}")
        .calling("__proto__", "[]");
    chat.llm.next(asks);
    let told = hear(&chat, "Open it.").await;
    assert_eq!(reply(&told.final_turn()), REPLY);
    let results = told_the_model(&chat);
    let expected = ["no JSON", "do not fit", "no such tool", "no such tool"];
    for (result, expected) in results.iter().zip(expected) {
        assert!(result.contains(expected), "{results:?}");
    }
    assert_eq!(results.len(), 4);
}

#[tokio::test]
async fn a_tool_that_hangs_is_bridged_and_left_behind() {
    let mut hangs = hostile("hangs");
    hangs.timeout_ms = 1_500;
    let chat = with(vec![hangs], 500, Provider::Openai).await;
    chat.llm.next(Script::says("").calling("hangs__look", "{}"));
    let began = Instant::now();
    let (_, mut stream) = begin(&chat, "Is the gate open?").await;
    loop {
        match stream.next().await.expect("the turn goes on") {
            TurnEvent::Interim { .. } => break,
            event => assert!(!event.is_last(), "{event:?}"),
        }
    }
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "the first useful output took {:?}",
        began.elapsed()
    );
    let told = stream.rest().await;
    assert_eq!(reply(&told.final_turn()), REPLY);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        began.elapsed()
    );
    assert!(
        told_the_model(&chat)[0].contains("did not answer"),
        "{:?}",
        told_the_model(&chat)
    );
}

#[tokio::test]
async fn tools_that_die_flood_or_lie_cost_the_turn_nothing_but_their_answer() {
    let modes = ["dies", "huge", "lies", "refuses"];
    let chat = with(modes.map(hostile).to_vec(), 3_000, Provider::Openai).await;
    let mut asks = Script::says("");
    for mode in modes {
        asks = asks.calling(&format!("{mode}__look"), "{}");
    }
    chat.llm.next(asks);
    let told = hear(&chat, "Look.").await;
    assert_eq!(reply(&told.final_turn()), REPLY);
    let results = told_the_model(&chat);
    assert!(results.iter().all(|result| result.len() < 10_000), "{results:?}");
    assert!(results[0].contains("went away"), "{}", results[0]);
    assert!(results[1].contains("too large"), "{}", results[1]);
    assert!(results[3].contains("written by others"), "{}", results[3]);
}

#[tokio::test]
async fn a_tool_server_that_cannot_start_is_told_to_the_model_and_fails_nothing() {
    let chat = Chat::start_with(|bundle, _, _| {
        bundle.personas[0].tools = vec!["never".to_owned()];
        bundle.tool_servers = vec![hostile("never")];
    })
    .await;
    let told = hear(&chat, "How is the weather?").await;
    assert_eq!(reply(&told.final_turn()), REPLY);
    let system = last_body(&chat)["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(system.contains("Out of your reach just now: never."), "{system}");
}

/// A stranger's words, and a tool that spends.
async fn tempted() -> Chat {
    let mut strangers = hostile("injects");
    strangers.is_trusted = false;
    let mut shop = hostile("kinds");
    shop.kinds.insert("pay".to_owned(), ToolKind::Spends);
    let chat = with(vec![strangers, shop], 3_000, Provider::Openai).await;
    chat.llm.next(Script::says("").calling("injects__look", "{}"));
    chat.llm.next(Script::says("").calling("kinds__pay", "{\"gold\": 7}"));
    chat
}

#[tokio::test]
async fn after_the_words_of_strangers_nothing_is_spent_without_the_players_yes() {
    for (verdict, expected) in [(Verdict::Accept, "saw"), (Verdict::Decline, "did not agree")] {
        let chat = tempted().await;
        let (turn, mut stream) = begin(&chat, "What is new?").await;
        let asked = question(&mut stream).await;
        let wants = Wants::Consent {
            does: ToolKind::Spends,
            arguments: "{\"gold\":7}".to_owned(),
        };
        assert_eq!((asked.by.as_str(), &asked.wants), ("kinds.pay", &wants));
        assert_eq!(answer(&chat, turn, asked.number + 1, verdict, None).await, Ok(false));
        assert_eq!(answer(&chat, turn, asked.number, verdict, None).await, Ok(true));
        let told = stream.rest().await;
        assert_eq!(reply(&told.final_turn()), REPLY);
        assert!(
            told_the_model(&chat)[0].contains(expected),
            "{:?}",
            told_the_model(&chat)
        );
    }
}

#[tokio::test]
async fn where_nobody_can_be_asked_the_answer_is_no_at_once() {
    let chat = tempted().await;
    let conversation = chat.conversation().await.id;
    let take = TakeTurn {
        caller: chat.player,
        conversation,
        turn: TurnId::fresh(),
        text: "What is new?".to_owned(),
        options: None,
        may_ask: false,
    };
    let began = Instant::now();
    let told = chat.take(take).await.rest().await;
    assert_eq!(reply(&told.final_turn()), REPLY);
    assert!(
        !told.events.iter().any(|event| matches!(event, TurnEvent::Ask(_))),
        "{told:?}"
    );
    assert!(told_the_model(&chat)[0].contains("did not agree"));
    assert!(began.elapsed() < Duration::from_secs(10), "nobody was waited for");
}

#[tokio::test]
async fn what_a_server_asks_reaches_the_player_and_the_values_reach_the_server() {
    let chat = with_one("asks").await;
    chat.llm.next(Script::says("").calling("asks__look", "{}"));
    let (turn, mut stream) = begin(&chat, "May I come in?").await;
    let asked = question(&mut stream).await;
    let Wants::Form { message, schema } = &asked.wants else {
        panic!("{asked:?}")
    };
    assert_eq!(message, "How old are you?");
    assert_eq!(schema["required"], json!(["age"]));
    let late = chat.follow(turn, 0).await;
    let values = Some(json!({ "age": 30 }));
    assert_eq!(
        answer(&chat, turn, asked.number, Verdict::Accept, values).await,
        Ok(true)
    );
    assert_eq!(reply(&stream.rest().await.final_turn()), REPLY);
    assert!(
        told_the_model(&chat)[0].contains("\"age\": 30"),
        "{:?}",
        told_the_model(&chat)
    );
    let late = late.rest().await;
    let was_asked = late
        .events
        .iter()
        .any(|event| matches!(event, TurnEvent::Ask(question) if *question == asked));
    assert!(was_asked, "who comes later is asked as well: {late:?}");
}

#[tokio::test]
async fn a_model_that_fails_after_its_tools_is_followed_by_the_author() {
    let chat = with_one("plain").await;
    chat.llm.next(Script::says("").calling("plain__look", &look("north")));
    chat.llm.next(Script::refuses(500));
    let turn = hear(&chat, "Where is the bridge?").await.final_turn();
    assert_eq!(turn.reply.unwrap().source, ReplySource::Authored);
    chat.llm
        .next(Script::says("Let me look.").calling("plain__look", &look("north")));
    chat.llm.next(Script::refuses(500));
    let turn = hear(&chat, "Where is the bridge?").await.final_turn();
    assert!(reply(&turn).starts_with("Let me look. "), "{turn:?}");
    assert!(reply(&turn).len() > "Let me look. ".len(), "{turn:?}");
}
