//! Turns as server-sent events.

use std::time::Duration;

use gaia_testkit::{Script, TestCluster, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Events, data, id, resuming, saying, words};

const REPLY: &str = "The bridge is north of the market, past the old lanterns.";

fn slowly() -> Script {
    Script::says(REPLY).every(Duration::from_millis(60))
}

#[tokio::test]
async fn a_reply_comes_word_by_word() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(Script::says(REPLY));
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let answer = saying(&player, &conversation, &turn, "Where is the bridge?")
        .send()
        .await
        .unwrap();
    let events = Events::of(answer).rest().await;
    assert_eq!(events[0].event, "accepted");
    assert_eq!(data(&events[0])["turn"], turn);
    assert_eq!(words(&events, 0), REPLY);
    let last = events.last().unwrap();
    assert_eq!(last.event, "final");
    assert_eq!(data(last)["turn"]["reply"]["text"], REPLY);
    assert_eq!(events.iter().filter(|event| event.event == "final").count(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_comes_back_and_misses_nothing() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(slowly());
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let answer = saying(&player, &conversation, &turn, "Where is the bridge?")
        .send()
        .await
        .unwrap();
    let mut events = Events::of(answer);
    let mut first = Vec::new();
    while first
        .last()
        .is_none_or(|event: &eventsource_stream::Event| event.id != "3")
    {
        first.push(events.next().await.unwrap());
    }
    drop(events);
    let again = resuming(&player, &conversation, &turn, 3).send().await.unwrap();
    let rest = Events::of(again).rest().await;
    assert_eq!(words(&first, 0) + &words(&rest, 3), REPLY);
    assert_eq!(rest.last().unwrap().event, "final");
    // Once it is done, coming back gives the whole turn at once.
    let done = Events::of(resuming(&player, &conversation, &turn, 3).send().await.unwrap())
        .rest()
        .await;
    assert_eq!(done.iter().map(|event| &*event.event).collect::<Vec<_>>(), ["final"]);
}

#[tokio::test]
async fn the_same_turn_sent_again_while_it_runs_is_joined() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(slowly());
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let send = || saying(&player, &conversation, &turn, "Where is the bridge?").send();
    let mut first = Events::of(send().await.unwrap());
    assert_eq!(first.next().await.unwrap().event, "accepted");
    let second = Events::of(send().await.unwrap());
    let (first, second) = tokio::join!(first.rest(), second.rest());
    assert_eq!(words(&first, 0), REPLY);
    assert_eq!(words(&second, 0), REPLY);
    assert_eq!(cluster.llm.calls(), 1);
}

#[tokio::test]
async fn one_turn_at_a_time() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(slowly());
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let mut first = Events::of(saying(&player, &conversation, &id(), "One").send().await.unwrap());
    assert_eq!(first.next().await.unwrap().event, "accepted");
    let second = saying(&player, &conversation, &id(), "Two").send().await.unwrap();
    assert_eq!(second.status(), StatusCode::CONFLICT);
    assert_eq!(second.headers()["content-type"], "application/problem+json");
    assert_eq!(second.headers()["retry-after"], "1");
    assert_eq!(first.rest().await.last().unwrap().event, "final");
}

#[tokio::test]
async fn a_cancelled_reply_is_kept_as_far_as_it_came() {
    let cluster = TestCluster::start().await;
    cluster
        .llm
        .always(Script::says(&"word ".repeat(500)).every(Duration::from_millis(20)));
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let mut events = Events::of(
        saying(&player, &conversation, &turn, "Tell me all")
            .send()
            .await
            .unwrap(),
    );
    while events.next().await.unwrap().event != "delta" {}
    let path = format!("/v1/conversations/{conversation}/turns/{turn}");
    let cancelled = player
        .request(Method::POST, &format!("{path}/cancel"))
        .send()
        .await
        .unwrap();
    assert_eq!(cancelled.status(), StatusCode::ACCEPTED);
    let rest = events.rest().await;
    let last = data(rest.last().unwrap());
    assert_eq!(
        (&last["type"], &last["turn"]["state"]),
        (&json!("final"), &json!("cancelled"))
    );
    assert!(last["turn"]["reply"]["text"].as_str().unwrap().starts_with("word"));
    let again = player.post(&format!("{path}/cancel"), json!({})).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "turn_finished"));
    eventually("the call to the model ends", async || {
        (cluster.llm.open() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_as_last_event_id_must_be_a_number() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = player.say(&conversation, "Good evening").await.ok();
    let path = format!(
        "/v1/conversations/{conversation}/turns/{}",
        turn["id"].as_str().unwrap()
    );
    for bad in ["-1", "x", "", "4294967296", "1.5"] {
        let request = player.request(Method::GET, &path).header("last-event-id", bad);
        assert_eq!(player.send(request).await.code(), "invalid_input", "{bad}");
    }
}
