//! Answers that come later: in a conversation that allows it, a persona that no model speaks for in time says so, and
//! models are asked again in the background of the turn.

use std::{sync::Arc, time::Duration};

use gaia_protocol::chat::LATEST_ANSWER;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Question, ladder::First, voice::Voice};

/// How long until models are asked again, the first time and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the last try may take.
const LAST_TRY: Duration = Duration::from_secs(70);

/// One reply's patience.
pub(super) struct Later {
    /// Until when models may be asked again; none where the conversation does not allow it.
    until: Option<Instant>,
    pause: Duration,
    /// One of the places of those who wait, once it has begun.
    place: Option<OwnedSemaphorePermit>,
    /// The player has been told.
    pub(super) is_told: bool,
}

impl Later {
    pub(super) fn of(question: &Question) -> Self {
        let may_wait = question.context.may_answer_later;
        Self {
            until: may_wait.then(|| Instant::from(question.asked_at) + LATEST_ANSWER),
            pause: FIRST_PAUSE,
            place: None,
            is_told: false,
        }
    }

    /// Whether to ask again rather than to take this for the end: nobody spoke in time, and nothing has been said yet.
    pub(super) fn allows(&self, first: &First, voice: &Voice) -> bool {
        let is_late = self.place.is_some() || matches!(first, First::TooLate);
        let last_try = Instant::now() + self.pause + LAST_TRY;
        is_late && self.until.is_some_and(|until| last_try < until) && voice.length() == 0
    }

    /// Whether it has a place among those who wait, or gets one. They must leave room for the others.
    pub(super) fn has_place(&mut self, places: &Arc<Semaphore>) -> bool {
        if self.place.is_none() {
            self.place = Arc::clone(places).try_acquire_owned().ok();
        }
        self.place.is_some()
    }

    /// Waits for a while, longer each time.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
