//! `auth.named_players`: players whom the holders of keys name.

use deadpool_postgres::GenericClient;
use gaia_names::PlayerId;
use gaia_service::postgres::PostgresFault;

/// The constraint that the same name a second time violates.
pub(crate) const BY_NAME: &str = "named_players_key";

pub(crate) async fn find(client: &impl GenericClient, name_hash: &[u8]) -> Result<Option<PlayerId>, PostgresFault> {
    let statement = client
        .prepare_cached("SELECT player_id FROM auth.named_players WHERE name_hash = $1")
        .await?;
    let row = client.query_opt(&statement, &[&name_hash]).await?;
    row.map(|row| Ok(PlayerId(row.try_get("player_id")?))).transpose()
}

/// A new player with this name, in one statement: of two at once, one violates [`BY_NAME`] and leaves nothing.
pub(crate) async fn add(
    client: &impl GenericClient,
    display_name: &str,
    name_hash: &[u8],
) -> Result<PlayerId, PostgresFault> {
    let statement = client
        .prepare_cached(
            "WITH player AS (
                 INSERT INTO auth.players (id, display_name) VALUES ($1, $2) RETURNING id
             )
             INSERT INTO auth.named_players (name_hash, player_id) SELECT $3, id FROM player",
        )
        .await?;
    let player = PlayerId::fresh();
    client
        .execute(&statement, &[&player.0, &display_name, &name_hash])
        .await?;
    Ok(player)
}
