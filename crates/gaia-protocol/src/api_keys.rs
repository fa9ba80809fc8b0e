//! Questions to `auth`: the keys with which a game's own programs sign in.

use chrono::{DateTime, Utc};
use gaia_names::{GameId, KeyId, PlayerId, Secret, Service, expose};
use serde::{Deserialize, Serialize};

use crate::Request;

/// Every key begins so, then comes its game, then `_`, then what is random.
const BEGINNING: &str = "gaia_";
/// The longest name of a key, in characters.
pub const LONGEST_KEY_NAME: usize = 60;
/// The longest name that a key's holder may give a player, in bytes.
pub const LONGEST_PLAYER_NAME: usize = 512;
/// How many requests a key may make in a minute, where nobody says.
pub const KEY_REQUESTS_PER_MINUTE: u32 = 600;
/// The most requests in a minute that a key can be given.
pub const MOST_KEY_REQUESTS_PER_MINUTE: u32 = 1_000_000;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Talk to the characters.
    Chat,
    /// See which characters there are. Whoever may talk to them may see them too.
    Models,
}

impl KeyScope {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Chat, Self::Models];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Models => "models",
        }
    }
}

/// A key, without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// What it is revoked by.
    pub id: KeyId,
    /// What it is for, in its maker's words.
    pub name: String,
    /// Its beginning, by which people tell it from others.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Vec<KeyScope>,
    /// How many requests it may make in a minute.
    pub requests_per_minute: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was used last, to ten minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key that was just made. Nobody can show its secret again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewApiKey {
    /// What can be known of it from now on.
    #[serde(flatten)]
    pub key: ApiKey,
    /// Send it as `Authorization: Bearer ...`.
    #[serde(serialize_with = "expose")]
    pub secret: Secret,
}

/// A key that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKey {
    /// Which.
    pub id: KeyId,
    /// What it may be used for.
    pub scopes: Vec<KeyScope>,
    /// How many requests it may make in a minute.
    pub requests_per_minute: u32,
}

/// A key's text, made of its game and of something random.
#[must_use]
pub fn key_text(game: &GameId, random: &str) -> String {
    format!("{BEGINNING}{game}_{random}")
}

/// Whether a text means to be a key; then which game it says it is of. Whether it is one only `auth` knows.
#[must_use]
pub fn game_of_key(text: &str) -> Option<&str> {
    // A game's id has no `_`.
    let (game, _) = text.strip_prefix(BEGINNING)?.split_once('_')?;
    Some(game)
}

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? } -> $reply:ty, $verb:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

        impl Request for $name {
            type Reply = $reply;
            const SERVICE: Service = Service::Auth;
            const VERB: &'static str = $verb;
        }
    };
}

request!(
    /// Make a key. Only the cluster's admin API asks this.
    CreateKey {
        /// What it is for, 1 to [`LONGEST_KEY_NAME`] characters.
        name: String,
        /// What it may be used for; at least one thing.
        scopes: Vec<KeyScope>,
        /// How many requests it may make in a minute, 1 to [`MOST_KEY_REQUESTS_PER_MINUTE`].
        requests_per_minute: u32,
    } -> NewApiKey, "key.create.v1"
);
request!(
    /// All keys, the newest first, the revoked ones among them. Only the cluster's admin API asks this.
    ListKeys {} -> Vec<ApiKey>, "key.list.v1"
);
request!(
    /// Revoke a key. Only the cluster's admin API asks this.
    RevokeKey {
        /// Which.
        key: KeyId,
    } -> ApiKey, "key.revoke.v1"
);
request!(
    /// Which key has this hash. The key itself does not travel.
    VerifyKey {
        /// The SHA-256 of the key's text.
        hash: [u8; 32],
    } -> KnownKey, "key.verify.v1"
);
request!(
    /// The player that a key's holder speaks for; made where there is none yet. Players named so are the game's: any of
    /// its keys that names one by the same name means the same.
    FindNamedPlayer {
        /// The key.
        key: KeyId,
        /// What the holder calls the player, 1 to [`LONGEST_PLAYER_NAME`] bytes; none for the key's own player.
        name: Option<String>,
    } -> PlayerId, "key.player.v1"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_game_and_nothing_else_does() {
        let game: GameId = "night-train".parse().unwrap();
        assert_eq!(game_of_key(&key_text(&game, "ab_c-1")), Some("night-train"));
        for other in ["", "gaia_", "gaia_x", "sk-proj-abc", "eyJhbGciOiJFZERTQSJ9.e30.c2ln"] {
            assert_eq!(game_of_key(other), None, "{other}");
        }
    }

    #[test]
    fn the_word_of_a_scope_is_its_word_on_the_wire() {
        for scope in KeyScope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }
}
