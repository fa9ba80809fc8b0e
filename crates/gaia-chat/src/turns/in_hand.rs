//! The turns that this process works on, so that a turn sent twice is one turn and a second turn waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gaia_names::{ConversationId, PlayerId, TurnId};
use gaia_protocol::chat::TakeTurn;
use gaia_service::EventSink;

use super::running::Running;

/// How many deltas a process wants to send in a second.
const DELTAS_PER_SECOND: u32 = 5_000;
const LONGEST_PACE: Duration = Duration::from_millis(250);

/// What is in hand. Keys hold the player: whose a turn or conversation really is, Postgres knows, and nobody is to
/// stand in the way of somebody else by naming their ids.
#[derive(Clone, Default)]
pub(crate) struct InHand(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    turns: HashMap<(TurnId, PlayerId), Arc<Running>>,
    conversations: HashMap<(ConversationId, PlayerId), TurnId>,
}

/// Whether a turn can begin here.
pub(super) enum Begun {
    /// It does.
    Here(Place),
    /// The same turn is in hand.
    Already(Arc<Running>),
    /// Another turn of the conversation is in hand.
    Busy,
    /// The turn's id is in hand for something else.
    Mismatch,
}

/// A turn's place among those in hand. Leaving or dropping it frees the place.
pub(super) struct Place {
    in_hand: InHand,
    running: Arc<Running>,
}

impl InHand {
    pub(super) fn begin(&self, ask: &TakeTurn, sink: &EventSink) -> Begun {
        let player = ask.caller.player;
        let mut held = self.lock();
        if let Some(running) = held.turns.get(&(ask.turn, player)) {
            return if running.conversation == ask.conversation && running.text == ask.text {
                Begun::Already(Arc::clone(running))
            } else {
                Begun::Mismatch
            };
        }
        if held.conversations.contains_key(&(ask.conversation, player)) {
            return Begun::Busy;
        }
        let running = Arc::new(Running::new(ask, sink.clone()));
        held.turns.insert((ask.turn, player), Arc::clone(&running));
        held.conversations.insert((ask.conversation, player), ask.turn);
        Begun::Here(Place {
            in_hand: self.clone(),
            running,
        })
    }

    /// A player's turn, if it is in hand here.
    pub(super) fn find(&self, turn: TurnId, player: PlayerId) -> Option<Arc<Running>> {
        self.lock().turns.get(&(turn, player)).cloned()
    }

    /// The conversation is gone, and with it what is being said in it.
    pub(crate) fn give_up_conversation(&self, conversation: ConversationId) {
        let held = self.lock();
        for running in held
            .turns
            .values()
            .filter(|running| running.conversation == conversation)
        {
            running.given_up.cancel();
        }
    }

    /// How long a turn waits between two deltas, so that many turns at once do not drown in them: a process that has a
    /// thousand in hand tells more in each of fewer. With a handful there is no wait that anybody could see.
    pub(super) fn pace(&self) -> Duration {
        let turns = u32::try_from(self.lock().turns.len()).unwrap_or(u32::MAX);
        LONGEST_PACE.min(Duration::from_secs(1) / DELTAS_PER_SECOND * turns)
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().turns.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running)
    }

    pub(super) fn leave(self) -> Arc<Running> {
        Arc::clone(&self.running)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (turn, conversation, player) = (self.running.turn, self.running.conversation, self.running.player);
        let mut held = self.in_hand.lock();
        held.turns.remove(&(turn, player));
        held.conversations.remove(&(conversation, player));
    }
}
