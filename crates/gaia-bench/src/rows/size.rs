//! Rows about time to be there and memory.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use futures::{SinkExt, StreamExt, future::try_join_all};
use gaia_testkit::Script;
use serde_json::{Value, json};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::{client::Player, cluster::Cluster, table::Measured};

const SOCKETS: usize = 15_000;

/// From a game folder and nothing else to the first answer of a character.
pub(crate) async fn first_answer() -> Result<Measured> {
    let began = std::time::Instant::now();
    let cluster = Cluster::up(Script::says("Welcome.")).await?;
    let mut player = Player::enter(cluster.gateway).await?;
    let conversation = player.post("/v1/conversations", &json!({ "persona": "guide" })).await?;
    let id = conversation["id"].as_str().context("a conversation has an id")?;
    let turn = player
        .post(&format!("/v1/conversations/{id}/turns"), &json!({ "text": "Hello" }))
        .await?;
    anyhow::ensure!(turn["reply"]["text"] == "Welcome.", "not the model's answer: {turn}");
    let took = began.elapsed();
    Ok(Measured {
        target: "< 5 s",
        seen: format!(
            "{:.1} s, of which `gaia up` {:.1} s",
            took.as_secs_f64(),
            cluster.up.as_secs_f64()
        ),
        reached: Some(took < Duration::from_secs(5)),
    })
}

/// The memory of a game that nobody plays.
pub(crate) async fn idle_memory() -> Result<Measured> {
    let cluster = Cluster::up(Script::says("Welcome.")).await?;
    let mut player = Player::enter(cluster.gateway).await?;
    player.get("/v1/conversations").await?;
    // What start-up needed is given back after a moment; what is left is what an idle game costs.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ours = cluster
        .memory(|name| !["postgres", "redis", "nats"].contains(&name))
        .await?;
    let total: u64 = ours.iter().map(|(_, kib)| kib).sum();
    let parts: Vec<String> = ours
        .iter()
        .map(|(name, kib)| format!("{name} {:.1}", mib(*kib)))
        .collect();
    Ok(Measured {
        target: "< 40 MiB (PSS)",
        seen: format!("{:.1} MiB ({})", mib(total), parts.join(", ")),
        reached: Some(mib(total) < 40.0),
    })
}

/// Sockets that are signed in and say nothing.
pub(crate) async fn sockets() -> Result<Measured> {
    let cluster = Cluster::up(Script::says("Welcome.")).await?;
    let player = Player::enter(cluster.gateway).await?;
    let sign_in = json!({ "type": "sign_in", "access_token": player.token() }).to_string();
    let gateway = |name: &str| name.starts_with("gateway");
    // The first few pay for what all share.
    let mut open = Vec::with_capacity(SOCKETS);
    open.extend(many(cluster.gateway, &sign_in, 500).await?);
    let before = cluster.memory(gateway).await?.iter().map(|(_, kib)| kib).sum::<u64>();
    while open.len() < SOCKETS {
        open.extend(many(cluster.gateway, &sign_in, 250).await?);
    }
    let after = cluster.memory(gateway).await?.iter().map(|(_, kib)| kib).sum::<u64>();
    let added = u32::try_from(open.len() - 500)?;
    let each = mib(after.saturating_sub(before)) * 1024.0 / f64::from(added);
    // Still alive, all of them? The last and the first answer.
    for index in [0, open.len() - 1] {
        open[index]
            .send(Message::text(json!({ "type": "ping" }).to_string()))
            .await?;
        anyhow::ensure!(told(&mut open[index]).await?["type"] == "pong", "a socket is dead");
    }
    Ok(Measured {
        target: "15,000; < 10 KiB each",
        seen: format!("{} open, {each:.1} KiB each", open.len()),
        reached: Some(open.len() >= SOCKETS && each < 10.0),
    })
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn many(gateway: SocketAddr, sign_in: &str, count: usize) -> Result<Vec<Socket>> {
    try_join_all((0..count).map(|_| socket(gateway, sign_in))).await
}

async fn socket(gateway: SocketAddr, sign_in: &str) -> Result<Socket> {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{gateway}/v1/realtime")).await?;
    socket.send(Message::text(sign_in)).await?;
    anyhow::ensure!(
        told(&mut socket).await?["type"] == "signed_in",
        "the gateway did not take the token"
    );
    Ok(socket)
}

async fn told(socket: &mut Socket) -> Result<Value> {
    loop {
        match socket.next().await.context("the socket closed")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(frame) => anyhow::bail!("the socket closed: {frame:?}"),
            _ => {}
        }
    }
}

fn mib(kib: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a process's memory in KiB fits")]
    let kib = kib as f64;
    kib / 1024.0
}
