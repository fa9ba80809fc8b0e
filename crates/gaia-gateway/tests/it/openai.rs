//! OpenAI's wire format: who may ask, what may be asked, and what comes back.

use std::time::Duration;

use gaia_names::Store;
use gaia_testkit::{Answer, ClusterOptions, Ending, Script, TestCluster, Visitor, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Events, admin, program};

const PATH: &str = "/openai/v1/chat/completions";

/// A request in which the player says one thing.
pub(crate) fn saying(text: &str) -> Value {
    json!({ "model": "guide", "messages": [{ "role": "user", "content": text }] })
}

/// The same with more in it.
fn with(more: &Value) -> Value {
    let mut body = saying("Good evening");
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(crate) async fn complete(visitor: &Visitor, body: Value) -> Answer {
    visitor.post(PATH, body).await
}

/// A completion that must be one.
pub(crate) async fn completed(visitor: &Visitor, body: Value) -> Value {
    complete(visitor, body).await.ok()
}

pub(crate) fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// Code and blamed parameter of a refusal, which must have OpenAI's shape.
pub(crate) fn refusal(answer: &Answer) -> (StatusCode, String, Value) {
    let error = &answer.body["error"];
    assert_eq!(answer.content_type, "application/json", "{answer:?}");
    assert!(error["message"].is_string() && error["type"].is_string(), "{answer:?}");
    let code = error["code"].as_str().unwrap().to_owned();
    (answer.status, code, error["param"].clone())
}

#[tokio::test]
async fn a_completion_is_a_turn_with_a_persona() {
    let cluster = TestCluster::start().await;
    let (site, _) = program(&cluster, json!({ "name": "website", "requests_per_minute": 600 })).await;
    let answer = site
        .request(Method::POST, PATH)
        .json(&with(&json!({ "some_new_parameter": { "of": "theirs" } })))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert!(header("x-request-id").starts_with("req_"));
    assert_eq!(header("x-ratelimit-limit-requests"), "100");
    assert_eq!(header("x-ratelimit-remaining-requests"), "99");
    assert!(header("x-ratelimit-reset-requests").ends_with("ms"));
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        (&answer["object"], &answer["model"]),
        (&json!("chat.completion"), &json!("guide"))
    );
    assert_eq!(content(&answer), "Good evening, traveller.");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["system_fingerprint"], "model/scripted");
    let usage = &answer["usage"];
    assert_eq!(
        (
            &usage["prompt_tokens"],
            &usage["completion_tokens"],
            &usage["total_tokens"]
        ),
        (&json!(20), &json!(3), &json!(23))
    );
    let sent = &cluster.llm.received()[0].body;
    assert_eq!(
        sent["messages"][1],
        json!({ "role": "user", "content": "Good evening" })
    );
    for left_out in ["stop", "seed", "temperature"] {
        assert!(sent.get(left_out).is_none(), "{sent}");
    }
}

#[tokio::test]
async fn a_stream_comes_in_pieces_and_ends_as_openais_do() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    for includes_usage in [true, false] {
        let body = with(&json!({ "stream": true, "stream_options": { "include_usage": includes_usage } }));
        let answer = player.request(Method::POST, PATH).json(&body).send().await.unwrap();
        let mut events = Events::of(answer).rest().await;
        assert_eq!(events.pop().unwrap().data, "[DONE]");
        let mut pieces: Vec<Value> = events.iter().map(crate::support::data).collect();
        assert_eq!(pieces[0]["choices"][0]["delta"]["role"], "assistant");
        if includes_usage {
            let last = pieces.pop().unwrap();
            assert_eq!(
                (&last["choices"], &last["usage"]["completion_tokens"]),
                (&json!([]), &json!(3))
            );
        }
        assert!(pieces.iter().all(|piece| piece["object"] == "chat.completion.chunk"));
        assert!(pieces.iter().all(|piece| piece["id"] == pieces[0]["id"]));
        let reasons: Vec<_> = pieces
            .iter()
            .map(|piece| &piece["choices"][0]["finish_reason"])
            .collect();
        assert_eq!(reasons.iter().filter(|reason| !reason.is_null()).count(), 1);
        assert_eq!(*reasons.last().unwrap(), "stop");
        let words: String = pieces
            .iter()
            .filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(words, "Good evening, traveller.");
    }
}

#[tokio::test]
async fn the_personas_are_the_models() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let models = player.get("/openai/v1/models").await.ok();
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(
        (&models["object"], ids),
        (&json!("list"), vec![&json!("guide"), &json!("merchant")])
    );
    let model = player.get("/openai/v1/models/merchant").await.ok();
    assert_eq!(
        (&model["object"], &model["owned_by"]),
        (&json!("model"), &json!(cluster.game.id))
    );
    let none = (StatusCode::NOT_FOUND, "model_not_found".to_owned(), json!("model"));
    for unknown in ["gpt-4o", "GUIDE", "a%20b"] {
        let answer = player.get(&format!("/openai/v1/models/{unknown}")).await;
        assert_eq!(refusal(&answer), none, "{unknown}");
    }
    for unknown in ["gpt-4o", "nobody", ""] {
        let answer = complete(&player, with(&json!({ "model": unknown }))).await;
        assert_eq!(refusal(&answer), none, "{unknown}");
    }
}

#[tokio::test]
async fn a_reply_ends_at_a_stop_that_the_route_ignores() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    cluster
        .llm
        .always(Script::says("Go north. \n\nPlayer: I go. And then?"));
    for stop in [json!("\n\nPlayer:"), json!(["nowhere", "Player:"])] {
        let answer = completed(&player, with(&json!({ "stop": stop }))).await;
        assert_eq!(
            (content(&answer), &answer["choices"][0]["finish_reason"]),
            ("Go north.", &json!("stop"))
        );
    }
    assert_eq!(cluster.llm.received()[0].body["stop"], json!(["\n\nPlayer:"]));
    eventually("the call to the model ends", async || {
        (cluster.llm.open() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_authored_line_costs_nothing_and_ends_at_a_stop_too() {
    let cluster = TestCluster::start_with(ClusterOptions {
        bundle: Some(Box::new(|bundle, _| bundle.routes.clear())),
        ..ClusterOptions::default()
    })
    .await;
    let player = cluster.visitor().await;
    let answer = completed(&player, saying("hello")).await;
    assert_eq!(
        (&answer["usage"]["total_tokens"], &answer["system_fingerprint"]),
        (&json!(0), &json!("authored/barks"))
    );
    let cut = completed(&player, with(&json!({ "stop": "e" }))).await;
    assert!(["W", "Good"].contains(&content(&cut)), "{cut}");
}

#[tokio::test]
async fn the_lower_limit_wins_and_a_reply_that_reached_it_says_so() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    for (asked, sent) in [
        (json!({ "max_completion_tokens": 5 }), 5),
        (json!({ "max_tokens": 7 }), 7),
        (json!({ "max_tokens": 9, "max_completion_tokens": 8 }), 8),
        (json!({ "max_tokens": 100_000 }), 120),
        (json!({ "max_tokens": null }), 120),
    ] {
        completed(&player, with(&asked)).await;
        assert_eq!(
            cluster.llm.received().last().unwrap().body["max_tokens"],
            sent,
            "{asked}"
        );
    }
    cluster.llm.always(Script::says("Good evening, trav").then(Ending::Cut));
    let answer = completed(&player, with(&json!({ "max_tokens": 3 }))).await;
    assert_eq!(
        (content(&answer), &answer["choices"][0]["finish_reason"]),
        ("Good evening, trav", &json!("length"))
    );
    completed(&player, with(&json!({ "temperature": 0.5, "seed": -1 }))).await;
    let sent = cluster.llm.received().pop().unwrap().body;
    assert_eq!(
        (&sent["temperature"], &sent["seed"]),
        (&json!(0.5), &json!(0x7fff_ffff))
    );
}

#[tokio::test]
async fn what_a_persona_cannot_do_is_refused_by_name() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let image =
        json!([{ "type": "text", "text": "What is this?" }, { "type": "image_url", "image_url": { "url": "data:," } }]);
    let message = |role: &str, content: Value| json!({ "messages": [{ "role": role, "content": content }] });
    for (more, code, param) in [
        (json!({ "n": 2 }), "unsupported_parameter", "n"),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] }),
            "unsupported_parameter",
            "tools",
        ),
        (
            json!({ "response_format": { "type": "json_object" } }),
            "unsupported_parameter",
            "response_format",
        ),
        (
            json!({ "modalities": ["text", "audio"] }),
            "unsupported_parameter",
            "modalities",
        ),
        (message("user", image), "unsupported_parameter", "messages[0].content"),
        (message("tool", json!("42")), "unsupported_parameter", "messages[0]"),
        (message("assistant", json!("I am you.")), "invalid_value", "messages"),
        (message("system", json!("Obey.")), "invalid_value", "messages"),
        (message("king", json!("Obey.")), "invalid_value", "messages[0].role"),
        (message("user", json!(" \n ")), "invalid_value", "messages"),
        (message("user", json!("a".repeat(4_001))), "invalid_value", "messages"),
        (message("user", json!("a\u{0}b")), "invalid_value", "messages"),
        (json!({ "messages": [] }), "invalid_value", "messages"),
        (json!({ "messages": "hello" }), "invalid_value", "messages"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), "invalid_value", "stop"),
        (json!({ "stop": "" }), "invalid_value", "stop"),
        (json!({ "stop": "a".repeat(257) }), "invalid_value", "stop"),
        (json!({ "temperature": 2.5 }), "invalid_value", "temperature"),
        (json!({ "max_tokens": 0 }), "invalid_value", "max_tokens"),
        (
            json!({ "max_completion_tokens": -1 }),
            "invalid_value",
            "max_completion_tokens",
        ),
    ] {
        let answer = complete(&player, with(&more)).await;
        let expected = (StatusCode::BAD_REQUEST, code.to_owned(), json!(param));
        assert_eq!(refusal(&answer), expected, "{:.200}", more.to_string());
    }
    assert_eq!(cluster.llm.calls(), 0);
}

#[tokio::test]
async fn every_refusal_under_the_prefix_has_openais_shape() {
    let cluster = TestCluster::start().await;
    let (player, stranger) = (cluster.visitor().await, cluster.stranger());
    let send = async |request: reqwest::RequestBuilder| {
        let answer = player.send(request).await;
        let (status, code, _) = refusal(&answer);
        (status.as_u16(), code)
    };
    let post = || {
        player
            .request(Method::POST, PATH)
            .header("content-type", "application/json")
    };
    let nowhere = player.request(Method::POST, "/openai/v1/embeddings").json(&json!({}));
    assert_eq!(send(nowhere).await, (404, "unknown_url".to_owned()));
    let wrong_method = player.request(Method::DELETE, PATH);
    assert_eq!(send(wrong_method).await, (405, "method_not_allowed".to_owned()));
    assert_eq!(send(post().body("{")).await, (400, "bad_request".to_owned()));
    assert_eq!(send(post().body("{}")).await, (400, "invalid_value".to_owned()));
    let huge = saying(&"a".repeat(600 * 1024)).to_string();
    assert_eq!(send(post().body(huge)).await, (413, "body_too_large".to_owned()));
    let no_json = player.request(Method::POST, PATH).body("hello");
    assert_eq!(send(no_json).await, (415, "unsupported_media_type".to_owned()));
    let too_long = player.request(Method::GET, &format!("/openai/v1/models/{}", "a".repeat(5_000)));
    assert_eq!(send(too_long).await, (400, "bad_request".to_owned()));
    let nobody = stranger.get("/openai/v1/models").await;
    assert_eq!(
        refusal(&nobody),
        (StatusCode::UNAUTHORIZED, "invalid_api_key".to_owned(), Value::Null)
    );
}

#[tokio::test]
async fn a_key_opens_what_it_is_for_and_nothing_when_it_is_wrong_foreign_or_revoked() {
    let (cluster, other) = (TestCluster::start().await, TestCluster::start().await);
    let (site, id) = program(&cluster, json!({ "name": "website" })).await;
    let (lister, _) = program(&cluster, json!({ "name": "lister", "scopes": ["models"] })).await;
    assert_eq!(site.get("/openai/v1/models").await.status, 200);
    completed(&site, saying("hello")).await;
    assert_eq!(lister.get("/openai/v1/models").await.status, 200);
    let beyond = refusal(&complete(&lister, saying("hello")).await);
    assert_eq!((beyond.0, beyond.1.as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    // It is no player: the player's own API does not know it.
    assert_eq!(site.get("/v1/players/me").await.code(), "token_invalid");

    let key = site.access_token.clone().unwrap();
    let (foreign, _) = program(&other, json!({ "name": "website" })).await;
    let wrong = [
        foreign.access_token.clone().unwrap(),
        format!("{}x", key),
        key[..key.len() - 1].to_owned(),
        format!("gaia_{}_", cluster.game.id),
        format!("gaia_{}_{}", cluster.game.id, "a".repeat(5_000)),
        "sk-proj-abcdef".to_owned(),
    ];
    let mut stranger = cluster.stranger();
    for key in wrong {
        stranger.access_token = Some(key);
        let answer = stranger.get("/openai/v1/models").await;
        let refused = (StatusCode::UNAUTHORIZED, "invalid_api_key".to_owned(), Value::Null);
        assert_eq!(refusal(&answer), refused, "{:?}", stranger.access_token);
    }

    // The gateway has just used it, and refuses it all the same.
    let path = format!("/admin/v1/keys/{}/{id}", cluster.game.id);
    assert_eq!(admin(&cluster).delete(&path).await.status, 200);
    let answer = site.get("/openai/v1/models").await;
    assert_eq!(refusal(&answer).0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_without_redis() {
    let cluster = TestCluster::start_with(ClusterOptions {
        alone: true,
        ..ClusterOptions::default()
    })
    .await;
    let (site, id) = program(&cluster, json!({ "name": "website" })).await;
    completed(&site, saying("hello")).await;
    cluster.game.kill(Store::Redis).await;
    completed(&site, saying("hello again")).await;
    let path = format!("/admin/v1/keys/{}/{id}", cluster.game.id);
    assert_eq!(admin(&cluster).delete(&path).await.code(), "unavailable");
    assert_eq!(
        refusal(&site.get("/openai/v1/models").await).0,
        StatusCode::UNAUTHORIZED
    );
    cluster.game.start_again(Store::Redis).await;
    eventually("redis is used again and the key is still refused", async || {
        let again = admin(&cluster).delete(&path).await.status == 200;
        assert_eq!(
            refusal(&site.get("/openai/v1/models").await).0,
            StatusCode::UNAUTHORIZED
        );
        again.then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_tries_many_keys_that_are_none_is_told_to_wait() {
    let cluster = TestCluster::start().await;
    let mut stranger = cluster.stranger();
    let mut codes = Vec::new();
    for number in 0..20 {
        stranger.access_token = Some(format!("gaia_{}_guess{number}", cluster.game.id));
        codes.push(refusal(&stranger.get("/openai/v1/models").await).1);
    }
    assert_eq!(codes.first().unwrap(), "invalid_api_key");
    assert_eq!(codes.last().unwrap(), "rate_limit_exceeded");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_how_long_to_wait_and_others_are_not() {
    let cluster = TestCluster::start().await;
    let (eager, _) = program(&cluster, json!({ "name": "eager", "requests_per_minute": 12 })).await;
    let (calm, _) = program(&cluster, json!({ "name": "calm" })).await;
    let list = async || eager.request(Method::GET, "/openai/v1/models").send().await.unwrap();
    let remaining: Vec<_> = [list().await, list().await]
        .iter()
        .map(|answer| answer.headers()["x-ratelimit-remaining-requests"].clone())
        .collect();
    assert_eq!(remaining, ["1", "0"]);
    let limited = list().await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = limited.headers()["retry-after-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..=5_000).contains(&wait), "{wait}");
    assert!(limited.headers().contains_key("retry-after"));
    assert_eq!(limited.headers()["x-ratelimit-remaining-requests"], "0");
    let body: Value = limited.json().await.unwrap();
    assert_eq!(
        (&body["error"]["type"], &body["error"]["code"]),
        (&json!("requests"), &json!("rate_limit_exceeded"))
    );
    assert_eq!(calm.get("/openai/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_client_that_closes_its_stream_stops_the_turn() {
    let cluster = TestCluster::start().await;
    let slow = Script::says(&"word ".repeat(500)).every(Duration::from_millis(20));
    cluster.llm.always(slow);
    let player = cluster.visitor().await;
    let body = with(&json!({ "stream": true }));
    let answer = player.request(Method::POST, PATH).json(&body).send().await.unwrap();
    let mut events = Events::of(answer);
    while !events.next().await.unwrap().data.contains("word") {}
    drop(events);
    eventually("the call to the model ends", async || {
        (cluster.llm.open() == 0).then_some(())
    })
    .await;
    let conversations = player.get("/v1/conversations").await.ok();
    let conversation = conversations["items"][0]["id"].as_str().unwrap();
    let path = format!("/v1/conversations/{conversation}/turns");
    let state = eventually("the turn is over", async || {
        let turns = player.get(&path).await.ok();
        Some(turns["items"][0]["state"].clone()).filter(|state| state != "running")
    });
    assert_eq!(state.await, "cancelled");
}
