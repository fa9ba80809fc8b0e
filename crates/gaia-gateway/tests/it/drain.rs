//! Stopping without breaking anything off.

use std::time::Duration;

use gaia_testkit::{Script, TestCluster};
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{Events, Socket, id, resuming, saying, words};

const REPLY: &str = "The bridge is north of the market, past the old lanterns.";

#[tokio::test]
async fn a_gateway_that_stops_finishes_what_is_in_hand_and_tells_its_sockets() {
    let cluster = TestCluster::start().await;
    cluster.llm.always(Script::says(REPLY).every(Duration::from_millis(60)));
    let player = cluster.visitor().await;
    let conversation = player.start_conversation("guide").await;
    let turn = id();
    let answer = saying(&player, &conversation, &turn, "Where is the bridge?")
        .send()
        .await
        .unwrap();
    let mut events = Events::of(answer);
    assert_eq!(events.next().await.unwrap().event, "accepted");
    let mut socket = Socket::of(&player).await;

    let (stopped, rest, told) = tokio::join!(cluster.tasks[0].drain(Duration::from_secs(15)), events.rest(), async {
        (socket.heard().await, socket.next().await)
    });
    assert!(stopped, "the gateway gave something up");
    assert_eq!(words(&rest, 0), REPLY);
    assert_eq!(rest.last().unwrap().event, "final");
    assert_eq!(told.0, json!({ "type": "draining" }));
    assert_eq!(told.1.unwrap_err().0, CloseCode::Restart);
    assert!(
        player
            .request(reqwest::Method::GET, "/health/live")
            .send()
            .await
            .is_err(),
        "the port is still open"
    );

    // Another instance knows everything that this one did.
    let tasks = gaia_service::Tasks::default();
    let mut elsewhere = player.clone();
    elsewhere.gateway = cluster.another_gateway(&tasks).await;
    let again = Events::of(resuming(&elsewhere, &conversation, &turn, 0).send().await.unwrap())
        .rest()
        .await;
    assert_eq!(again[0].event, "final");
    assert!(tasks.drain(Duration::from_secs(5)).await);
}
