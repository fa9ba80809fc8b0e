//! Tokens whose signature was checked, by their SHA-256, so that a busy player's is checked once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use super::{Verified, now};

const SHARDS: usize = 16;
/// In each shard: 64 thousand in all, some 8 MiB.
const MOST_IN_A_SHARD: usize = 4_096;

/// What stands for a token. The token itself is not kept.
pub(super) type TokenDigest = [u8; 32];

pub(super) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// A bounded cache. It never makes a token valid for longer than the token itself says.
#[derive(Default)]
pub(super) struct VerifiedTokens {
    shards: [Mutex<HashMap<TokenDigest, Verified>>; SHARDS],
}

impl VerifiedTokens {
    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Verified> {
        let shard = self.shard(digest).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(digest).copied()
    }

    pub(super) fn insert(&self, digest: TokenDigest, verified: Verified) {
        let mut shard = self.shard(&digest).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MOST_IN_A_SHARD {
            let now = now();
            shard.retain(|_, token| token.expires_at > now);
        }
        if shard.len() >= MOST_IN_A_SHARD {
            // Every other one, in no particular order.
            let mut stays = false;
            shard.retain(|_, _| {
                stays = !stays;
                stays
            });
        }
        shard.insert(digest, verified);
    }

    fn shard(&self, digest: &TokenDigest) -> &Mutex<HashMap<TokenDigest, Verified>> {
        &self.shards[usize::from(digest[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use gaia_names::{PlayerId, SessionId};
    use gaia_protocol::auth::{Caller, Role};

    use super::*;

    #[test]
    fn a_flood_of_tokens_is_bounded_and_the_newest_is_kept() {
        let (cache, caller) = (
            VerifiedTokens::default(),
            Caller {
                player: PlayerId::fresh(),
                session: SessionId::fresh(),
                role: Role::Player,
            },
        );
        let expires_at = now() + 900;
        for number in 0..200_000 {
            let digest = digest(&format!("token {number}"));
            cache.insert(digest, Verified { caller, expires_at });
            assert!(cache.get(&digest).is_some());
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * MOST_IN_A_SHARD, "{kept}");
    }
}
