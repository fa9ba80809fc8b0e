//! What the gateway keeps of conversations that OpenAI's clients have, in the game's Redis.
//!
//! Such a client names no conversation; it sends all that was said, every time. A digest over that, in order, leads back
//! to the conversation: there is one key for each, under the digest of all that was said in it so far, and whoever goes on
//! takes it away. So two who go on from the same place part, and an earlier place leads nowhere. What is kept may be lost
//! at any time: then what was said before is only what the client says it was.

use gaia_names::{ConversationId, GameId, PersonaId, PlayerId, TurnId};
use gaia_protocol::chat::{Claimed, Quote};
use gaia_service::Redis;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// How long a conversation can be gone on with that nobody goes on with.
const END_SECONDS: u64 = 7 * 24 * 60 * 60;
/// How long a request that carries a key of its own can be sent again.
const NAMED_SECONDS: u64 = 24 * 60 * 60;
/// How long one without can be, by a client that says that it sends it again.
const UNNAMED_SECONDS: u64 = 10 * 60;

/// Stands for all that was said between a player and a persona, up to some point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said([u8; 32]);

impl Said {
    /// Nothing so far.
    pub(super) fn nothing(game: &GameId, player: PlayerId, persona: &PersonaId) -> Self {
        let mut hash = Sha256::new();
        for part in [
            game.as_str().as_bytes(),
            player.0.as_bytes(),
            persona.as_str().as_bytes(),
        ] {
            hash.update(length(part));
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// And then this.
    #[must_use]
    pub(super) fn then(self, by: Claimed, text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update([match by {
            Claimed::Instructions => 0,
            Claimed::Player => 1,
            Claimed::Persona => 2,
        }]);
        hash.update(length(text.as_bytes()));
        hash.update(text);
        Self(hash.finalize().into())
    }

    /// And then all of these.
    #[must_use]
    pub(super) fn then_all(self, lines: &[Quote]) -> Self {
        lines
            .iter()
            .fold(self, |said, line| said.then(line.said_as, &line.text))
    }

    fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_be_bytes()
}

/// The end of a conversation, where it can be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) conversation: ConversationId,
    /// So many of the first lines are only the client's claim: `chat` has not heard them.
    pub(super) claimed: usize,
}

/// A request that may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Once {
    pub(super) end: End,
    pub(super) turn: TurnId,
    /// All that was said with it, as a digest in hex.
    said: String,
}

impl Once {
    pub(super) fn new(end: End, turn: TurnId, said: Said) -> Self {
        let said = said.hex();
        Self { end, turn, said }
    }

    /// Whether it is the same request, as far as what was said goes.
    pub(super) fn is_of(&self, said: Said) -> bool {
        self.said == said.hex()
    }
}

/// By what a request is known when it comes again.
pub(super) enum Name {
    /// By the key that the client gave it.
    Given(Said),
    /// By what was said with it.
    Said(Said),
}

impl Name {
    fn key(&self, redis: &Redis) -> String {
        match self {
            Self::Given(said) => redis.key(format_args!("openai:named:{}", said.hex())),
            Self::Said(said) => redis.key(format_args!("openai:said:{}", said.hex())),
        }
    }
}

/// Takes the end of a conversation away: nobody else goes on from there.
pub(super) async fn take_end(redis: &Redis, said: Said) -> Option<End> {
    let mut take = redis::cmd("GETDEL");
    take.arg(end_key(redis, said));
    ask(redis, take).await
}

/// Puts the end of a conversation where it can be gone on with.
pub(super) async fn put_end(redis: &Redis, said: Said, end: End) {
    let mut put = redis::cmd("SET");
    put.arg(end_key(redis, said)).arg(json(&end)).arg("EX").arg(END_SECONDS);
    ask::<()>(redis, put).await;
}

/// What is known of a request that comes again.
pub(super) async fn find_once(redis: &Redis, name: &Name) -> Option<Once> {
    let mut find = redis::cmd("GET");
    find.arg(name.key(redis));
    ask(redis, find).await
}

/// Notes a request. Where one with the same given key was noted at the same moment, that one counts and is returned.
pub(super) async fn note_once(redis: &Redis, name: &Name, once: &Once) -> Option<Once> {
    let mut note = redis::cmd("SET");
    note.arg(name.key(redis)).arg(json(once)).arg("EX");
    match name {
        Name::Given(_) => {
            note.arg(NAMED_SECONDS).arg("NX").arg("GET");
            ask(redis, note).await
        }
        Name::Said(_) => {
            note.arg(UNNAMED_SECONDS);
            ask::<()>(redis, note).await;
            None
        }
    }
}

fn end_key(redis: &Redis, said: Said) -> String {
    redis.key(format_args!("openai:end:{}", said.hex()))
}

fn json(thing: &impl Serialize) -> String {
    serde_json::to_string(thing).unwrap_or_default()
}

/// Nothing where Redis is away, has nothing, or holds what this version cannot read.
async fn ask<T: DeserializeOwned>(redis: &Redis, command: redis::Cmd) -> Option<T> {
    let asked = async move |mut connection| command.query_async::<redis::Value>(&mut connection).await;
    match redis.ask(asked).await.ok()? {
        redis::Value::BulkString(bytes) => serde_json::from_slice(&bytes).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(game: &str, player: PlayerId) -> Said {
        Said::nothing(&game.parse().unwrap(), player, &"guide".parse().unwrap())
    }

    #[test]
    fn what_was_said_stands_for_who_said_what_in_which_order() {
        let player = PlayerId::fresh();
        let one = nothing("kos", player);
        let hello = one.then(Claimed::Player, "hello");
        let all = [
            one,
            nothing("kos-2", player),
            nothing("kos", PlayerId::fresh()),
            hello,
            one.then(Claimed::Persona, "hello"),
            one.then(Claimed::Player, "hell").then(Claimed::Player, "o"),
            hello.then(Claimed::Persona, "you"),
            one.then(Claimed::Persona, "you").then(Claimed::Player, "hello"),
        ];
        for (place, said) in all.iter().enumerate() {
            assert!(!all[..place].contains(said), "{place}");
        }
        assert_eq!(hello, nothing("kos", player).then(Claimed::Player, "hello"));
    }
}
