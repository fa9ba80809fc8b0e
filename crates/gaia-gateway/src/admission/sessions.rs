//! Asking `auth` whether a session holds, for when Redis cannot tell.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gaia_names::{PlayerId, SessionId};
use gaia_protocol::{
    Fault,
    auth::{Caller, CheckSession, SessionState},
};
use gaia_service::{Bus, Call};

/// How long an answer is used again. While Redis is away, signing out takes this long to hold at other instances.
const USED_AGAIN: Duration = Duration::from_secs(1);
/// So many answers are kept at once.
const MOST_KEPT: usize = 20_000;

pub(super) struct Sessions {
    bus: Bus,
    known: Mutex<HashMap<SessionId, Known>>,
}

struct Known {
    player: PlayerId,
    state: SessionState,
    at: Instant,
}

impl Known {
    fn holds(&self) -> bool {
        self.at.elapsed() < USED_AGAIN
    }
}

impl Sessions {
    pub(super) fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            known: Mutex::new(HashMap::new()),
        }
    }

    pub(super) async fn state(&self, call: &Call, caller: &Caller) -> Result<SessionState, Fault> {
        let (player, session) = (caller.player, caller.session);
        if let Some(state) = self.known(session) {
            return Ok(state);
        }
        let state = self.bus.ask(call, &CheckSession { session }).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KEPT {
            known.retain(|_, known| known.holds());
        }
        if known.len() < MOST_KEPT {
            let at = Instant::now();
            known.insert(session, Known { player, state, at });
        }
        Ok(state)
    }

    /// Forgets what is known of a player's sessions, because the player has just ended some.
    pub(super) fn forget(&self, player: PlayerId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.player != player);
    }

    fn known(&self, session: SessionId) -> Option<SessionState> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&session)
            .filter(|known| known.holds())
            .map(|known| known.state)
    }
}
