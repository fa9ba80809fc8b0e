//! OpenAI's other format, responses: what may be asked, what comes back, and how a client goes on.

use std::time::Duration;

use gaia_names::Store;
use gaia_testkit::{ClusterOptions, Ending, Script, TestCluster, Visitor, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    openai::refusal,
    openai_history::{conversations, prompt, roles},
    support::Events,
};

const PATH: &str = "/openai/v1/responses";

/// A response that must be one, to a text with more beside it.
async fn responded(player: &Visitor, text: &str, more: Value) -> Value {
    let mut body = json!({ "model": "guide", "input": text });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    player.post(PATH, body).await.ok()
}

/// The events of a response to a text.
async fn streamed(player: &Visitor, text: &str) -> Events {
    let body = json!({ "model": "guide", "input": text, "stream": true });
    Events::of(player.request(Method::POST, PATH).json(&body).send().await.unwrap())
}

fn words(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_response_is_a_turn_with_a_persona() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let more = json!({ "instructions": "Answer in rhymes.", "temperature": 0.5, "max_output_tokens": 50,
        "metadata": { "scene": "market" }, "some_new_parameter": {} });
    let response = responded(&player, "Good evening", more).await;
    assert_eq!(words(&response), "Good evening, traveller.");
    assert_eq!(
        (&response["object"], &response["status"], &response["model"]),
        (&json!("response"), &json!("completed"), &json!("guide"))
    );
    assert!(response["id"].as_str().unwrap().starts_with("resp_"), "{response}");
    assert_eq!(response["metadata"], json!({ "scene": "market" }));
    assert_eq!(
        (&response["usage"]["input_tokens"], &response["usage"]["output_tokens"]),
        (&json!(20), &json!(3))
    );
    assert_eq!(response["system_fingerprint"], "model/scripted");
    let sent = &cluster.llm.received()[0].body;
    assert_eq!((&sent["temperature"], &sent["max_tokens"]), (&json!(0.5), &json!(50)));
    let prompt = prompt(&cluster);
    assert!(
        !prompt[0].1.contains("rhymes"),
        "instructions are the player's words: {prompt:?}"
    );
    assert!(prompt[1].1.contains("| Answer in rhymes."), "{prompt:?}");
}

#[tokio::test]
async fn a_stream_has_openais_events_in_their_order() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let events = streamed(&player, "Good evening").await.rest().await;
    let events: Vec<Value> = events.iter().map(crate::support::data).collect();
    let mut kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    let numbers: Vec<_> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let whole = &events.last().unwrap()["response"];
    assert_eq!(
        (said.as_str(), words(whole)),
        ("Good evening, traveller.", "Good evening, traveller.")
    );
    assert_eq!(
        (&events[0]["response"]["status"], &events[0]["response"]["id"]),
        (&json!("in_progress"), &whole["id"])
    );
}

#[tokio::test]
async fn a_stream_that_comes_to_nothing_says_so() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let slow = Script::says(&"word ".repeat(200)).every(Duration::from_millis(50));
    cluster.llm.next(slow);
    let mut events = streamed(&player, "Good evening").await;
    while events.next().await.unwrap().event != "response.output_text.delta" {}
    cluster.tasks[2].drain(Duration::ZERO).await;
    let rest = events.rest().await;
    let last = rest.last().unwrap();
    let response = &crate::support::data(last)["response"];
    assert_eq!(
        (last.event.as_str(), &response["status"]),
        ("response.failed", &json!("failed"))
    );
    assert!(response["error"]["message"].is_string(), "{response}");
    assert!(words(response).starts_with("word"), "{response}");
}

#[tokio::test]
async fn a_client_goes_on_from_a_response_by_its_id() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let mut previous = json!(null);
    for (number, text) in ["One", "Two", "Three"].into_iter().enumerate() {
        cluster.llm.next(Script::says(&format!("Reply {number}.")));
        let response = responded(&player, text, json!({ "previous_response_id": previous })).await;
        assert_eq!(response["previous_response_id"], previous);
        previous = response["id"].clone();
    }
    let heard: Vec<_> = prompt(&cluster)[1..].iter().map(|(_, text)| text.clone()).collect();
    assert_eq!(heard, ["One", "Reply 0.", "Two", "Reply 1.", "Three"]);
    assert_eq!(conversations(&player).await, [3]);
}

#[tokio::test]
async fn whoever_goes_on_twice_from_one_response_begins_a_conversation_that_is_told_what_was_said() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let first = responded(&player, "My name is Ada", json!({})).await;
    let from = json!({ "previous_response_id": first["id"] });
    responded(&player, "And then?", from.clone()).await;
    let branch = responded(&player, "Or else?", from.clone()).await;
    let again = prompt(&cluster);
    assert_eq!(roles(&again), ["system", "user"], "{again:?}");
    assert!(
        again[1].1.contains("My name is Ada") && again[1].1.ends_with("Or else?"),
        "{again:?}"
    );
    assert!(!again[1].1.contains("And then?"), "{again:?}");
    responded(&player, "Who am I?", json!({ "previous_response_id": branch["id"] })).await;
    let on = prompt(&cluster);
    assert_eq!(roles(&on), ["system", "user", "assistant", "user"], "{on:?}");
    assert!(on[3].1.contains("My name is Ada"), "it is told each time: {on:?}");
    let mut turns = conversations(&player).await;
    turns.sort_unstable();
    assert_eq!(turns, [2, 2]);

    let merchant = json!({ "previous_response_id": branch["id"], "model": "merchant" });
    responded(&player, "Who are you?", merchant).await;
    let told = prompt(&cluster);
    assert_eq!(roles(&told), ["system", "user"], "{told:?}");
    for line in ["My name is Ada", "Or else?"] {
        assert!(told[1].1.contains(line), "{line}: {told:?}");
    }
}

#[tokio::test]
async fn two_responses_of_the_same_words_lead_back_to_their_own_conversations() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let one = responded(&player, "Hello", json!({})).await;
    let other = responded(&player, "Hello", json!({})).await;
    for (response, text) in [(&other, "To the other"), (&one, "To the one")] {
        responded(&player, text, json!({ "previous_response_id": response["id"] })).await;
    }
    let mut turns = conversations(&player).await;
    turns.sort_unstable();
    // The way back to the first was lost when the same words were said again; it is told what was said, and no other.
    assert_eq!(turns, [1, 1, 2]);
    let prompt = prompt(&cluster);
    assert!(
        !prompt.iter().any(|(_, text)| text.contains("To the other")),
        "{prompt:?}"
    );
}

#[tokio::test]
async fn what_a_player_deleted_is_told_to_nobody() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let first = responded(&player, "My secret", json!({})).await;
    let from = json!({ "previous_response_id": first["id"] });
    let conversation = player.get("/v1/conversations").await.ok()["items"][0]["id"].clone();
    let path = format!("/v1/conversations/{}", conversation.as_str().unwrap());
    assert_eq!(player.delete(&path).await.status, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        responded(&player, "And then?", from.clone()).await;
        let prompt = prompt(&cluster);
        assert_eq!(prompt[1].1, "And then?", "{prompt:?}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_goes_on_from_what_it_heard() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    cluster
        .llm
        .next(Script::says(&"word ".repeat(500)).every(Duration::from_millis(20)));
    let mut events = streamed(&player, "Talk").await;
    let created = crate::support::data(&events.next().await.unwrap());
    while events.next().await.unwrap().event != "response.output_text.delta" {}
    drop(events);
    let from = json!({ "model": "guide", "input": "Enough", "previous_response_id": created["response"]["id"] });
    let response = eventually("the turn has ended", async || {
        let answer = player.post(PATH, from.clone()).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(words(&response), "Good evening, traveller.");
    assert_eq!(conversations(&player).await, [2]);
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_one_turn_also_from_a_response() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let first = responded(&player, "Hello", json!({})).await;
    let body = json!({ "model": "guide", "input": "And then?", "previous_response_id": first["id"] });
    let send = async |count: &str| {
        let request = player
            .request(Method::POST, PATH)
            .header("x-stainless-retry-count", count);
        player.send(request.json(&body)).await.ok()
    };
    let (once, again) = (send("0").await, send("1").await);
    assert_eq!(once["id"], again["id"]);
    assert_eq!(cluster.llm.calls(), 2);
    let on = responded(&player, "And now?", json!({ "previous_response_id": again["id"] })).await;
    assert_eq!(words(&on), "Good evening, traveller.");
    assert_eq!(conversations(&player).await, [3]);
}

#[tokio::test]
async fn a_response_that_reached_its_limit_is_incomplete() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    cluster.llm.always(Script::says("Good evening, trav").then(Ending::Cut));
    let response = responded(&player, "Hello", json!({ "max_output_tokens": 3 })).await;
    assert_eq!(
        (&response["status"], &response["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!(words(&response), "Good evening, trav");
}

#[tokio::test]
async fn without_redis_nobody_goes_on_by_an_id_and_that_is_said() {
    let cluster = TestCluster::start_with(ClusterOptions {
        alone: true,
        ..ClusterOptions::default()
    })
    .await;
    let player = cluster.visitor().await;
    let first = responded(&player, "Hello", json!({})).await;
    cluster.game.kill(Store::Redis).await;
    let from = json!({ "model": "guide", "input": "And then?", "previous_response_id": first["id"] });
    let refused = refusal(&player.post(PATH, from).await);
    assert_eq!(
        (refused.0, refused.1.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    );
    responded(&player, "Hello", json!({})).await;
}

#[tokio::test]
async fn a_client_that_keeps_what_was_said_itself_goes_on_in_one_conversation() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let mut input = vec![json!({ "role": "user", "content": "Hello" })];
    for text in ["And then?", "And now?"] {
        let body = json!({ "model": "guide", "input": input, "store": false });
        let response = player.post(PATH, body).await.ok();
        assert_eq!(response["store"], false);
        input.push(json!({ "type": "reasoning", "id": "rs_1", "summary": [] }));
        input.push(response["output"][0].clone());
        let content = json!([{ "type": "input_text", "text": text }]);
        input.push(json!({ "type": "message", "role": "user", "content": content }));
        let from = json!({ "model": "guide", "input": "More", "previous_response_id": response["id"] });
        let refused = refusal(&player.post(PATH, from).await);
        assert_eq!(refused.1, "previous_response_not_found", "it was not to be kept");
    }
    assert_eq!(conversations(&player).await, [2]);
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_by_name() {
    let cluster = TestCluster::start().await;
    let (player, other) = (cluster.visitor().await, cluster.visitor().await);
    let others = responded(&other, "A secret", json!({})).await["id"].clone();
    let calls = cluster.llm.calls();
    let picture = json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": "data:," }] }]);
    let output = json!([{ "type": "function_call_output", "call_id": "c", "output": "x" }]);
    let words = json!([{ "role": "assistant", "content": "Hello" }]);
    let unsupported = "unsupported_parameter";
    for (more, code, param) in [
        (
            json!({ "previous_response_id": others }),
            "previous_response_not_found",
            "previous_response_id",
        ),
        (
            json!({ "previous_response_id": "resp_x" }),
            "previous_response_not_found",
            "previous_response_id",
        ),
        (json!({ "input": picture }), unsupported, "input[0].content"),
        (json!({ "input": output }), unsupported, "input[0]"),
        (json!({ "input": words }), "invalid_value", "input"),
        (json!({ "input": null }), "invalid_value", "input"),
        (json!({ "input": "x".repeat(4_001) }), "invalid_value", "input"),
        (json!({ "tools": [{ "type": "web_search" }] }), unsupported, "tools"),
        (
            json!({ "text": { "format": { "type": "json_object" } } }),
            unsupported,
            "text",
        ),
        (json!({ "background": true }), unsupported, "background"),
        (json!({ "conversation": "conv_1" }), unsupported, "conversation"),
        (json!({ "prompt": { "id": "pmpt_1" } }), unsupported, "prompt"),
        (json!({ "top_logprobs": 3 }), unsupported, "top_logprobs"),
        (json!({ "max_output_tokens": 0 }), "invalid_value", "max_output_tokens"),
        (
            json!({ "metadata": { "k".repeat(65): "v" } }),
            "invalid_value",
            "metadata",
        ),
    ] {
        let mut body = json!({ "model": "guide", "input": "Hello" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = refusal(&player.post(PATH, body).await);
        assert_eq!(
            refused,
            (StatusCode::BAD_REQUEST, code.to_owned(), json!(param)),
            "{more}"
        );
    }
    assert_eq!(cluster.llm.calls(), calls, "nothing of that reached a model");
}
