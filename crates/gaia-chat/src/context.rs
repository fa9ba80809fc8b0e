//! What a reply needs to know of its conversation: from Redis, where it is quick, or from Postgres, where it is true.
//!
//! Redis may forget a context or hold an old one at any time. That is noticed when the turn is claimed: the claim's
//! sequence number must follow the context's last.

use gaia_names::{ConversationId, PersonaId, PlayerId, TurnId};
use gaia_protocol::bundle::Bundle;
use gaia_service::{Redis, postgres::PostgresFault};
use serde::{Deserialize, Serialize};

use crate::{
    game::Game,
    store::{self, claims::Claimed, turns::Exchange},
};

/// How long Redis keeps a context that nobody uses.
const SECONDS: u64 = 30 * 60;
/// The exchanges that are kept whatever the prompt's window, so that no line is said again too soon.
const LEAST_EXCHANGES: usize = 6;
const MOST_EXCHANGES: usize = 128;
/// The most bytes of words that a context holds.
const MOST_BYTES: usize = 256 * 1024;

/// What came before a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    pub(crate) player: PlayerId,
    pub(crate) persona: PersonaId,
    /// What the player said their name was.
    pub(crate) player_name: Option<String>,
    /// Where no model speaks in time, the persona answers later.
    #[serde(default)]
    pub(crate) may_answer_later: bool,
    /// The sequence number of the last turn.
    pub(crate) last: i64,
    /// Nothing came before the exchanges that are here.
    pub(crate) is_whole: bool,
    /// Oldest first.
    pub(crate) exchanges: Vec<PastExchange>,
}

/// One message and its reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastExchange {
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    pub(crate) reply: String,
    /// The ids of the author's lines that the reply used.
    pub(crate) lines: Vec<String>,
}

impl Context {
    /// That of a conversation without turns.
    pub(crate) fn fresh(player: PlayerId, persona: PersonaId, may_answer_later: bool) -> Self {
        Self {
            player,
            persona,
            player_name: None,
            may_answer_later,
            last: 0,
            is_whole: true,
            exchanges: Vec::new(),
        }
    }

    /// Whether it knows that a turn is over, so that sending the turn again needs no new reply.
    pub(crate) fn has(&self, turn: TurnId) -> bool {
        self.exchanges.iter().any(|exchange| exchange.turn == turn)
    }

    /// Whether it holds all that a prompt of this bundle shows.
    pub(crate) fn suffices(&self, bundle: &Bundle) -> bool {
        self.is_whole || self.exchanges.len() >= exchanges_for(bundle)
    }

    /// The last messages before the turn, oldest first: whether the player said it, and what.
    pub(crate) fn messages(&self, window: u16) -> Vec<(bool, &str)> {
        let messages = self
            .exchanges
            .iter()
            .rev()
            .flat_map(|exchange| [(false, exchange.reply.as_str()), (true, exchange.text.as_str())]);
        let mut last: Vec<_> = messages.take(usize::from(window)).collect();
        last.reverse();
        last
    }

    /// The same after one more turn. A turn without a reply leaves no trace but its number.
    pub(crate) fn followed_by(mut self, sequence: i64, exchange: Option<PastExchange>, bundle: &Bundle) -> Self {
        self.last = sequence;
        self.exchanges.extend(exchange);
        let bytes = |exchange: &PastExchange| exchange.text.len() + exchange.reply.len();
        let mut held: usize = self.exchanges.iter().map(bytes).sum();
        let mut over = self.exchanges.len().saturating_sub(exchanges_for(bundle));
        held -= self.exchanges[..over].iter().map(bytes).sum::<usize>();
        while held > MOST_BYTES && over < self.exchanges.len() {
            held -= bytes(&self.exchanges[over]);
            over += 1;
        }
        if over > 0 {
            self.exchanges.drain(..over);
            self.is_whole = false;
        }
        self
    }
}

/// How many exchanges a context keeps for a bundle's window, which counts messages.
fn exchanges_for(bundle: &Bundle) -> usize {
    usize::from(bundle.context_window)
        .div_ceil(2)
        .clamp(LEAST_EXCHANGES, MOST_EXCHANGES)
}

/// From Redis; nothing where Redis is away, has forgotten it or holds what this version cannot read.
pub(crate) async fn recent(redis: &Redis, conversation: ConversationId) -> Option<Context> {
    let key = key(redis, conversation);
    let kept: Option<Vec<u8>> = redis
        .ask(async move |mut connection| redis::cmd("GET").arg(key).query_async(&mut connection).await)
        .await
        .ok()?;
    serde_json::from_slice(&kept?).ok()
}

/// From Postgres: what came before a turn that has been claimed.
pub(crate) async fn true_one(
    game: &Game,
    bundle: &Bundle,
    player: PlayerId,
    conversation: ConversationId,
    claimed: &Claimed,
    persona: PersonaId,
) -> Result<Context, PostgresFault> {
    let wanted = exchanges_for(bundle);
    let rows = i64::try_from(wanted).unwrap_or(i64::MAX);
    let found = store::turns::exchanges(&game.postgres, conversation, claimed.sequence, rows).await?;
    let is_whole = found.len() < wanted;
    let past = |Exchange {
                    turn,
                    text,
                    reply,
                    lines,
                }| PastExchange {
        turn,
        text,
        reply,
        lines,
    };
    let context = Context {
        player,
        persona,
        player_name: claimed.player_name.clone(),
        may_answer_later: claimed.may_answer_later,
        last: claimed.sequence - 1,
        is_whole,
        exchanges: found.into_iter().map(past).collect(),
    };
    // The same bounds as those of a context that grew turn by turn.
    Ok(context.followed_by(claimed.sequence - 1, None, bundle))
}

/// Writes it into Redis. Where that fails, the next turn finds an old one or none, and asks Postgres.
pub(crate) async fn remember(redis: &Redis, conversation: ConversationId, context: &Context) {
    let Ok(text) = serde_json::to_vec(context) else { return };
    let key = key(redis, conversation);
    let set = async move |mut connection| {
        redis::cmd("SET")
            .arg(key)
            .arg(text)
            .arg("EX")
            .arg(SECONDS)
            .query_async::<()>(&mut connection)
            .await
    };
    if redis.ask(set).await.is_err() {
        tracing::debug!(%conversation, "a context could not be written to redis");
    }
}

/// Takes contexts out of Redis.
pub(crate) async fn forget(redis: &Redis, conversations: &[ConversationId]) {
    for some in conversations.chunks(500) {
        let keys: Vec<_> = some.iter().map(|conversation| key(redis, *conversation)).collect();
        let unlink =
            async move |mut connection| redis::cmd("UNLINK").arg(keys).query_async::<()>(&mut connection).await;
        if redis.ask(unlink).await.is_err() {
            tracing::warn!("contexts could not be taken out of redis; they end by themselves in {SECONDS} s");
            return;
        }
    }
}

fn key(redis: &Redis, conversation: ConversationId) -> String {
    redis.key(format_args!("context:{conversation}"))
}
