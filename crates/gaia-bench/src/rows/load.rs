//! Rows about speed under load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::future::{join_all, try_join_all};
use gaia_testkit::Script;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    client::{Player, spawn},
    cluster::Cluster,
    table::{self, Measured},
};

const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(10);

/// A list of a player's conversations, as fast as 64 clients can ask.
pub(crate) async fn reads() -> Result<Measured> {
    let cluster = Cluster::up(Script::says("Yes.")).await?;
    let mut players = Vec::new();
    for _ in 0..64 {
        let (mut player, _) = with_conversation(&cluster).await?;
        for _ in 0..4 {
            player.post("/v1/conversations", &json!({ "persona": "guide" })).await?;
        }
        players.push(player);
    }
    let clients = players.into_iter().map(|mut player| async move {
        let mut watch = Watch::start();
        while watch.goes_on() {
            player.get("/v1/conversations").await?;
            watch.answered()?;
        }
        Ok(watch.times)
    });
    let (per_second, times) = together(clients).await?;
    let p99 = table::at(&times, 0.99);
    Ok(Measured {
        target: "8,000/s, p99 < 20 ms",
        seen: format!(
            "{per_second:.0}/s, p50 {:.1} ms, p99 {p99:.1} ms",
            table::at(&times, 0.5)
        ),
        reached: Some(per_second >= 8_000.0 && p99 < 20.0),
    })
}

/// Turns on a model that answers at once, as fast as 32 clients can take them.
pub(crate) async fn turns() -> Result<Measured> {
    let cluster = Cluster::up(Script::says("The bridge is north of the market, past the mill.")).await?;
    let players = try_join_all((0..32).map(|_| with_conversation(&cluster))).await?;
    let clients = players.into_iter().map(|(mut player, conversation)| async move {
        let path = format!("/v1/conversations/{conversation}/turns");
        let mut watch = Watch::start();
        while watch.goes_on() {
            let text = format!("Where is the bridge? ({})", watch.times.len());
            player.post(&path, &json!({ "text": text })).await?;
            watch.answered()?;
        }
        Ok(watch.times)
    });
    let (per_second, times) = together(clients).await?;
    let p99 = table::at(&times, 0.99);
    Ok(Measured {
        target: "1,000/s, p99 < 60 ms",
        seen: format!(
            "{per_second:.0}/s, p50 {:.1} ms, p99 {p99:.1} ms",
            table::at(&times, 0.5)
        ),
        reached: Some(per_second >= 1_000.0 && p99 < 60.0),
    })
}

/// What the whole path adds to the first token of a model that takes 50 ms, at 200 turns a second, with this budget: the
/// same load goes to the model directly first.
pub(crate) async fn added(budget: &str) -> Result<Measured> {
    const RATE: u32 = 200;
    const MODEL: Duration = Duration::from_millis(50);
    let script = Script::says("It is north of the market.").after(MODEL);
    let cluster = Cluster::up_with(vec![script], budget).await?;
    let url: reqwest::Url = cluster.llms[0].openai_url().parse()?;
    let model = format!("127.0.0.1:{}", url.port().context("the model has a port")?).parse()?;
    let direct = try_join_all((0..RATE).map(|_| Player::connect(model))).await?;
    let ask = json!({ "model": "scripted", "stream": true, "messages": [{ "role": "user", "content": "Where?" }] });
    let body = Arc::new(ask);
    let direct = direct
        .into_iter()
        .map(|player| (player, "/v1/chat/completions".to_owned()))
        .collect();
    let direct = open_loop(direct, RATE, b"\"content\"", move |_| (*body).clone()).await?;
    let players = try_join_all((0..RATE).map(|_| with_conversation(&cluster))).await?;
    let players = players
        .into_iter()
        .map(|(player, id)| (player, format!("/v1/conversations/{id}/turns")))
        .collect();
    let ours = open_loop(
        players,
        RATE,
        b"event: delta",
        |n| json!({ "text": format!("Where is it? ({n})") }),
    )
    .await?;
    let p50 = table::at(&ours, 0.5) - table::at(&direct, 0.5);
    let p99 = table::at(&ours, 0.99) - table::at(&direct, 0.99);
    Ok(Measured {
        target: "p50 < 1 ms, p99 < 5 ms",
        seen: format!("p50 {p50:.2} ms, p99 {p99:.2} ms over {} turns", ours.len()),
        reached: Some(p50 < 1.0 && p99 < 5.0),
    })
}

/// A thousand conversations that begin at the same moment, on a model that takes a second to its first token.
pub(crate) async fn wave() -> Result<Measured> {
    let words = "word ".repeat(50);
    let script = Script::says(&words)
        .after(Duration::from_secs(1))
        .every(Duration::from_millis(50));
    let cluster = Cluster::up(script).await?;
    let mut players = Vec::new();
    for _ in 0..20 {
        players.extend(try_join_all((0..50).map(|_| with_conversation(&cluster))).await?);
    }
    let wave = players.into_iter().map(|(mut player, conversation)| {
        spawn(async move {
            let path = format!("/v1/conversations/{conversation}/turns");
            let began = Instant::now();
            let first = player
                .post_streamed(&path, &json!({ "text": "Hello?" }), &[b"event: delta"])
                .await?;
            anyhow::Ok(first[0].context("no first token came")? - began)
        })
    });
    let mut times = table::histogram();
    let mut failed = 0;
    for one in join_all(wave).await {
        match one? {
            Ok(first) => times.record(micros(first))?,
            Err(fault) => {
                failed += 1;
                table::say(&format!("a conversation failed: {fault:#}"));
            }
        }
    }
    let p99 = table::at(&times, 0.99);
    Ok(Measured {
        target: "all succeed, p99 of the first token < 1.5 s",
        seen: format!(
            "{failed} of 1,000 failed, p50 {:.0} ms, p99 {p99:.0} ms",
            table::at(&times, 0.5)
        ),
        reached: Some(failed == 0 && p99 < 1_500.0),
    })
}

/// A new guest with a conversation.
pub(super) async fn with_conversation(cluster: &Cluster) -> Result<(Player, String)> {
    let mut player = Player::enter(cluster.gateway).await?;
    let conversation = player.post("/v1/conversations", &json!({ "persona": "guide" })).await?;
    let id = conversation["id"]
        .as_str()
        .context("a conversation has an id")?
        .to_owned();
    Ok((player, id))
}

/// Times a client that asks again as soon as the answer is there; what comes in the warm-up is not counted.
struct Watch {
    began: Instant,
    asked: Instant,
    times: Histogram<u64>,
}

impl Watch {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            asked: Instant::now(),
            times: table::histogram(),
        }
    }

    fn goes_on(&mut self) -> bool {
        self.asked = Instant::now();
        self.asked - self.began < WARM_UP + MEASURED
    }

    fn answered(&mut self) -> Result<()> {
        if self.asked - self.began > WARM_UP {
            self.times.record(micros(self.asked.elapsed()))?;
        }
        Ok(())
    }
}

async fn together(
    clients: impl Iterator<Item = impl Future<Output = Result<Histogram<u64>>> + Send + 'static>,
) -> Result<(f64, Histogram<u64>)> {
    let mut all = table::histogram();
    for times in join_all(clients.map(spawn)).await {
        all.add(times??)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds fit")]
    let per_second = all.len() as f64 / MEASURED.as_secs_f64();
    Ok((per_second, all))
}

/// Begins turns at a fixed rate, whether or not earlier ones are over, and records the time to the mark.
async fn open_loop(
    players: Vec<(Player, String)>,
    rate: u32,
    mark: &'static [u8],
    body: impl Fn(u32) -> serde_json::Value,
) -> Result<Histogram<u64>> {
    let players: Vec<_> = players.into_iter().map(|player| Arc::new(Mutex::new(player))).collect();
    let warm_up = rate * 2;
    let total = rate * 12;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut begun = Vec::new();
    for number in 0..total {
        ticks.tick().await;
        let player = Arc::clone(&players[number as usize % players.len()]);
        let body = body(number);
        begun.push(spawn(async move {
            let mut player = player.lock().await;
            let (player, path) = &mut *player;
            let asked = Instant::now();
            let first = player.post_streamed(path, &body, &[mark]).await?;
            anyhow::Ok(first[0].context("no first token came")? - asked)
        }));
    }
    let mut times = table::histogram();
    for (number, one) in join_all(begun).await.into_iter().enumerate() {
        let first = one??;
        if number >= warm_up as usize {
            times.record(micros(first))?;
        }
    }
    Ok(times)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}
