//! Deletes sessions, refresh tokens and keys that nobody can need any more, a few at a time.

use std::{sync::Arc, time::Duration};

use gaia_service::{Tasks, postgres::PostgresFault, telemetry::chain};

use crate::{game::Game, store};

const PERIOD: Duration = Duration::from_secs(600);
/// A session brings its refresh tokens along, up to a few thousand, so only few go at once.
const SESSIONS: i64 = 50;
const TOKENS: i64 = 500;

/// Cleans one game at once and then every ten minutes, until the process drains.
pub(crate) async fn keep_clean(game: Arc<Game>, tasks: Tasks) {
    loop {
        match clean(&game, &tasks).await {
            Ok(rows) => {
                metrics::counter!("gaia_auth_cleaned_rows_total", "game" => game.id.to_string()).increment(rows);
            }
            Err(fault) => {
                let (id, error) = (&game.id, chain(&fault));
                tracing::warn!(game.name = %id, error, "old sessions of `{id}` are deleted later: {error}");
            }
        }
        tokio::select! {
            () = tasks.draining() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn clean(game: &Game, tasks: &Tasks) -> Result<u64, PostgresFault> {
    let mut deleted = store::signing_keys::clean(&game.postgres.client().await?).await?;
    while !tasks.is_draining() {
        let client = game.postgres.client().await?;
        let tokens = store::refresh_tokens::clean(&client, TOKENS).await?;
        let sessions = store::sessions::clean(&client, SESSIONS).await?;
        deleted += tokens + sessions;
        if tokens == 0 && sessions == 0 {
            break;
        }
    }
    Ok(deleted)
}
