//! The published generations of the checked game.

use gaia_protocol::bundle::Bundle;
use gaia_service::{Postgres, postgres::PostgresFault};
use tokio_postgres::types::Json;

/// Keeps a generation unless it is there, and says what is kept under its number. `None`: what is kept cannot be read
/// by this version.
pub(crate) async fn keep(postgres: &Postgres, bundle: &Bundle) -> Result<Option<Bundle>, PostgresFault> {
    const KEEP: &str = "
        WITH kept AS (
            INSERT INTO chat.bundles (generation, bundle) VALUES ($1, $2)
            ON CONFLICT (game_id, generation) DO NOTHING
            RETURNING bundle
        )
        SELECT bundle FROM kept UNION ALL SELECT bundle FROM chat.bundles WHERE generation = $1 LIMIT 1";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(KEEP).await?;
    let generation = i64::try_from(bundle.generation).unwrap_or(i64::MAX);
    let row = client.query_one(&statement, &[&generation, &Json(bundle)]).await?;
    Ok(read(row.get(0)))
}

/// The highest generation above one, if there is any that this version can read.
pub(crate) async fn newest_above(postgres: &Postgres, generation: u64) -> Result<Option<Bundle>, PostgresFault> {
    const NEWEST: &str = "SELECT bundle FROM chat.bundles WHERE generation > $1 ORDER BY generation DESC LIMIT 1";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(NEWEST).await?;
    let generation = i64::try_from(generation).unwrap_or(i64::MAX);
    let row = client.query_opt(&statement, &[&generation]).await?;
    Ok(row.and_then(|row| read(row.get(0))))
}

fn read(Json(kept): Json<serde_json::Value>) -> Option<Bundle> {
    serde_json::from_value(kept)
        .inspect_err(|error| tracing::error!(error = %error, "a kept bundle cannot be read: {error}"))
        .ok()
}
