//! Background work that shutdown waits for.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process. Everything that runs beside a request is spawned here, so that nothing is cut off
/// silently when the process ends.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: CancellationToken,
    stopping: CancellationToken,
}

impl Tasks {
    /// Runs a task. It should end soon after [`Tasks::stopping`], or [`Tasks::draining`] if it takes in new work.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        self.tracker.spawn(task);
    }

    /// Resolves when no new work should be taken in.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Whether no new work should be taken in.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Resolves when work in hand should be given up.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Takes in no more work, waits for what is in hand up to `grace`, then gives the rest up and waits a second.
    /// True if everything ended by itself.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.draining.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(grace, self.tracker.wait()).await.is_ok();
        self.stopping.cancel();
        ended
            || tokio::time::timeout(Duration::from_secs(1), self.tracker.wait())
                .await
                .is_ok()
    }
}
