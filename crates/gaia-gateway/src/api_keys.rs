//! Whose an API key is, as `auth` says, remembered for a moment so that a busy key is asked for once a minute.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gaia_names::{GameId, KeyId, PlayerId, SessionId};
use gaia_protocol::{
    ErrorCode, Fault,
    api_keys::{FindNamedPlayer, KeyScope, KnownKey, VerifyKey, game_of_key},
    auth::{Caller, Role},
};
use gaia_service::{Bus, Call};
use sha2::{Digest, Sha256};

use crate::{
    admission::network,
    rate::{Rate, Rates},
};

/// How long what `auth` said of a key is used again. A revoked key is refused at once all the same: its revocation is
/// looked for with every request, and stays to be found for far longer than this.
const USED_AGAIN: Duration = Duration::from_secs(60);
/// So many keys, and so many players, are remembered at once.
const MOST_REMEMBERED: usize = 20_000;
/// Longer than any key of ours. What is longer is not looked at.
const LONGEST_KEY: usize = 256;
/// How many keys that are none one address may try in a minute.
const WRONG_KEYS_PER_MINUTE: u32 = 60;

/// A key that holds.
pub(crate) struct HeldKey {
    pub(crate) id: KeyId,
    pub(crate) rate: Rate,
    scopes: Vec<KeyScope>,
}

impl HeldKey {
    /// Whoever asks with it, for a player. The key's id stands in the session's place, so that its revocation ends what
    /// it may do as the end of a session would.
    pub(crate) fn caller(&self, player: PlayerId) -> Caller {
        Caller {
            player,
            session: SessionId(self.id.0),
            role: Role::Player,
        }
    }

    /// Whether it may be used for this.
    pub(crate) fn may(&self, scope: KeyScope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// One game's keys.
pub(crate) struct ApiKeys {
    game: GameId,
    bus: Bus,
    held: Remembered<[u8; 32], Arc<HeldKey>>,
    players: Remembered<(KeyId, Option<String>), PlayerId>,
    wrong: Rates<IpAddr>,
    rate_of_wrong: Rate,
}

impl ApiKeys {
    pub(crate) fn new(game: &GameId, bus: &Bus) -> Self {
        Self {
            game: game.clone(),
            bus: bus.clone(),
            held: Remembered::default(),
            players: Remembered::default(),
            wrong: Rates::default(),
            rate_of_wrong: Rate::per_minute(WRONG_KEYS_PER_MINUTE),
        }
    }

    /// The key that a text is. Whether it was revoked a moment ago is another question.
    ///
    /// # Errors
    ///
    /// `token_invalid`, `rate_limited` for whoever tries many that are none, or `unavailable`.
    pub(crate) async fn check(&self, call: &Call, peer: IpAddr, text: &str) -> Result<Arc<HeldKey>, Fault> {
        if text.len() > LONGEST_KEY || game_of_key(text) != Some(self.game.as_str()) {
            let detail = "The key is not one of this game's.";
            return Err(Fault::new(ErrorCode::TokenInvalid, detail));
        }
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some(held) = self.held.get(&hash) {
            return Ok(held);
        }
        let network = network(peer);
        self.wrong
            .look(&network, &self.rate_of_wrong, Instant::now())
            .map_err(|wait| {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                let detail = "Too many keys from this address that are none; wait before trying again.";
                Fault::new(ErrorCode::RateLimited, detail).retry_after_ms(wait)
            })?;
        match self.bus.ask(call, &VerifyKey { hash }).await {
            Ok(known) => {
                let held = Arc::new(HeldKey::from(known));
                self.held.insert(hash, Arc::clone(&held));
                Ok(held)
            }
            Err(fault) => {
                if fault.code == ErrorCode::TokenInvalid {
                    let _ = self.wrong.take(network, &self.rate_of_wrong, Instant::now());
                }
                Err(fault)
            }
        }
    }

    /// The player whom a key's holder speaks for.
    ///
    /// # Errors
    ///
    /// `invalid_input` for a name that is too long, or `unavailable`.
    pub(crate) async fn player(&self, call: &Call, key: KeyId, name: Option<String>) -> Result<PlayerId, Fault> {
        let asked = (key, name);
        if let Some(player) = self.players.get(&asked) {
            return Ok(player);
        }
        let name = asked.1.clone();
        let player = self.bus.ask(call, &FindNamedPlayer { key, name }).await?;
        self.players.insert(asked, player);
        Ok(player)
    }
}

impl From<KnownKey> for HeldKey {
    fn from(key: KnownKey) -> Self {
        Self {
            id: key.id,
            rate: Rate::per_minute(key.requests_per_minute),
            scopes: key.scopes,
        }
    }
}

/// Answers that hold for a while, in a bounded number.
struct Remembered<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, since) = all.get(key)?;
        (since.elapsed() < USED_AGAIN).then(|| value.clone())
    }

    fn insert(&self, key: K, value: V) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_REMEMBERED {
            all.retain(|_, (_, since)| since.elapsed() < USED_AGAIN);
        }
        if all.len() >= MOST_REMEMBERED {
            // Only a flood of different ones gets here; asking again is better than growing.
            all.clear();
        }
        all.insert(key, (value, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_answers_is_bounded_and_the_newest_is_kept() {
        let remembered = Remembered::default();
        for number in 0..50_000 {
            remembered.insert(number, number);
            assert_eq!(remembered.get(&number), Some(number));
        }
        assert!(remembered.0.lock().unwrap().len() <= MOST_REMEMBERED);
    }
}
