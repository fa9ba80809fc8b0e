//! What is known of a reply while it is being made: where it comes from and what it used. It outlives the making, so
//! that a reply that was stopped is metered too.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gaia_names::TurnId;
use gaia_protocol::{
    bundle::{Provider, Route},
    chat::ReplySource,
};
use uuid::Uuid;

use crate::{authored::Chosen, store::claims::UsageRow};

/// The tokens of one call, as a provider tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Read afresh: what came from or went into a cache is not in it.
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

/// A reply in the making.
#[derive(Default)]
pub(crate) struct Draft(Mutex<State>);

#[derive(Default)]
struct State {
    source: Option<ReplySource>,
    route: String,
    lines: Vec<String>,
    embedding: Option<Vec<u8>>,
    calls: Vec<CallMade>,
    is_cut: bool,
}

/// What a draft comes to.
pub(crate) struct Drafted {
    pub(crate) source: ReplySource,
    pub(crate) route: String,
    pub(crate) lines: Vec<String>,
    pub(crate) embedding: Option<Vec<u8>>,
    pub(crate) usage: Vec<UsageRow>,
}

struct CallMade {
    route: String,
    provider: &'static str,
    model: String,
    prompt_bytes: usize,
    said_bytes: usize,
    told: Option<Tokens>,
    /// The provider has told the whole, not what it was at the beginning.
    is_told_whole: bool,
    began: Instant,
    took: Option<Duration>,
}

impl Draft {
    /// A provider has taken a call and will want to be paid for it.
    pub(super) fn began_call(&self, route: &Route, prompt_bytes: usize, began: Instant) {
        let mut state = self.lock();
        state.route.clone_from(&route.name);
        state.source = Some(ReplySource::Model);
        state.is_cut = false;
        state.calls.push(CallMade {
            route: route.name.clone(),
            provider: match route.provider {
                Provider::Anthropic => "anthropic",
                Provider::Openai => "openai",
            },
            model: route.model.clone(),
            prompt_bytes,
            said_bytes: 0,
            told: None,
            is_told_whole: false,
            began,
            took: None,
        });
    }

    /// The call that began last has said more.
    pub(super) fn said(&self, bytes: usize) {
        if let Some(call) = self.lock().calls.last_mut() {
            call.said_bytes += bytes;
        }
    }

    /// The provider tells what the call that began last uses; what it tells later replaces what it told before.
    pub(super) fn told(&self, tell: impl FnOnce(&mut Tokens), is_whole: bool) {
        if let Some(call) = self.lock().calls.last_mut() {
            tell(call.told.get_or_insert_default());
            call.is_told_whole |= is_whole;
        }
    }

    /// The model says that the reply ended because it had reached its limit.
    pub(super) fn cut(&self) {
        self.lock().is_cut = true;
    }

    /// Whether the reply ended because it had reached its limit.
    pub(crate) fn is_cut(&self) -> bool {
        let state = self.lock();
        // A model that was cut before it said a word may have been followed by the author.
        state.is_cut && state.source == Some(ReplySource::Model)
    }

    /// The call that began last is over.
    pub(super) fn ended_call(&self) {
        if let Some(call) = self.lock().calls.last_mut() {
            call.took = Some(call.began.elapsed());
        }
    }

    /// The reply is a line of the author's.
    pub(super) fn authored(&self, chosen: Chosen) {
        let mut state = self.lock();
        state.source = Some(ReplySource::Authored);
        state.route = chosen.route.to_owned();
        state.lines = vec![chosen.id];
        state.embedding = chosen.embedding;
    }

    /// A model's reply ends with a line of the author's.
    pub(super) fn mended(&self, chosen: Chosen) {
        let mut state = self.lock();
        state.lines = vec![chosen.id];
        state.embedding = chosen.embedding;
    }

    /// The route that speaks.
    pub(crate) fn route(&self) -> String {
        self.lock().route.clone()
    }

    /// The end of it.
    pub(crate) fn take(&self, turn: TurnId) -> Drafted {
        let state = std::mem::take(&mut *self.lock());
        Drafted {
            source: state.source.unwrap_or(ReplySource::Authored),
            route: state.route,
            lines: state.lines,
            embedding: state.embedding,
            usage: state.calls.iter().map(|call| call.usage(turn)).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallMade {
    fn usage(&self, turn: TurnId) -> UsageRow {
        let guessed_output = guess(self.said_bytes);
        let tokens = match self.told {
            Some(told) if self.is_told_whole => told,
            Some(told) => Tokens {
                output: told.output.max(guessed_output),
                ..told
            },
            None => Tokens {
                input: guess(self.prompt_bytes),
                output: guessed_output,
                ..Tokens::default()
            },
        };
        let took = self.took.unwrap_or_else(|| self.began.elapsed());
        // What a provider claims may be anything; a count that Postgres cannot hold would lose the reply.
        let bounded = |count: u64| count.min(u64::from(u32::MAX));
        UsageRow {
            id: Uuid::now_v7(),
            turn,
            route: self.route.clone(),
            provider: self.provider,
            model: self.model.clone(),
            input_tokens: bounded(tokens.input),
            output_tokens: bounded(tokens.output),
            cache_read_tokens: bounded(tokens.cache_read),
            cache_write_tokens: bounded(tokens.cache_write),
            is_estimated: !self.is_told_whole,
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Four bytes a token is what English comes to.
fn guess(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            name: "far".to_owned(),
            provider: Provider::Openai,
            base_url: String::new(),
            model: "some".to_owned(),
            key: None,
            first_token_ms: 1,
            silence_ms: 1,
        }
    }

    #[test]
    fn a_call_is_metered_as_told_or_as_guessed() {
        let draft = Draft::default();
        draft.began_call(&route(), 400, Instant::now());
        draft.said(41);
        draft.ended_call();
        draft.began_call(&route(), 400, Instant::now());
        draft.told(
            |tokens| {
                *tokens = Tokens {
                    input: 7,
                    output: u64::MAX,
                    ..Tokens::default()
                }
            },
            true,
        );
        let usage = draft.take(TurnId::fresh()).usage;
        assert_eq!(
            (usage[0].input_tokens, usage[0].output_tokens, usage[0].is_estimated),
            (100, 11, true)
        );
        assert_eq!((usage[1].input_tokens, usage[1].is_estimated), (7, false));
        assert_eq!(usage[1].output_tokens, u64::from(u32::MAX));
    }
}
