//! `auth.deletions`: players whom chat must still forget.

use deadpool_postgres::GenericClient;
use gaia_names::PlayerId;
use gaia_service::postgres::PostgresFault;

pub(crate) async fn add(client: &impl GenericClient, player: PlayerId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("INSERT INTO auth.deletions (player_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .await?;
    client.execute(&statement, &[&player.0]).await?;
    Ok(())
}

/// Takes the deletion that is due longest, for 15 seconds: if this process is lost meanwhile, another takes it then.
pub(crate) async fn take(client: &impl GenericClient) -> Result<Option<PlayerId>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "UPDATE auth.deletions SET tries = tries + 1, next_try_at = now() + interval '15 seconds'
              WHERE player_id = (
                 SELECT player_id FROM auth.deletions
                  WHERE next_try_at <= now() ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING player_id",
        )
        .await?;
    let row = client.query_opt(&statement, &[]).await?;
    row.map(|row| Ok(PlayerId(row.try_get("player_id")?))).transpose()
}

/// Chat did not answer: waits 2, 4, 8 ... 256 seconds.
pub(crate) async fn put_off(client: &impl GenericClient, player: PlayerId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached(
            "UPDATE auth.deletions SET next_try_at = now() + make_interval(secs => 2 ^ least(tries, 8))
              WHERE player_id = $1",
        )
        .await?;
    client.execute(&statement, &[&player.0]).await?;
    Ok(())
}

/// Chat has forgotten the player.
pub(crate) async fn finish(client: &impl GenericClient, player: PlayerId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("DELETE FROM auth.deletions WHERE player_id = $1")
        .await?;
    client.execute(&statement, &[&player.0]).await?;
    Ok(())
}

/// How many players chat must still forget.
pub(crate) async fn count(client: &impl GenericClient) -> Result<i64, PostgresFault> {
    let statement = client.prepare_cached("SELECT count(*) FROM auth.deletions").await?;
    Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
}
