//! Background work that shutdown waits for.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process. Everything that runs beside a request is spawned here, so that nothing is cut off
/// silently when the process ends.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    work: TaskTracker,
    house: TaskTracker,
    draining: CancellationToken,
    stopping: CancellationToken,
}

impl Tasks {
    /// Runs a task that draining waits for. It should end by itself, or soon after [`Tasks::draining`].
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.work.spawn(task);
    }

    /// Runs a task that others in hand need to the last, such as the ops port. It should end soon after
    /// [`Tasks::stopping`], and draining does not wait for it.
    pub fn spawn_to_the_last<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.house.spawn(task);
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
        self.work.close();
        self.house.close();
        let ended = tokio::time::timeout(grace, self.work.wait()).await.is_ok();
        self.stopping.cancel();
        let rest = async { tokio::join!(self.work.wait(), self.house.wait()) };
        tokio::time::timeout(Duration::from_secs(1), rest).await.is_ok() && ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn draining_waits_for_work_and_not_for_what_serves_to_the_last() {
        let tasks = Tasks::default();
        let (house, work) = (tasks.clone(), tasks.clone());
        tasks.spawn_to_the_last(async move { house.stopping().await });
        tasks.spawn(async move { work.draining().await });
        let began = Instant::now();
        assert!(tasks.drain(Duration::from_secs(30)).await);
        assert!(began.elapsed() < Duration::from_secs(10), "it waited for the house");
    }

    #[tokio::test]
    async fn work_that_does_not_end_is_given_up() {
        let tasks = Tasks::default();
        tasks.spawn(std::future::pending());
        assert!(!tasks.drain(Duration::from_millis(50)).await);
    }
}
