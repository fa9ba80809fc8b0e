//! Asks chat to forget the players who were deleted, until chat has answered.

use std::{sync::Arc, time::Duration};

use gaia_names::PlayerId;
use gaia_protocol::{Fault, chat::ForgetPlayer};
use gaia_service::{Call, Tasks, postgres::PostgresFault, telemetry::chain};

use crate::{game::Game, store};

/// How often deletions that are due are looked for; a new one is taken at once.
const LOOK: Duration = Duration::from_secs(2);
/// How long chat may take for one player; less than the 15 seconds for which a deletion is taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries out one game's deletions until the process drains. Several instances share them.
pub(crate) async fn carry_out(game: Arc<Game>, tasks: Tasks) {
    let waiting = metrics::gauge!("gaia_auth_deletions_waiting", "game" => game.id.to_string());
    loop {
        tokio::select! {
            () = tasks.draining() => return,
            () = game.deleted.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        while let Some(player) = take(&game).await {
            if tasks.is_draining() {
                return;
            }
            let answer = ask(&game, player).await;
            if let Err(fault) = settle(&game, player, answer).await {
                let (id, error) = (&game.id, chain(&fault));
                tracing::warn!(game.name = %id, error, "a deletion in `{id}` will be asked for again: {error}");
            }
        }
        if let Ok(count) = count(&game).await {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and there are few")]
            waiting.set(count as f64);
        }
    }
}

/// A lost Postgres is no news here: readiness names it, and the row waits.
async fn take(game: &Game) -> Option<PlayerId> {
    let client = game.postgres.client().await.ok()?;
    store::deletions::take(&client).await.ok()?
}

async fn ask(game: &Game, player: PlayerId) -> Result<(), Fault> {
    let call = Call::new(format!("forget-{player}"), PATIENCE);
    game.bus.ask(&call, &ForgetPlayer { player }).await
}

async fn settle(game: &Game, player: PlayerId, answer: Result<(), Fault>) -> Result<(), PostgresFault> {
    let client = game.postgres.client().await?;
    match answer {
        Ok(()) => {
            store::deletions::finish(&client, player).await?;
            tracing::info!(player.id = %player, "chat has forgotten player {player}");
            Ok(())
        }
        Err(fault) => {
            tracing::warn!(player.id = %player, code = %fault.code, "chat has not forgotten player {player} yet: {fault}");
            store::deletions::put_off(&client, player).await
        }
    }
}

async fn count(game: &Game) -> Result<i64, PostgresFault> {
    store::deletions::count(&game.postgres.client().await?).await
}
