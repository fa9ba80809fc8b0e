//! `auth.devices`: what guests come back with.

use deadpool_postgres::GenericClient;
use gaia_names::PlayerId;
use gaia_protocol::auth::Player;
use gaia_service::postgres::PostgresFault;

/// The constraint that the same device a second time violates.
pub(crate) const BY_DEVICE: &str = "devices_key";

pub(crate) async fn player_of(
    client: &impl GenericClient,
    device_hash: &[u8],
) -> Result<Option<Player>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT id, display_name, email, role, players.created_at
               FROM auth.devices JOIN auth.players ON players.id = devices.player_id
              WHERE device_hash = $1",
        )
        .await?;
    let row = client.query_opt(&statement, &[&device_hash]).await?;
    row.as_ref().map(super::players::from_row).transpose()
}

/// The player has a password now, so their devices are no way in any more.
pub(crate) async fn forget(client: &impl GenericClient, player: PlayerId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("DELETE FROM auth.devices WHERE player_id = $1")
        .await?;
    client.execute(&statement, &[&player.0]).await?;
    Ok(())
}
