//! What the gateway keeps of conversations that OpenAI's clients have, in the game's Redis.
//!
//! Most such clients name no conversation; they send all that was said, every time. A digest over that, in order, leads back
//! to the conversation: there is one key for each, under the digest of all that was said in it so far, and whoever goes on
//! takes it away. So two who go on from the same place part, and an earlier place leads nowhere. Others name a response, which
//! leads to that key, too. What is kept may be lost at any time: then what was said before is only what the client says it
//! was, and a response cannot be named any more.

use gaia_names::{ConversationId, GameId, PersonaId, PlayerId, TurnId};
use gaia_protocol::chat::{Claimed, Quote};
use gaia_service::{
    Redis,
    redis::{RedisLost, Script},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// How long a conversation can be gone on with that nobody goes on with.
const KEPT_SECONDS: u64 = 7 * 24 * 60 * 60;
/// So many ends and responses of one player are kept. Whoever makes more loses the oldest.
const MOST_OF_A_PLAYER: usize = 1_000;
/// How long a request that carries a key of its own can be sent again.
const NAMED_SECONDS: u64 = 24 * 60 * 60;
/// How long one without can be, by a client that says that it sends it again.
const UNNAMED_SECONDS: u64 = 10 * 60;

/// Stands for all that was said between a player and a persona, up to some point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) conversation: ConversationId,
    /// So many of the first lines are only the client's claim: `chat` has not heard them.
    pub(super) claimed: usize,
    /// The last turn, once there is one.
    pub(super) turn: Option<TurnId>,
    /// What a client that goes on by ids is not asked to send: others of the player's conversations, up to a turn.
    pub(super) told: Vec<(ConversationId, TurnId)>,
}

/// A response from which a client may go on by its id. No words are kept here: `chat` has them for as long as the player
/// wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) player: PlayerId,
    pub(super) persona: PersonaId,
    /// All that was said up to it.
    pub(super) said: Said,
    /// How many lines that is.
    pub(super) count: usize,
    pub(super) end: End,
}

/// A request that may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Once {
    pub(super) end: End,
    pub(super) turn: TurnId,
    /// All that was said with it.
    pub(super) said: Said,
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

/// Keeps something under a key, and notes the key among the player's. Of those only the newest stay.
/// KEYS: the key, the player's keys. ARGV: what, for how many seconds, how many stay.
const KEEP: &str = r"
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]), KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
local over = redis.call('ZCARD', KEYS[2]) - ARGV[3]
if over > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do redis.call('DEL', oldest) end
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
end
return 1
";

/// Takes the end of a conversation away, if it is still the one that was expected, where one was.
/// KEYS: the end's, the player's keys. ARGV: the end as it is expected, or nothing.
const TAKE: &str = r"
local there = redis.call('GET', KEYS[1])
if not there or (ARGV[1] ~= '' and there ~= ARGV[1]) then return '' end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], KEYS[1])
return there
";

/// What is kept for one game.
pub(crate) struct Kept {
    redis: Redis,
    most: usize,
    keep: Script,
    take: Script,
}

impl Kept {
    pub(crate) fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            most: MOST_OF_A_PLAYER,
            keep: Script::new(KEEP),
            take: Script::new(TAKE),
        }
    }

    /// Takes the end of a conversation away: nobody else goes on from there. Where one is expected, another one stays.
    pub(super) async fn take_end(&self, player: PlayerId, said: Said, expected: Option<&End>) -> Option<End> {
        let keys = [self.end(player, said), self.all_of(player)];
        let arguments = [expected.map_or_else(String::new, json)];
        let taken: String = self.redis.run(&self.take, &keys, &arguments).await.ok()?;
        serde_json::from_str(&taken).ok()
    }

    /// Puts the end of a conversation where it can be gone on with.
    pub(super) async fn put_end(&self, player: PlayerId, said: Said, end: &End) {
        self.put(player, self.end(player, said), json(end)).await;
    }

    /// A response of this player's.
    ///
    /// # Errors
    ///
    /// Where Redis is away: nobody knows then.
    pub(super) async fn find_answered(
        &self,
        player: PlayerId,
        response: TurnId,
    ) -> Result<Option<Answered>, RedisLost> {
        let key = self.answered(player, response);
        let found: Option<Vec<u8>> = self
            .redis
            .ask(async move |mut connection| redis::cmd("GET").arg(key).query_async(&mut connection).await)
            .await?;
        let answered: Option<Answered> = found.and_then(|found| serde_json::from_slice(&found).ok());
        Ok(answered.filter(|answered| answered.player == player))
    }

    /// Keeps a response, so that a client can go on from there by its id alone.
    pub(super) async fn put_answered(&self, response: TurnId, answered: &Answered) {
        let player = answered.player;
        let key = self.answered(player, response);
        self.put(player, key, json(answered)).await;
    }

    async fn put(&self, player: PlayerId, key: String, value: String) {
        let keys = [key, self.all_of(player)];
        let arguments = [value, KEPT_SECONDS.to_string(), self.most.to_string()];
        if self.redis.run::<u8>(&self.keep, &keys, &arguments).await.is_err() {
            tracing::debug!("where a conversation can be gone on with could not be kept");
        }
    }

    /// What is known of a request that comes again.
    pub(super) async fn find_once(&self, name: &Name) -> Option<Once> {
        let mut find = redis::cmd("GET");
        find.arg(name.key(&self.redis));
        ask(&self.redis, find).await
    }

    /// Notes a request. Where one with the same given key was noted at the same moment, that one counts and is returned.
    pub(super) async fn note_once(&self, name: &Name, once: &Once) -> Option<Once> {
        let mut note = redis::cmd("SET");
        note.arg(name.key(&self.redis)).arg(json(once)).arg("EX");
        match name {
            Name::Given(_) => {
                note.arg(NAMED_SECONDS).arg("NX").arg("GET");
                ask(&self.redis, note).await
            }
            Name::Said(_) => {
                note.arg(UNNAMED_SECONDS);
                ask::<()>(&self.redis, note).await;
                None
            }
        }
    }

    fn end(&self, player: PlayerId, said: Said) -> String {
        self.redis.key(format_args!("openai:{{{player}}}:end:{}", said.hex()))
    }

    fn answered(&self, player: PlayerId, response: TurnId) -> String {
        self.redis.key(format_args!("openai:{{{player}}}:response:{response}"))
    }

    fn all_of(&self, player: PlayerId) -> String {
        self.redis.key(format_args!("openai:{{{player}}}:kept"))
    }
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

    #[tokio::test]
    async fn of_one_player_the_newest_places_to_go_on_from_stay_and_an_end_is_taken_once() {
        let game = gaia_testkit::TestGame::start().await;
        let kept = Kept {
            most: 3,
            ..Kept::new(&game.redis())
        };
        let (player, other) = (PlayerId::fresh(), PlayerId::fresh());
        let end = || End {
            conversation: ConversationId::fresh(),
            claimed: 0,
            turn: Some(TurnId::fresh()),
            told: Vec::new(),
        };
        let said = |text: &str| nothing("kos", player).then(Claimed::Player, text);
        let others = end();
        kept.put_end(other, said("a"), &others).await;
        let ends = [end(), end(), end(), end()];
        for (text, end) in ["a", "b", "c", "d"].into_iter().zip(&ends) {
            kept.put_end(player, said(text), end).await;
        }
        assert_eq!(kept.take_end(player, said("a"), None).await, None, "the oldest is gone");
        assert_eq!(
            kept.take_end(player, said("b"), Some(&ends[0])).await,
            None,
            "another was expected"
        );
        assert_eq!(
            kept.take_end(player, said("b"), Some(&ends[1])).await.as_ref(),
            Some(&ends[1])
        );
        assert_eq!(kept.take_end(player, said("b"), None).await, None, "it was taken");
        // What was taken counts no more.
        kept.put_end(player, said("e"), &ends[0]).await;
        assert_eq!(kept.take_end(player, said("c"), None).await.as_ref(), Some(&ends[2]));
        assert_eq!(kept.take_end(other, said("a"), None).await, Some(others));
    }
}
