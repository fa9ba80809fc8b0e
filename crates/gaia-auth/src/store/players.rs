//! `auth.players`: who plays.

use deadpool_postgres::GenericClient;
use gaia_names::PlayerId;
use gaia_protocol::auth::{Player, Role};
use gaia_service::postgres::PostgresFault;
use tokio_postgres::Row;

use crate::email::Email;

/// The constraint that two players with one email violate.
pub(crate) const BY_EMAIL: &str = "players_email";

/// Reads `id, display_name, email, role, created_at`, in whatever order.
pub(crate) fn from_row(row: &Row) -> Result<Player, PostgresFault> {
    let email: Option<String> = row.try_get("email")?;
    let role: &str = row.try_get("role")?;
    Ok(Player {
        id: PlayerId(row.try_get("id")?),
        display_name: row.try_get("display_name")?,
        is_guest: email.is_none(),
        email,
        // The table takes only these three.
        role: match role {
            "admin" => Role::Admin,
            "moderator" => Role::Moderator,
            _ => Role::Player,
        },
        created_at: row.try_get("created_at")?,
    })
}

pub(crate) async fn find(client: &impl GenericClient, player: PlayerId) -> Result<Option<Player>, PostgresFault> {
    let statement = client
        .prepare_cached("SELECT id, display_name, email, role, created_at FROM auth.players WHERE id = $1")
        .await?;
    let row = client.query_opt(&statement, &[&player.0]).await?;
    row.as_ref().map(from_row).transpose()
}

/// A player and their password's hash, by email.
pub(crate) async fn find_by_email(
    client: &impl GenericClient,
    email: &Email,
) -> Result<Option<(Player, String)>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT id, display_name, email, role, created_at, password_hash FROM auth.players WHERE email_key = $1",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&email.key]).await? else {
        return Ok(None);
    };
    Ok(Some((from_row(&row)?, row.try_get("password_hash")?)))
}

/// A new guest with their device, in one statement: of two at once with the same device, one violates
/// [`super::devices::BY_DEVICE`] and leaves nothing.
pub(crate) async fn add_guest(
    client: &impl GenericClient,
    display_name: &str,
    device_hash: &[u8],
) -> Result<Player, PostgresFault> {
    let statement = client
        .prepare_cached(
            "WITH player AS (
                 INSERT INTO auth.players (id, display_name) VALUES ($1, $2)
                 RETURNING id, display_name, email, role, created_at
             ), device AS (
                 INSERT INTO auth.devices (device_hash, player_id) SELECT $3, id FROM player
             )
             SELECT id, display_name, email, role, created_at FROM player",
        )
        .await?;
    let id = PlayerId::fresh().0;
    from_row(
        &client
            .query_one(&statement, &[&id, &display_name, &device_hash])
            .await?,
    )
}

/// A new player who signed up.
pub(crate) async fn add(
    client: &impl GenericClient,
    display_name: &str,
    email: &Email,
    password_hash: &str,
) -> Result<Player, PostgresFault> {
    let statement = client
        .prepare_cached(
            "INSERT INTO auth.players (id, display_name, email, email_key, password_hash) VALUES ($1, $2, $3, $4, $5)
             RETURNING id, display_name, email, role, created_at",
        )
        .await?;
    let id = PlayerId::fresh().0;
    let row = client
        .query_one(
            &statement,
            &[&id, &display_name, &email.shown, &email.key, &password_hash],
        )
        .await?;
    from_row(&row)
}

/// Gives a guest an email and a password; none if there is no such guest. The name stays unless there is a new one.
pub(crate) async fn sign_up_guest(
    client: &impl GenericClient,
    guest: PlayerId,
    display_name: Option<&str>,
    email: &Email,
    password_hash: &str,
) -> Result<Option<Player>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "UPDATE auth.players
                SET email = $2, email_key = $3, password_hash = $4, display_name = coalesce($5, display_name)
              WHERE id = $1 AND email_key IS NULL
             RETURNING id, display_name, email, role, created_at",
        )
        .await?;
    let row = client
        .query_opt(
            &statement,
            &[&guest.0, &email.shown, &email.key, &password_hash, &display_name],
        )
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Keeps a better hash of the same password, unless the password was changed meanwhile.
pub(crate) async fn rehash(
    client: &impl GenericClient,
    player: PlayerId,
    old: &str,
    new: &str,
) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("UPDATE auth.players SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
        .await?;
    client.execute(&statement, &[&player.0, &old, &new]).await?;
    Ok(())
}

pub(crate) async fn rename(
    client: &impl GenericClient,
    player: PlayerId,
    display_name: &str,
) -> Result<Option<Player>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "UPDATE auth.players SET display_name = $2 WHERE id = $1
             RETURNING id, display_name, email, role, created_at",
        )
        .await?;
    let row = client.query_opt(&statement, &[&player.0, &display_name]).await?;
    row.as_ref().map(from_row).transpose()
}

pub(crate) async fn set_role(
    client: &impl GenericClient,
    player: PlayerId,
    role: Role,
) -> Result<Option<Player>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "UPDATE auth.players SET role = $2 WHERE id = $1 RETURNING id, display_name, email, role, created_at",
        )
        .await?;
    let role = match role {
        Role::Player => "player",
        Role::Moderator => "moderator",
        Role::Admin => "admin",
    };
    let row = client.query_opt(&statement, &[&player.0, &role]).await?;
    row.as_ref().map(from_row).transpose()
}

/// Holds a player against new sessions until the transaction ends. False if there is none.
pub(crate) async fn lock(client: &impl GenericClient, player: PlayerId) -> Result<bool, PostgresFault> {
    let statement = client
        .prepare_cached("SELECT 1 FROM auth.players WHERE id = $1 FOR UPDATE")
        .await?;
    Ok(client.query_opt(&statement, &[&player.0]).await?.is_some())
}

/// Deletes a player and, by the foreign key, their devices.
pub(crate) async fn delete(client: &impl GenericClient, player: PlayerId) -> Result<(), PostgresFault> {
    let statement = client.prepare_cached("DELETE FROM auth.players WHERE id = $1").await?;
    client.execute(&statement, &[&player.0]).await?;
    Ok(())
}
