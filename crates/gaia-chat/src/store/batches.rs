//! Writes of many turns in one statement and one commit. A commit costs Postgres more than the rows in it, so what waits
//! while one batch is being committed goes into the next; a write that comes alone is not held back, unless nobody waits
//! for it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use gaia_service::{Postgres, Tasks, postgres::PostgresFault};
use tokio::sync::oneshot;

/// How many batches of a kind are under way at once. More would be smaller ones, and so more commits.
const WRITERS: usize = 1;
/// The most writes in a batch.
const MOST_WRITES: usize = 64;

type Answer<A> = Result<A, PostgresFault>;
type Write<Q, A> = for<'a> fn(&'a Postgres, &'a [Arc<Q>]) -> BoxFuture<'a, Answer<Vec<A>>>;

/// Writes of one kind. Cheap to clone.
pub(crate) struct Batches<Q, A>(Arc<Shared<Q, A>>);

struct Shared<Q, A> {
    postgres: Postgres,
    tasks: Tasks,
    write: Write<Q, A>,
    /// How long a batch waits for more.
    pause: Duration,
    queue: Mutex<Queue<Q, A>>,
}

struct Queue<Q, A> {
    waiting: VecDeque<(Arc<Q>, oneshot::Sender<Answer<A>>)>,
    writers: usize,
}

impl<Q, A> Clone for Batches<Q, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Send + Sync + 'static, A: Send + 'static> Batches<Q, A> {
    /// Writes with a function that answers in the order of the questions and does all of them or none.
    pub(crate) fn new(postgres: &Postgres, tasks: &Tasks, write: Write<Q, A>) -> Self {
        Self::every(Duration::ZERO, postgres, tasks, write)
    }

    /// The same for what nobody waits for: a batch waits for more, until it is full.
    pub(crate) fn every(pause: Duration, postgres: &Postgres, tasks: &Tasks, write: Write<Q, A>) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            writers: 0,
        };
        Self(Arc::new(Shared {
            postgres: postgres.clone(),
            tasks: tasks.clone(),
            write,
            pause,
            queue: Mutex::new(queue),
        }))
    }

    /// Writes one, together with what else waits.
    pub(crate) async fn write(&self, question: Arc<Q>) -> Answer<A> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut queue = self.0.lock();
            queue.waiting.push_back((question, answer));
            let begins = queue.writers < WRITERS;
            queue.writers += usize::from(begins);
            begins
        };
        if begins {
            let shared = Arc::clone(&self.0);
            self.0.tasks.spawn(async move { shared.work().await });
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl<Q, A> Shared<Q, A> {
    /// Until nothing waits.
    async fn work(&self) {
        // Also when a write panics: a place that is never given back would stop all writes.
        let mut place = WriterPlace {
            shared: self,
            is_left: false,
        };
        loop {
            self.wait_for_more().await;
            let Some((questions, answers)) = place.next_batch() else {
                return;
            };
            let outcome = (self.write)(&self.postgres, &questions).await;
            match outcome {
                Ok(results) => {
                    for (answer, result) in answers.into_iter().zip(results) {
                        let _ = answer.send(Ok(result));
                    }
                }
                Err(PostgresFault::Refused(_)) if questions.len() > 1 => self.one_by_one(questions, answers).await,
                Err(fault) => tell_all(fault, answers),
            }
        }
    }

    async fn wait_for_more(&self) {
        let waits = !self.pause.is_zero() && (1..MOST_WRITES).contains(&self.lock().waiting.len());
        if waits {
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = self.tasks.draining() => {}
            }
        }
    }

    /// One of a batch was refused, which says nothing about the others.
    async fn one_by_one(&self, questions: Vec<Arc<Q>>, answers: Vec<oneshot::Sender<Answer<A>>>) {
        for (question, answer) in questions.into_iter().zip(answers) {
            let outcome = (self.write)(&self.postgres, &[question]).await;
            let _ = answer.send(outcome.and_then(|mut results| results.pop().ok_or_else(gone)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Q, A>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct WriterPlace<'a, Q, A> {
    shared: &'a Shared<Q, A>,
    is_left: bool,
}

impl<Q, A> WriterPlace<'_, Q, A> {
    /// What waits; leaves in the same moment in which nothing does, so that whoever comes next sees it.
    #[expect(clippy::type_complexity, reason = "questions and where their answers go, apart")]
    fn next_batch(&mut self) -> Option<(Vec<Arc<Q>>, Vec<oneshot::Sender<Answer<A>>>)> {
        let mut queue = self.shared.lock();
        if queue.waiting.is_empty() {
            queue.writers -= 1;
            self.is_left = true;
            return None;
        }
        let many = queue.waiting.len().min(MOST_WRITES);
        Some(queue.waiting.drain(..many).unzip())
    }
}

impl<Q, A> Drop for WriterPlace<'_, Q, A> {
    fn drop(&mut self) {
        if !self.is_left {
            self.shared.lock().writers -= 1;
        }
    }
}

fn tell_all<A>(fault: PostgresFault, answers: Vec<oneshot::Sender<Answer<A>>>) {
    let mut first = Some(fault);
    for answer in answers {
        let fault = match &first {
            Some(PostgresFault::Busy) => PostgresFault::Busy,
            _ => first
                .take()
                .unwrap_or_else(|| PostgresFault::Lost("the batch was lost".into())),
        };
        let _ = answer.send(Err(fault));
    }
}

fn gone() -> PostgresFault {
    PostgresFault::Lost("the writer ended early".into())
}
