//! `auth.api_keys`: what a game's own programs sign in with.

use deadpool_postgres::GenericClient;
use gaia_names::KeyId;
use gaia_protocol::api_keys::{ApiKey, KeyScope, KnownKey};
use gaia_service::postgres::PostgresFault;
use tokio_postgres::Row;

/// A key to be kept.
pub(crate) struct NewKey<'a> {
    pub(crate) id: KeyId,
    pub(crate) hash: &'a [u8],
    pub(crate) hint: &'a str,
    pub(crate) name: &'a str,
    pub(crate) scopes: &'a [KeyScope],
    pub(crate) requests_per_minute: u32,
}

pub(crate) async fn add(client: &impl GenericClient, key: &NewKey<'_>) -> Result<ApiKey, PostgresFault> {
    let statement = client
        .prepare_cached(
            "INSERT INTO auth.api_keys (id, key_hash, hint, name, scopes, requests_per_minute)
             VALUES ($1, $2, $3, $4, $5, $6)
             RETURNING id, name, hint, scopes, requests_per_minute, created_at, last_used_at, revoked_at",
        )
        .await?;
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let rate = i32::try_from(key.requests_per_minute).unwrap_or(i32::MAX);
    let row = client
        .query_one(
            &statement,
            &[&key.id.0, &key.hash, &key.hint, &key.name, &scopes, &rate],
        )
        .await?;
    from_row(&row)
}

/// How many keys hold.
pub(crate) async fn count(client: &impl GenericClient) -> Result<i64, PostgresFault> {
    let statement = client
        .prepare_cached("SELECT count(*) FROM auth.api_keys WHERE revoked_at IS NULL")
        .await?;
    Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
}

/// The newest first; what was revoked long ago and is far down is left out.
pub(crate) async fn list(client: &impl GenericClient) -> Result<Vec<ApiKey>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT id, name, hint, scopes, requests_per_minute, created_at, last_used_at, revoked_at
               FROM auth.api_keys ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 500",
        )
        .await?;
    client.query(&statement, &[]).await?.iter().map(from_row).collect()
}

/// A key that holds, by its hash, and whether its last use was noted so long ago that it is time to note it again.
pub(crate) async fn find(client: &impl GenericClient, hash: &[u8]) -> Result<Option<(KnownKey, bool)>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "SELECT id, scopes, requests_per_minute,
                    coalesce(last_used_at < now() - interval '10 minutes', true) AS is_seldom_seen
               FROM auth.api_keys WHERE key_hash = $1 AND revoked_at IS NULL",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&hash]).await? else {
        return Ok(None);
    };
    let key = KnownKey {
        id: KeyId(row.try_get("id")?),
        scopes: scopes(&row)?,
        requests_per_minute: rate(&row)?,
    };
    Ok(Some((key, row.try_get("is_seldom_seen")?)))
}

pub(crate) async fn note_use(client: &impl GenericClient, key: KeyId) -> Result<(), PostgresFault> {
    let statement = client
        .prepare_cached("UPDATE auth.api_keys SET last_used_at = now() WHERE id = $1")
        .await?;
    client.execute(&statement, &[&key.0]).await?;
    Ok(())
}

/// Revokes a key; revoking it again changes nothing. None if there is no such key.
pub(crate) async fn revoke(client: &impl GenericClient, key: KeyId) -> Result<Option<ApiKey>, PostgresFault> {
    let statement = client
        .prepare_cached(
            "UPDATE auth.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1
             RETURNING id, name, hint, scopes, requests_per_minute, created_at, last_used_at, revoked_at",
        )
        .await?;
    let row = client.query_opt(&statement, &[&key.0]).await?;
    row.as_ref().map(from_row).transpose()
}

fn from_row(row: &Row) -> Result<ApiKey, PostgresFault> {
    Ok(ApiKey {
        id: KeyId(row.try_get("id")?),
        name: row.try_get("name")?,
        hint: row.try_get("hint")?,
        scopes: scopes(row)?,
        requests_per_minute: rate(row)?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

/// A scope that this version does not know gives no right.
fn scopes(row: &Row) -> Result<Vec<KeyScope>, PostgresFault> {
    let words: Vec<&str> = row.try_get("scopes")?;
    let known = |scope: &&KeyScope| words.contains(&scope.as_str());
    Ok(KeyScope::ALL.iter().filter(known).copied().collect())
}

fn rate(row: &Row) -> Result<u32, PostgresFault> {
    Ok(u32::try_from(row.try_get::<_, i32>("requests_per_minute")?).unwrap_or(1))
}
