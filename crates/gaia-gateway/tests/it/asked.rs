//! Tools as players and programs see them: what is used, what is asked, and who may answer.

use gaia_testkit::{ClusterOptions, Script, TestCluster, eventually, hostile};
use serde_json::{Value, json};

use crate::{
    openai::{completed, content, saying as completion},
    support::{Events, Socket, data, id, program, saying},
};

/// A game whose persona may use a server that asks the player's age, once it is there.
async fn with_tool(mode: &'static str) -> TestCluster {
    let bundle = move |bundle: &mut gaia_protocol::bundle::Bundle, _: &_| {
        bundle.response_time_target_ms = 3_000;
        bundle.personas[0].tools = vec![mode.to_owned()];
        bundle.tool_servers = vec![hostile(mode)];
    };
    let options = ClusterOptions {
        bundle: Some(Box::new(bundle)),
        ..ClusterOptions::default()
    };
    let cluster = TestCluster::start_with(options).await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let path = format!("/v1/conversations/{conversation}/turns");
    eventually("the tool is offered", async || {
        drop(player.post(&path, json!({ "text": "hello" })).await.ok());
        let last = cluster.llm.received().pop()?;
        last.body["tools"].is_array().then_some(())
    })
    .await;
    cluster
        .llm
        .next(Script::says("").calling(&format!("{mode}__look"), "{}"));
    cluster
}

fn told_the_model(cluster: &TestCluster) -> String {
    let body = cluster.llm.received().pop().unwrap().body;
    body["messages"].as_array().unwrap().last().unwrap()["content"].to_string()
}

#[tokio::test]
async fn a_player_answers_what_a_turn_asks_and_nobody_else_does() {
    let cluster = with_tool("asks").await;
    let player = cluster.visitor().await;
    let (conversation, turn) = (player.start_conversation("guide").await, id());
    let request = saying(&player, &conversation, &turn, "May I come in?");
    let mut events = Events::of(request.send().await.unwrap());
    let asked = loop {
        let event = events.next().await.unwrap();
        if event.event == "ask" {
            break data(&event);
        }
    };
    assert_eq!(asked["wants"]["kind"], "form");
    let path = format!("/v1/conversations/{conversation}/turns/{turn}/answers");
    let answer = json!({ "number": asked["number"], "answer": "accept", "values": { "age": 30 } });
    let another = cluster.visitor().await;
    assert_eq!(another.post(&path, answer.clone()).await.status, 404);
    let other = json!({ "number": asked["number"].as_u64().unwrap() + 1, "answer": "decline" });
    assert_eq!(player.post(&path, other).await.status, 404);
    for bad in [
        json!({ "number": 0, "answer": "accept" }),
        json!({ "number": 1, "answer": "perhaps" }),
        json!({ "number": 1, "answer": "accept", "values": { "age": "x".repeat(9_000) } }),
    ] {
        let refused = player.post(&path, bad).await;
        assert!(matches!(refused.status.as_u16(), 400 | 422), "{refused:?}");
    }
    assert_eq!(player.post(&path, answer.clone()).await.status, 204);
    let rest = events.rest().await;
    assert_eq!(rest.last().unwrap().event, "final");
    assert!(told_the_model(&cluster).contains("30"), "{}", told_the_model(&cluster));
    let late = player.post(&path, answer).await;
    assert_eq!((late.status.as_u16(), late.code()), (409, "turn_finished"));
}

#[tokio::test]
async fn a_player_answers_on_the_socket() {
    let cluster = with_tool("asks").await;
    let player = cluster.visitor().await;
    let (conversation, turn) = (player.start_conversation("guide").await, id());
    let mut socket = Socket::of(&player).await;
    let text = "May I come in?";
    let say = json!({ "type": "say", "conversation": conversation, "turn": turn, "text": text });
    socket.send(&say).await;
    let mut kinds = Vec::new();
    loop {
        let event = socket.heard().await["event"].clone();
        kinds.push(event["kind"].as_str().unwrap().to_owned());
        if event["kind"] == "ask" {
            let answer = json!({ "type": "answer", "conversation": conversation, "turn": turn,
                "number": event["number"], "answer": "decline" });
            socket.send(&answer).await;
        }
        if event["kind"] == "final" {
            break;
        }
    }
    assert!(
        told_the_model(&cluster).contains("decline"),
        "{}",
        told_the_model(&cluster)
    );
    let asked = kinds.iter().filter(|kind| *kind == "ask").count();
    assert_eq!((asked, kinds.contains(&"tool".to_owned())), (1, true), "{kinds:?}");
}

#[tokio::test]
async fn whoever_waits_for_the_whole_reply_cannot_be_asked() {
    let cluster = with_tool("asks").await;
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let path = format!("/v1/conversations/{conversation}/turns");
    drop(player.post(&path, json!({ "text": "May I come in?" })).await.ok());
    assert!(
        told_the_model(&cluster).contains("decline"),
        "{}",
        told_the_model(&cluster)
    );
}

#[tokio::test]
async fn an_openai_client_sees_tools_only_if_it_wants_to() {
    let cluster = with_tool("plain").await;
    let (site, _) = program(&cluster, json!({ "name": "website", "requests_per_minute": 600 })).await;
    let call = || Script::says("").calling("plain__look", "{}");
    let hidden = completed(&site, completion("Look.")).await;
    assert_eq!(
        (content(&hidden), &hidden["gaia_tools"]),
        ("Good evening, traveller.", &Value::Null)
    );
    let mut wanted = completion("Look again.");
    wanted["metadata"] = json!({ "gaia_tools": "shown" });
    cluster.llm.next(call());
    let shown = completed(&site, wanted.clone()).await;
    assert_eq!(shown["gaia_tools"], json!([{ "tool": "plain.look", "state": "done" }]));
    wanted["stream"] = json!(true);
    cluster.llm.next(call());
    let request = site.request(reqwest::Method::POST, "/openai/v1/chat/completions");
    let pieces = Events::of(request.json(&wanted).send().await.unwrap()).rest().await;
    let tools = pieces.iter().filter(|piece| piece.data.contains("gaia_tool"));
    let states: Vec<_> = tools.map(|piece| data(piece)["gaia_tool"]["state"].clone()).collect();
    assert_eq!(states, ["working", "done"]);

    wanted["input"] = json!("Look once more.");
    cluster.llm.next(call());
    let request = site.request(reqwest::Method::POST, "/openai/v1/responses");
    let events = Events::of(request.json(&wanted).send().await.unwrap()).rest().await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| data(event).get("gaia_tool").is_some())
        .map(|event| (event.event.as_str(), data(event)["gaia_tool"]["state"].clone()))
        .collect();
    let expected = ["working", "done"].map(|state| ("response.in_progress", json!(state)));
    assert_eq!(told, expected);
}
