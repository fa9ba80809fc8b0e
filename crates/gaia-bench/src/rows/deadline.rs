//! Rows about the promise of `response_time_target`: two providers, of which one stalls in the middle of the load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::future::{join_all, try_join_all};
use gaia_testkit::Script;
use serde_json::json;
use tokio::{sync::Mutex, time::MissedTickBehavior};

use super::load::with_conversation;
use crate::{
    client::{Player, spawn},
    cluster::Cluster,
    table::{self, Measured},
};

const RATE: u32 = 50;
/// How long both providers are well, and how long the first then stalls.
const WELL: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(20);
/// How long after the stall began the first provider is left alone for certain.
const NOTICED: Duration = Duration::from_secs(2);
/// How long a provider takes to its first token.
const MODEL: Duration = Duration::from_millis(50);

/// What a player saw of one turn, from the moment it was sent.
struct Seen {
    /// When it was sent, from the beginning of the load.
    sent: Duration,
    useful: Option<Duration>,
    word: Option<Duration>,
}

/// One target.
pub(crate) async fn kept(target: Duration) -> Result<Measured> {
    let script = || Script::says("It is north of the market, past the mill.").after(MODEL);
    let promise = format!("response_time_target: {}ms", target.as_millis());
    let cluster = Cluster::up_with(vec![script(), script()], &promise).await?;
    let players = try_join_all((0..RATE * 2).map(|_| with_conversation(&cluster))).await?;
    let calls = || cluster.llms.iter().map(gaia_testkit::ScriptedLlm::calls).sum::<usize>();
    let seen = load(players, || {
        // Whoever is asked from here on hears nothing until it hangs up.
        let asked = calls();
        cluster.llms[0].always(Script::says("").after(Duration::from_hours(1)));
        asked
    })
    .await?;
    let (asked_in_health, seen) = seen;
    let well = seen.iter().filter(|seen| seen.sent < WELL).count();
    let hedges = share(asked_in_health.saturating_sub(well), asked_in_health);
    let in_time = |seen: &&Seen, at: fn(&Seen) -> Option<Duration>| at(seen).is_some_and(|took| took <= target);
    let useful = seen.iter().filter(|seen| in_time(seen, |seen| seen.useful)).count();
    let useful = share(useful, seen.len());
    let noticed: Vec<_> = seen.iter().filter(|seen| seen.sent > WELL + NOTICED).collect();
    let words = noticed.iter().filter(|seen| in_time(seen, |seen| seen.word)).count();
    let words = share(words, noticed.len());
    Ok(Measured {
        target: "useful >= 99.5 %, word >= 99 %, hedges <= 5 %",
        seen: format!(
            "useful {useful:.2} %, word {words:.2} %, hedges in health {hedges:.1} % over {} turns",
            seen.len()
        ),
        reached: Some(useful >= 99.5 && words >= 99.0 && hedges <= 5.0),
    })
}

/// Turns at a fixed rate, through the moment in which the first provider stalls.
async fn load<T>(players: Vec<(Player, String)>, stall: impl FnOnce() -> T) -> Result<(T, Vec<Seen>)> {
    let players: Vec<_> = players.into_iter().map(|player| Arc::new(Mutex::new(player))).collect();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    let (mut stall, mut stalled) = (Some(stall), None);
    let mut begun = Vec::new();
    while began.elapsed() < WELL + STALLED {
        ticks.tick().await;
        if began.elapsed() >= WELL
            && let Some(stall) = stall.take()
        {
            stalled = Some(stall());
        }
        let number = begun.len();
        let player = Arc::clone(&players[number % players.len()]);
        begun.push(spawn(async move {
            let mut player = player.lock().await;
            let (player, conversation) = &mut *player;
            let path = format!("/v1/conversations/{conversation}/turns");
            let asked = Instant::now();
            let body = json!({ "text": format!("Where is it? ({number})") });
            let marks = player
                .post_streamed(&path, &body, &[b"event: interim", b"event: delta"])
                .await?;
            let after = |at: Option<Instant>| at.map(|at| at - asked);
            anyhow::Ok(Seen {
                sent: asked - began,
                useful: after(marks.iter().flatten().min().copied()),
                word: after(marks[1]),
            })
        }));
    }
    let mut seen = Vec::new();
    for one in join_all(begun).await {
        match one? {
            Ok(one) => seen.push(one),
            Err(fault) => {
                table::say(&format!("a turn failed: {fault:#}"));
                seen.push(Seen {
                    sent: began.elapsed(),
                    useful: None,
                    word: None,
                });
            }
        }
    }
    Ok((
        stalled.ok_or_else(|| anyhow::anyhow!("the load ended before the stall"))?,
        seen,
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts of half a minute fit")]
fn share(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
