//! What an operator should know, told once.

use gaia_service::{Postgres, postgres::PostgresFault};
use serde::Serialize;
use tokio_postgres::types::Json;
use uuid::Uuid;

/// Keeps an event unless it is there already; true if it is new. Events of the quarter before last are let go.
pub(crate) async fn add(
    postgres: &Postgres,
    kind: &str,
    key: &str,
    data: &(impl Serialize + Sync + std::fmt::Debug),
) -> Result<bool, PostgresFault> {
    const ADD: &str = "
        WITH old AS (DELETE FROM chat.events WHERE created_at < now() - interval '180 days')
        INSERT INTO chat.events (id, kind, key, data) VALUES ($1, $2, $3, $4)
        ON CONFLICT (game_id, kind, key) DO NOTHING";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(ADD).await?;
    let added = client
        .execute(&statement, &[&Uuid::now_v7(), &kind, &key, &Json(data)])
        .await?;
    Ok(added > 0)
}
