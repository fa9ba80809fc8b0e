//! `auth.refresh_tokens`: what sessions are prolonged with. Used tokens stay for 30 days.

use deadpool_postgres::GenericClient;
use gaia_names::SessionId;
use gaia_protocol::auth::Player;
use gaia_service::postgres::PostgresFault;

/// A token that cannot be exchanged.
pub(crate) struct Spent {
    /// The session it belongs to.
    pub(crate) session: SessionId,
    /// Whether it was exchanged before. If not, its session has ended.
    pub(crate) was_used: bool,
}

/// Exchanges a token for its successor and prolongs the session. One statement, so that of two uses at once exactly one
/// finds the token unused. Returns nothing, and changes nothing, where the token is unknown, used, or its session ended.
pub(crate) async fn exchange(
    client: &impl GenericClient,
    token_hash: &[u8],
    successor_hash: &[u8],
) -> Result<Option<(SessionId, Player)>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "WITH used AS (
                 UPDATE auth.refresh_tokens SET used_at = now()
                  WHERE token_hash = $1 AND used_at IS NULL AND EXISTS (
                     SELECT FROM auth.sessions
                      WHERE sessions.id = refresh_tokens.session_id AND ended_at IS NULL AND expires_at > now())
                 RETURNING session_id
             ), session AS (
                 UPDATE auth.sessions SET expires_at = now() + interval '30 days'
                   FROM used
                  WHERE sessions.id = used.session_id AND ended_at IS NULL AND expires_at > now()
                 RETURNING sessions.id, sessions.player_id
             ), successor AS (
                 INSERT INTO auth.refresh_tokens (token_hash, session_id) SELECT $2, id FROM session
             )
             SELECT session.id AS session_id, players.id, display_name, email, role, players.created_at
               FROM session JOIN auth.players ON players.id = session.player_id",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&token_hash, &successor_hash]).await? else {
        return Ok(None);
    };
    let session = SessionId(row.try_get("session_id")?);
    Ok(Some((session, super::players::from_row(&row)?)))
}

/// Why a token could not be exchanged; none if it is not one of ours.
pub(crate) async fn find_spent(client: &impl GenericClient, token_hash: &[u8]) -> Result<Option<Spent>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT session_id, used_at IS NOT NULL AS was_used FROM auth.refresh_tokens WHERE token_hash = $1",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&token_hash]).await? else {
        return Ok(None);
    };
    Ok(Some(Spent {
        session: SessionId(row.try_get("session_id")?),
        was_used: row.try_get("was_used")?,
    }))
}

/// Deletes some of the tokens that were used so long ago that the session they prolonged would be over by now, had it
/// not been prolonged since. Returns how many.
pub(crate) async fn clean(client: &impl GenericClient, limit: i64) -> Result<u64, PostgresFault> {
    let statement = client
        .prepare_cached(
            "DELETE FROM auth.refresh_tokens WHERE token_hash IN (
                 SELECT token_hash FROM auth.refresh_tokens
                  WHERE used_at < now() - interval '30 days'
                  LIMIT $1 FOR UPDATE SKIP LOCKED)",
        )
        .await?;
    Ok(client.execute(&statement, &[&limit]).await?)
}
