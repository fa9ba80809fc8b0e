//! `auth.signing_keys`: the public halves of the keys with which instances sign.

use deadpool_postgres::GenericClient;
use gaia_service::postgres::PostgresFault;
use jsonwebtoken::jwk::Jwk;
use tokio_postgres::types::Json;

/// Shows a key for so many seconds from now on.
pub(crate) async fn show(client: &impl GenericClient, key: &Jwk, seconds: i64) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached(
            "INSERT INTO auth.signing_keys (id, key, shown_until)
             VALUES ($1, $2, now() + $3::bigint * interval '1 second')
             ON CONFLICT ON CONSTRAINT signing_keys_key
             DO UPDATE SET shown_until = greatest(signing_keys.shown_until, excluded.shown_until)",
        )
        .await?;
    client
        .execute(&statement, &[&key.common.key_id, &Json(key), &seconds])
        .await?;
    Ok(())
}

/// The keys that are to be shown, the newest first.
pub(crate) async fn read(client: &impl GenericClient) -> Result<Vec<Jwk>, PostgresFault> {
    let statement = client
        .prepare_cached("SELECT key FROM auth.signing_keys WHERE shown_until > now() ORDER BY shown_at DESC")
        .await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| {
            row.try_get::<_, Json<Jwk>>(0)
                .map(|Json(key)| key)
                .map_err(PostgresFault::from)
        })
        .collect()
}

/// Deletes those that nobody needs any more. Returns how many.
pub(crate) async fn clean(client: &impl GenericClient) -> Result<u64, PostgresFault> {
    let statement = client
        .prepare_cached("DELETE FROM auth.signing_keys WHERE shown_until <= now()")
        .await?;
    Ok(client.execute(&statement, &[]).await?)
}
