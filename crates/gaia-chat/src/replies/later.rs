//! Answers that come later: in a conversation that allows it, a persona that no model speaks for in time says so, and
//! models are asked again in the background of the turn.

use std::time::Duration;

use gaia_protocol::chat::LATEST_ANSWER;
use tokio::time::Instant;

use super::{Question, ladder::First, voice::Voice};

/// How long until models are asked again, the first time and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One reply's patience.
pub(super) struct Later {
    /// Until when models may be asked again; none where the conversation does not allow it.
    until: Option<Instant>,
    pause: Duration,
    pub(super) has_begun: bool,
}

impl Later {
    pub(super) fn of(question: &Question) -> Self {
        let may_wait = question.context.may_answer_later;
        Self {
            until: may_wait.then(|| Instant::from(question.asked_at) + LATEST_ANSWER),
            pause: FIRST_PAUSE,
            has_begun: false,
        }
    }

    /// Whether to ask again rather than to take this for the end: nobody spoke in time, and nothing has been said yet.
    pub(super) fn allows(&self, first: &First, voice: &Voice) -> bool {
        let is_late = self.has_begun || matches!(first, First::TooLate);
        let has_time = self.until.is_some_and(|until| Instant::now() + self.pause < until);
        is_late && has_time && voice.length() == 0
    }

    /// Waits for a while, longer each time.
    pub(super) async fn pause(&mut self) {
        self.has_begun = true;
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
