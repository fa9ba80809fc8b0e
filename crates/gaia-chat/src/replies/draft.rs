//! What is known of a reply while it is being made: where it comes from and what it used. It outlives the making, so
//! that a reply that was stopped is metered too.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use gaia_names::TurnId;
pub(super) use gaia_protocol::money::Tokens;
use gaia_protocol::{bundle::Route, chat::ReplySource};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    authored::Chosen,
    budget::{Held, guess},
    store::{claims::UsageRow, ledger::provider_word},
};

/// A reply in the making.
#[derive(Default)]
pub(crate) struct Draft {
    state: Mutex<State>,
    /// A model has been called.
    called: CancellationToken,
}

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
    turn: TurnId,
    route: String,
    provider: &'static str,
    model: String,
    count: Count,
    began: Instant,
    /// What it is paid from, until it has ended.
    held: Option<Held>,
    /// What it comes to, once it has ended.
    row: Option<UsageRow>,
    /// It ended because it had reached its limit.
    is_cut: bool,
}

/// What is known of the tokens of a call.
#[derive(Default)]
struct Count {
    prompt_bytes: usize,
    said_bytes: usize,
    told: Option<Tokens>,
    /// The provider has told the whole, not what it was at the beginning.
    is_told_whole: bool,
}

/// One call of a provider, for as long as it goes on. Dropping it ends the call.
pub(super) struct Call {
    draft: Arc<Draft>,
    place: usize,
}

impl Call {
    /// It has said more.
    pub(super) fn said(&self, bytes: usize) {
        self.change(|call| call.count.said_bytes += bytes);
    }

    /// The provider tells what it uses; what it tells later replaces what it told before.
    pub(super) fn told(&self, tell: impl FnOnce(&mut Tokens), is_whole: bool) {
        self.change(|call| {
            tell(call.count.told.get_or_insert_default());
            call.count.is_told_whole |= is_whole;
        });
    }

    /// The provider wants nothing for it. What was set aside is given back before the next route wants some.
    pub(super) async fn was_not_taken(&self) {
        let mut held = None;
        self.change(|call| held = call.held.take());
        if let Some(held) = held {
            held.never_began().await;
        }
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
        self.change(CallMade::end);
    }
}

impl Draft {
    /// Resolves once a model has been called.
    pub(crate) async fn is_called(&self) {
        self.called.cancelled().await;
    }

    /// A provider is asked and will want to be paid for it, also when nobody waits for the answer any more.
    pub(super) fn begin_call(
        self: &Arc<Self>,
        route: &Route,
        turn: TurnId,
        prompt_bytes: usize,
        began: Instant,
        held: Held,
    ) -> Call {
        self.called.cancel();
        let mut state = self.lock();
        state.calls.push(CallMade {
            turn,
            route: route.name.clone(),
            provider: provider_word(route.provider),
            model: route.model.clone(),
            count: Count {
                prompt_bytes,
                ..Count::default()
            },
            began,
            held: Some(held),
            row: None,
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
    pub(crate) fn take(&self) -> Drafted {
        let mut state = std::mem::take(&mut *self.lock());
        let usage = state.calls.iter_mut().filter_map(|call| {
            call.end();
            call.row.take()
        });
        let usage = usage.collect();
        Drafted {
            source: state.source.unwrap_or(ReplySource::Authored),
            route: state.route,
            lines: state.lines,
            embedding: state.embedding,
            usage,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallMade {
    /// Works out what it comes to and settles that.
    fn end(&mut self) {
        if let Some(held) = self.held.take() {
            let row = self.usage(&held);
            self.row = Some(row.clone());
            held.settle(row);
        }
    }

    fn usage(&self, held: &Held) -> UsageRow {
        let tokens = self.count.tokens();
        UsageRow {
            id: Uuid::now_v7(),
            turn: self.turn,
            route: self.route.clone(),
            provider: self.provider,
            model: self.model.clone(),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cache_read_tokens: tokens.cache_read,
            cache_write_tokens: tokens.cache_write,
            is_estimated: !self.count.is_told_whole,
            milliseconds: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            day: held.day(),
            cost_micros: held.cost(&tokens),
            reservation: held.reservation(),
        }
    }
}

impl Drop for CallMade {
    /// Whoever listened is gone, and the provider wants to be paid all the same.
    fn drop(&mut self) {
        self.end();
    }
}

impl Count {
    fn tokens(&self) -> Tokens {
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
        // What a provider claims may be anything; a count that Postgres cannot hold would lose the reply.
        let bounded = |count: u64| count.min(u64::from(u32::MAX));
        Tokens {
            input: bounded(tokens.input),
            output: bounded(tokens.output),
            cache_read: bounded(tokens.cache_read),
            cache_write: bounded(tokens.cache_write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_metered_as_told_or_as_guessed() {
        let mut count = Count {
            prompt_bytes: 400,
            said_bytes: 41,
            ..Count::default()
        };
        let tokens = count.tokens();
        assert_eq!((tokens.input, tokens.output), (100, 11));
        count.told = Some(Tokens {
            input: 7,
            output: 1,
            ..Tokens::default()
        });
        let tokens = count.tokens();
        assert_eq!((tokens.input, tokens.output), (7, 11), "what was told at the beginning");
        count.is_told_whole = true;
        assert_eq!(count.tokens().output, 1);
        count.told = Some(Tokens {
            output: u64::MAX,
            ..Tokens::default()
        });
        assert_eq!(count.tokens().output, u64::from(u32::MAX));
    }
}
