//! The keys in Redis that more than one service reads. Each is used through `gaia_service::Redis::key`, which puts
//! `game:<id>:` before it.

use gaia_names::SessionId;

use crate::auth::ACCESS_TOKEN_SECONDS;

/// How many shards the revocations are kept in. A Redis in cluster mode keeps what has one hash tag on one node, so each
/// shard has one, and is complete or not by itself.
pub const SHARDS: u8 = 16;

/// Where the revocation of a session is kept.
#[must_use]
pub fn shard(session: SessionId) -> u8 {
    // The end of a version 7 id is random.
    session.0.as_bytes()[15] % SHARDS
}

/// Says that a shard of the revocations in Redis is complete: every session that ended while one of its access tokens
/// could still be in use has its [`revoked`] key. Only `auth` writes it.
///
/// Redis may come back empty. Where this key is missing, a missing [`revoked`] key means nothing: ask `auth` with
/// [`crate::auth::CheckSession`], which also makes `auth` write the revocations again.
#[must_use]
pub fn revocations_complete(shard: u8) -> String {
    format!("{{{shard}}}:revocations")
}

/// How long a [`revoked`] key stays, in seconds: as long as an access token lasts, and two minutes for clocks that differ.
pub const REVOKED_SECONDS: u64 = ACCESS_TOKEN_SECONDS.unsigned_abs() + 120;

/// There while a session's access tokens must be refused although they have not expired. Only `auth` writes it.
#[must_use]
pub fn revoked(session: SessionId) -> String {
    format!("{{{}}}:revoked:{session}", shard(session))
}
