//! Words that wait for their delta.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Words that came since the last delta. The first words of a reply wait for nothing.
#[derive(Default)]
pub(super) struct Held {
    words: String,
    not_before: Option<Instant>,
}

impl Held {
    pub(super) fn push(&mut self, words: &str) {
        self.words.push_str(words);
    }

    /// Resolves when there are words and their time has come. May be dropped without loss.
    pub(super) async fn due(&self) {
        match self.not_before {
            _ if self.words.is_empty() => std::future::pending().await,
            Some(not_before) => sleep_until(not_before).await,
            None => {}
        }
    }

    /// The words for a delta. The next one comes after this pause.
    pub(super) fn take(&mut self, pause: Duration) -> String {
        self.not_before = Some(Instant::now() + pause);
        std::mem::take(&mut self.words)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_first_words_wait_for_nothing_and_the_next_for_the_pause() {
        let mut held = Held::default();
        assert!(held.due().now_or_never().is_none(), "there is nothing to say");
        held.push("Go ");
        assert!(held.due().now_or_never().is_some());
        let began = Instant::now();
        assert_eq!(held.take(Duration::from_millis(100)), "Go ");
        held.push("north");
        held.push(".");
        assert!(held.due().now_or_never().is_none());
        held.due().await;
        assert!(began.elapsed() >= Duration::from_millis(100));
        assert_eq!(held.take(Duration::ZERO), "north.");
    }
}
