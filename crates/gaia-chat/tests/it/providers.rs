//! Models on bad days: the next route answers, and in the end the author's lines.

use std::time::Duration;

use axum::{Router, body::Body, http::header, response::IntoResponse, routing::post};
use gaia_protocol::{
    bundle::{Bundle, Provider},
    chat::{ReplySource, TurnState},
};
use gaia_testkit::{Ending, Script, ScriptedLlm, eventually, route};
use tokio::net::TcpListener;

use crate::chat::{Chat, REPLY, reply, route_of};

/// A game with a first route to something and a second to the scripted model.
async fn with_first(address: &str, provider: Provider) -> Chat {
    let mut first = route("first", provider, address);
    first.first_token_ms = 300;
    first.silence_ms = 300;
    Chat::start_with(move |bundle, _, _| bundle.routes.insert(0, first)).await
}

async fn said_by(chat: &Chat, expected: &str) -> gaia_protocol::chat::Turn {
    let conversation = chat.conversation().await.id;
    let turn = chat.say(conversation, "hello").await;
    assert_eq!((turn.state, route_of(&turn)), (TurnState::Done, expected), "{turn:?}");
    turn
}

#[tokio::test]
async fn a_failure_before_the_first_token_goes_to_the_next_route_unheard() {
    let first = ScriptedLlm::start(Script::says("never heard")).await;
    let chat = with_first(&first.openai_url(), Provider::Openai).await;
    let far = Duration::from_secs(30);
    for script in [
        Script::refuses(400),
        Script::refuses(401),
        Script::refuses(429),
        Script::refuses(500),
        Script::refuses(529),
        Script::refuses(307),
        Script::says("too late").after(far),
        Script::refuses(503).after(far),
        Script::says("").then(Ending::Stall),
        Script::says("").then(Ending::Broken),
        Script::says("").then(Ending::Garbage),
        Script::says("").then(Ending::Done),
        Script::says(" \n ").then(Ending::Done),
    ] {
        first.always(script.clone());
        let turn = said_by(&chat, "scripted").await;
        assert_eq!(reply(&turn), REPLY, "{script:?}");
    }
    eventually("no call is left open", async || (first.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn the_same_holds_for_anthropic() {
    let first = ScriptedLlm::start(Script::says("never heard")).await;
    let chat = with_first(&first.anthropic_url(), Provider::Anthropic).await;
    for script in [
        Script::refuses(529),
        Script::says("too late").after(Duration::from_secs(30)),
        Script::says("").then(Ending::Stall),
        Script::says("").then(Ending::Garbage),
        Script::says("").then(Ending::Done),
    ] {
        first.always(script.clone());
        assert_eq!(reply(&said_by(&chat, "scripted").await), REPLY, "{script:?}");
    }
}

#[tokio::test]
async fn a_route_that_nobody_listens_at_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let chat = with_first(&address, Provider::Openai).await;
    said_by(&chat, "scripted").await;
}

#[tokio::test]
async fn a_route_without_its_key_is_not_asked() {
    let first = ScriptedLlm::start(Script::says("never heard")).await;
    let url = first.openai_url();
    let chat = Chat::start_with(move |bundle, _, _| {
        let mut paid = route("paid", Provider::Openai, &url);
        paid.key = Some("NOT_THERE".to_owned());
        bundle.routes.insert(0, paid);
    })
    .await;
    said_by(&chat, "scripted").await;
    assert_eq!(first.calls(), 0);
}

#[tokio::test]
async fn when_no_model_answers_the_authors_lines_do() {
    let chat = Chat::start().await;
    chat.llm.always(Script::refuses(500));
    let turn = said_by(&chat, "barks").await;
    assert_eq!(turn.reply.as_ref().unwrap().source, ReplySource::Authored);
    let greetings = &chat.bundle.personas[0].intents[0].say;
    assert!(greetings.iter().any(|line| line == reply(&turn)), "{turn:?}");
}

#[tokio::test]
async fn a_reply_that_breaks_off_after_a_sentence_is_closed_with_it() {
    let first = ScriptedLlm::start(Script::says("x")).await;
    let chat = with_first(&first.openai_url(), Provider::Openai).await;
    for ending in [Ending::Stall, Ending::Garbage] {
        first.always(Script::says("Go north. Then left.").then(ending));
        assert_eq!(reply(&said_by(&chat, "first").await), "Go north. Then left.");
        first.always(Script::says("Go north. Then le").then(ending));
        assert_eq!(reply(&said_by(&chat, "first").await), "Go north. Then le…");
    }
    first.always(broken("Go north. Then le"));
    let turn = said_by(&chat, "first").await;
    assert!(
        ["Go north.", "Go north. Then…", "Go north. Then le…"].contains(&reply(&turn)),
        "{turn:?}"
    );
    assert_eq!(chat.llm.calls(), 0, "what was heard cannot be said again by another");
}

#[tokio::test]
async fn a_reply_that_breaks_off_within_its_first_sentence_ends_with_a_line_of_the_authors() {
    let first = ScriptedLlm::start(broken("Go further nor")).await;
    let chat = with_first(&first.openai_url(), Provider::Openai).await;
    let turn = said_by(&chat, "first").await;
    let (begin, rest) = reply(&turn).split_once("… ").unwrap_or_else(|| panic!("{turn:?}"));
    assert!("Go further nor".starts_with(begin) && !begin.is_empty(), "{turn:?}");
    let greetings = &chat.bundle.personas[0].intents[0].say;
    assert!(greetings.iter().any(|line| line == rest), "{turn:?}");
}

/// A connection that breaks may take along what was sent last, so the words come one by one.
fn broken(text: &str) -> Script {
    Script::says(text).every(Duration::from_millis(60)).then(Ending::Broken)
}

#[tokio::test]
async fn a_reply_has_a_bound_however_much_is_sent() {
    let first = ScriptedLlm::start(Script::says(&"word ".repeat(20_000))).await;
    let chat = with_first(&first.openai_url(), Provider::Openai).await;
    let turn = said_by(&chat, "first").await;
    assert!(reply(&turn).len() <= 16 * 1024 && reply(&turn).len() > 16 * 1024 - 8);
    eventually("the call is given up", async || (first.open() == 0).then_some(())).await;
}

/// Answers every call with these bytes over and over, as many as are wanted.
async fn floods(bytes: &'static [u8]) -> String {
    let answer = move || async move {
        let body = Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(bytes)));
        ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
    };
    let router = Router::new().route("/v1/chat/completions", post(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn a_flood_without_a_word_is_cut_off() {
    for bytes in [&[b'x'; 65_536][..], b": comment\n\n", b"data: {\"choices\":[]}\n\n"] {
        let chat = with_first(&floods(bytes).await, Provider::Openai).await;
        said_by(&chat, "scripted").await;
    }
}

#[tokio::test]
async fn a_key_goes_to_its_own_route_and_nowhere_else() {
    let first = ScriptedLlm::start(Script::refuses(500)).await;
    let url = first.openai_url();
    let change = move |bundle: &mut Bundle, settings: &mut gaia_protocol::settings::ChatGame, _: &ScriptedLlm| {
        let mut paid = route("paid", Provider::Openai, &url);
        paid.key = Some("PAID".to_owned());
        bundle.routes.insert(0, paid);
        settings
            .route_keys
            .insert("PAID".to_owned(), gaia_names::Secret::new("paid-key"));
    };
    let chat = Chat::start_with(change).await;
    said_by(&chat, "scripted").await;
    assert_eq!(first.received()[0].headers["authorization"], "Bearer paid-key");
    assert!(chat.llm.received()[0].headers.get("authorization").is_none());
}
