//! `auth.sessions`: sign-ins. A session lasts 30 days from its last refresh.

use deadpool_postgres::GenericClient;
use gaia_names::{PlayerId, SessionId};
use gaia_protocol::keys::REVOKED_SECONDS;
use gaia_service::postgres::PostgresFault;
use tokio_postgres::Row;
use uuid::Uuid;

/// The constraint that a session of a player who was deleted meanwhile violates.
pub(crate) const OF_PLAYER: &str = "sessions_player";

/// Starts a session with its first refresh token. A player has at most 20; the oldest that are too many end, and are
/// returned.
pub(crate) async fn start(
    client: &impl GenericClient,
    session: SessionId,
    player: PlayerId,
    token_hash: &[u8],
) -> Result<Vec<SessionId>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "WITH started AS (
                 INSERT INTO auth.sessions (id, player_id, expires_at) VALUES ($1, $2, now() + interval '30 days')
                 RETURNING id
             ), token AS (
                 INSERT INTO auth.refresh_tokens (token_hash, session_id) SELECT $3, id FROM started
             )
             UPDATE auth.sessions SET ended_at = now()
              WHERE ended_at IS NULL AND id IN (
                 SELECT id FROM auth.sessions
                  WHERE player_id = $2 AND ended_at IS NULL AND expires_at > now()
                  ORDER BY id DESC OFFSET 19)
             RETURNING id",
        )
        .await?;
    let rows = client.query(&statement, &[&session.0, &player.0, &token_hash]).await?;
    ids(&rows)
}

/// Whether a session holds, or a key whose id stands in a session's place.
pub(crate) async fn is_open(client: &impl GenericClient, session: SessionId) -> Result<bool, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT 1 FROM auth.sessions WHERE id = $1 AND ended_at IS NULL AND expires_at > now()
             UNION ALL
             SELECT 1 FROM auth.api_keys WHERE id = $1 AND revoked_at IS NULL",
        )
        .await?;
    Ok(client.query_opt(&statement, &[&session.0]).await?.is_some())
}

/// Ends one session. Ending it again changes nothing.
pub(crate) async fn end(client: &impl GenericClient, session: SessionId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("UPDATE auth.sessions SET ended_at = now() WHERE id = $1 AND ended_at IS NULL")
        .await?;
    client.execute(&statement, &[&session.0]).await?;
    Ok(())
}

/// Ends all sessions of a player. Returns them, and those that ended so lately that an access token of theirs may still
/// be about: so a sign-out that is repeated because Redis was away writes all of them.
pub(crate) async fn end_all(client: &impl GenericClient, player: PlayerId) -> Result<Vec<SessionId>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "WITH ended AS (
                 UPDATE auth.sessions SET ended_at = now() WHERE player_id = $1 AND ended_at IS NULL RETURNING id
             )
             SELECT id FROM ended
             UNION
             SELECT id FROM auth.sessions WHERE player_id = $1 AND ended_at > now() - make_interval(secs => $2)",
        )
        .await?;
    let rows = client.query(&statement, &[&player.0, &window()]).await?;
    ids(&rows)
}

/// Takes the player off their sessions, so that the player can be deleted and the revocations stay.
pub(crate) async fn disown(client: &impl GenericClient, player: PlayerId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("UPDATE auth.sessions SET player_id = NULL WHERE player_id = $1")
        .await?;
    client.execute(&statement, &[&player.0]).await?;
    Ok(())
}

/// The next sessions that ended while one of their access tokens may still be about, and keys that were revoked while a
/// gateway may still take them for good, in the order of their ids.
pub(crate) async fn ended_lately(
    client: &impl GenericClient,
    after: SessionId,
    limit: i64,
) -> Result<Vec<SessionId>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT id FROM auth.sessions WHERE ended_at > now() - make_interval(secs => $1) AND id > $2
             UNION ALL
             SELECT id FROM auth.api_keys WHERE revoked_at > now() - make_interval(secs => $1) AND id > $2
              ORDER BY id LIMIT $3",
        )
        .await?;
    let rows = client.query(&statement, &[&window(), &after.0, &limit]).await?;
    ids(&rows)
}

/// Deletes some of the sessions that nobody can need any more, with their refresh tokens. Returns how many.
pub(crate) async fn clean(client: &impl GenericClient, limit: i64) -> Result<u64, PostgresFault> {
    let statement = client
        .prepare_cached(
            "DELETE FROM auth.sessions WHERE id IN (
                 SELECT id FROM auth.sessions
                  WHERE expires_at < now() - interval '1 day' OR ended_at < now() - interval '1 day'
                  LIMIT $1 FOR UPDATE SKIP LOCKED)",
        )
        .await?;
    Ok(client.execute(&statement, &[&limit]).await?)
}

#[expect(clippy::cast_precision_loss, reason = "it is some hundred seconds")]
fn window() -> f64 {
    REVOKED_SECONDS as f64
}

fn ids(rows: &[Row]) -> Result<Vec<SessionId>, PostgresFault> {
    let id = |row: &Row| Ok(SessionId(row.try_get::<_, Uuid>("id")?));
    rows.iter().map(id).collect()
}
