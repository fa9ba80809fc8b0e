//! What is known of a reply while it is being made: where it comes from and what it used. It outlives the making, so
//! that a reply that was stopped is metered too.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// The place of the call whose words are the reply.
    speaker: Option<usize>,
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
    /// The provider refused it or never had it, and wants nothing for it.
    is_void: bool,
    /// It ended because it had reached its limit.
    is_cut: bool,
}

/// One call of a provider, for as long as it goes on. Dropping it ends the call.
pub(super) struct Call {
    draft: Arc<Draft>,
    place: usize,
}

impl Call {
    /// It has said more.
    pub(super) fn said(&self, bytes: usize) {
        self.change(|call| call.said_bytes += bytes);
    }

    /// The provider tells what it uses; what it tells later replaces what it told before.
    pub(super) fn told(&self, tell: impl FnOnce(&mut Tokens), is_whole: bool) {
        self.change(|call| {
            tell(call.told.get_or_insert_default());
            call.is_told_whole |= is_whole;
        });
    }

    /// The provider wants nothing for it.
    pub(super) fn was_not_taken(&self) {
        self.change(|call| call.is_void = true);
    }

    /// The reply is its words.
    pub(super) fn speaks(&self) {
        let mut state = self.draft.lock();
        let Some(route) = state.calls.get(self.place).map(|call| call.route.clone()) else {
            return;
        };
        state.route = route;
        state.source = Some(ReplySource::Model);
        state.speaker = Some(self.place);
    }

    /// It ends because it has reached its limit.
    pub(super) fn cut(&self) {
        self.change(|call| call.is_cut = true);
    }

    /// Whether it has.
    pub(super) fn is_cut(&self) -> bool {
        self.draft.lock().calls.get(self.place).is_some_and(|call| call.is_cut)
    }

    fn change(&self, change: impl FnOnce(&mut CallMade)) {
        if let Some(call) = self.draft.lock().calls.get_mut(self.place) {
            change(call);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.change(|call| call.took = Some(call.began.elapsed()));
    }
}

impl Draft {
    /// A provider is asked and will want to be paid for it, also when nobody waits for the answer any more.
    pub(super) fn begin_call(self: &Arc<Self>, route: &Route, prompt_bytes: usize, began: Instant) -> Call {
        let mut state = self.lock();
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
            is_void: false,
            is_cut: false,
        });
        let place = state.calls.len() - 1;
        let draft = Arc::clone(self);
        Call { draft, place }
    }

    /// Whether the reply ended because it had reached its limit.
    pub(crate) fn is_cut(&self) -> bool {
        let state = self.lock();
        // A model that was cut before it said a word may have been followed by the author.
        state.source == Some(ReplySource::Model)
            && state
                .speaker
                .and_then(|place| state.calls.get(place))
                .is_some_and(|call| call.is_cut)
    }

    /// The reply is a line of the author's.
    pub(super) fn authored(&self, chosen: Chosen) {
        let mut state = self.lock();
        state.source = Some(ReplySource::Authored);
        state.route = chosen.route.to_owned();
        state.lines.push(chosen.id);
        state.embedding = chosen.embedding.or(state.embedding.take());
    }

    /// A line of the author's stands beside a model's words: before them or at their end.
    pub(super) fn used_line(&self, chosen: Chosen) {
        let mut state = self.lock();
        state.lines.push(chosen.id);
        state.embedding = chosen.embedding.or(state.embedding.take());
    }

    /// Whether a model's words are the reply. Not known before they begin.
    pub(crate) fn is_of_a_model(&self) -> bool {
        self.lock().source == Some(ReplySource::Model)
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
            usage: state
                .calls
                .iter()
                .filter(|call| !call.is_void)
                .map(|call| call.usage(turn))
                .collect(),
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
        let draft = Arc::new(Draft::default());
        let cancelled = draft.begin_call(&route(), 400, Instant::now());
        let heard = draft.begin_call(&route(), 400, Instant::now());
        draft.begin_call(&route(), 400, Instant::now()).was_not_taken();
        cancelled.said(41);
        drop(cancelled);
        heard.speaks();
        heard.told(
            |tokens| {
                *tokens = Tokens {
                    input: 7,
                    output: u64::MAX,
                    ..Tokens::default()
                }
            },
            true,
        );
        let drafted = draft.take(TurnId::fresh());
        assert_eq!((drafted.source, drafted.route.as_str()), (ReplySource::Model, "far"));
        let usage = drafted.usage;
        assert_eq!(usage.len(), 2);
        assert_eq!(
            (usage[0].input_tokens, usage[0].output_tokens, usage[0].is_estimated),
            (100, 11, true)
        );
        assert_eq!((usage[1].input_tokens, usage[1].is_estimated), (7, false));
        assert_eq!(usage[1].output_tokens, u64::from(u32::MAX));
    }
}
