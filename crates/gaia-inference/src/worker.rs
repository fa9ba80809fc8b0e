//! The one thread that owns the model, and the bounded queue in front of it.
//!
//! One thread, because two forward passes at once on the same cores are slower than one after the other. What waits
//! while a pass runs shares the next pass, so many small requests cost little more than one large one.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::cache::Embedding;
use crate::encoder::{Encoder, EncoderError, Tokens};
use crate::models::Model;
use crate::server::Metrics;

/// How many texts share one forward pass at most.
const BATCH_TEXTS: usize = 16;

/// How many tokens one forward pass takes at most, padding included. It bounds memory and how long others wait.
const BATCH_TOKENS: usize = 2_048;

impl Job {
    fn reply(self, result: Result<Embedding, String>) {
        drop(self.place);
        // Nobody listens any more when the reply cannot be sent.
        drop(self.reply.send(result));
    }
}

/// Where the worker is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Life {
    /// It reads the model.
    Loading,
    /// It answers.
    Ready,
    /// It cannot answer, and why.
    Failed(String),
    /// It has ended.
    Ended,
}

/// Why a text was not embedded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unembedded {
    /// Too many texts wait.
    Full,
    /// The worker has gone.
    Gone,
    /// The model failed.
    Failed(String),
}

struct Job {
    text: String,
    reply: oneshot::Sender<Result<Embedding, String>>,
    /// A place in the queue, given back before the reply: who has an answer waits no more.
    place: OwnedSemaphorePermit,
}

/// What it takes to start a worker.
pub(crate) struct Start {
    pub(crate) model: &'static Model,
    pub(crate) models_folder: PathBuf,
    pub(crate) threads: usize,
    pub(crate) waiting_texts: usize,
    pub(crate) metrics: Arc<Metrics>,
}

/// The queue's near end. When the last one goes, the worker ends.
#[derive(Clone)]
pub(crate) struct Worker {
    jobs: SyncSender<Job>,
    places: Arc<Semaphore>,
    life: watch::Receiver<Life>,
}

impl Worker {
    /// Starts the thread, which first loads the model.
    pub(crate) fn start(start: Start) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(start.waiting_texts);
        let (tell, life) = watch::channel(Life::Loading);
        let places = Arc::new(Semaphore::new(start.waiting_texts));
        std::thread::Builder::new()
            .name("embedding".into())
            .spawn(move || live(&start, &queue, tell))?;
        Ok(Self { jobs, places, life })
    }

    /// Where the worker is in its life, now and later.
    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    /// How many more texts may wait.
    pub(crate) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// Embeds some texts, or none of them when not all may wait. Dropping the future gives the places back.
    pub(crate) async fn embed(&self, texts: Vec<String>) -> Result<Vec<Embedding>, Unembedded> {
        let count = u32::try_from(texts.len()).map_err(|_| Unembedded::Full)?;
        let mut places = Arc::clone(&self.places)
            .try_acquire_many_owned(count)
            .map_err(|_| Unembedded::Full)?;
        let mut replies = Vec::with_capacity(texts.len());
        for text in texts {
            let place = places.split(1).ok_or(Unembedded::Full)?;
            let (reply, answer) = oneshot::channel();
            // The queue is as long as there are places, so it is never full here.
            self.jobs
                .try_send(Job { text, reply, place })
                .map_err(|_| Unembedded::Gone)?;
            replies.push(answer);
        }
        let mut embeddings = Vec::with_capacity(replies.len());
        for reply in replies {
            let answer = reply.await.map_err(|_| Unembedded::Gone)?;
            embeddings.push(answer.map_err(Unembedded::Failed)?);
        }
        Ok(embeddings)
    }
}

/// Says that the worker has ended, however it ends.
struct Ending(watch::Sender<Life>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_if_modified(|life| {
            let changed = !matches!(life, Life::Failed(_));
            if changed {
                *life = Life::Ended;
            }
            changed
        });
    }
}

fn live(start: &Start, queue: &Receiver<Job>, tell: watch::Sender<Life>) {
    let ending = Ending(tell);
    let started = Instant::now();
    let encoder = match Encoder::load(start.model, &start.models_folder, start.threads) {
        Ok(encoder) => encoder,
        Err(error) => {
            tracing::error!("{error}");
            ending.0.send_replace(Life::Failed(error.to_string()));
            return;
        }
    };
    let elapsed_ms = started.elapsed().as_millis();
    tracing::info!("model `{}` is loaded after {elapsed_ms} ms", start.model.name);
    ending.0.send_replace(Life::Ready);
    let mut waiting: VecDeque<(Job, Tokens)> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv() {
                Ok(job) => take_in(&encoder, job, &mut waiting),
                Err(_) => return,
            }
        }
        while let Ok(job) = queue.try_recv() {
            take_in(&encoder, job, &mut waiting);
        }
        waiting.retain(|(job, _)| !job.reply.is_closed());
        let batch = next_batch(&mut waiting, |(_, tokens)| tokens.count());
        answer(&encoder, batch, &start.metrics);
    }
}

fn take_in(encoder: &Encoder, job: Job, waiting: &mut VecDeque<(Job, Tokens)>) {
    match encoder.tokens(&job.text) {
        Ok(tokens) => waiting.push_back((job, tokens)),
        Err(error) => job.reply(Err(error.to_string())),
    }
}

fn answer(encoder: &Encoder, batch: Vec<(Job, Tokens)>, metrics: &Metrics) {
    if batch.is_empty() {
        return;
    }
    let started = Instant::now();
    let tokens: Vec<&Tokens> = batch.iter().map(|(_, tokens)| tokens).collect();
    let result = encoder.embed(&tokens);
    metrics.count_pass(batch.len(), started.elapsed());
    match result {
        Ok(vectors) => {
            for ((job, tokens), vector) in batch.into_iter().zip(vectors) {
                let tokens = u32::try_from(tokens.count()).unwrap_or(u32::MAX);
                job.reply(Ok(Embedding { vector, tokens }));
            }
        }
        Err(error) => fail(batch, &error),
    }
}

fn fail(batch: Vec<(Job, Tokens)>, error: &EncoderError) {
    tracing::error!(
        "{error}: {}",
        std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default()
    );
    for (job, _) in batch {
        job.reply(Err(error.to_string()));
    }
}

/// Takes the oldest, and of the others those of similar length: padding a short text to a long one would cost more
/// than a pass of its own.
fn next_batch<T>(waiting: &mut VecDeque<T>, length: impl Fn(&T) -> usize) -> Vec<T> {
    let Some(first) = waiting.pop_front() else {
        return Vec::new();
    };
    let wanted = length(&first);
    let (mut longest, mut batch, mut left) = (wanted, vec![first], VecDeque::new());
    for item in waiting.drain(..) {
        let padded = longest.max(length(&item));
        let room = batch.len() < BATCH_TEXTS && (batch.len() + 1) * padded <= BATCH_TOKENS;
        if room && is_similar(wanted, length(&item)) {
            longest = padded;
            batch.push(item);
        } else {
            left.push_back(item);
        }
    }
    *waiting = left;
    batch
}

/// Within a half and twice, or a few tokens apart.
fn is_similar(one: usize, other: usize) -> bool {
    let (shorter, longer) = (one.min(other), one.max(other));
    longer <= shorter * 2 || longer - shorter <= 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
        let mut waiting: VecDeque<usize> = lengths.iter().copied().collect();
        std::iter::from_fn(|| Some(next_batch(&mut waiting, |length| *length)).filter(|batch| !batch.is_empty()))
            .collect()
    }

    #[test]
    fn texts_of_similar_length_share_a_pass_and_the_oldest_goes_first() {
        assert_eq!(batches(&[10, 256, 12, 9, 200]), [vec![10, 12, 9], vec![256, 200]]);
    }

    #[test]
    fn a_pass_takes_at_most_sixteen_texts() {
        let sizes: Vec<usize> = batches(&[20; 40]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [16, 16, 8]);
    }

    #[test]
    fn a_pass_of_long_texts_is_bounded_by_its_tokens() {
        let sizes: Vec<usize> = batches(&[256; 20]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [8, 8, 4]);
    }
}
