//! One model behind OpenAI's `/v1/embeddings`, on a listener that the caller brings.

mod access;
mod connections;
mod embeddings;
mod metrics;
mod refusal;
mod router;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gaia_names::Secret;
use tokio::net::TcpListener;

use crate::cache::{Cache, Kept};
use crate::models::{self, Model, ModelError};
use crate::worker::{Life, Start, Worker};

pub use embeddings::KEEP_HEADER;
pub(crate) use metrics::Metrics;

use access::Key;

/// The file of kept embeddings in the cache folder.
const KEPT_FILE: &str = "kept-embeddings";

/// How long requests may still take once the server is to end.
const DRAIN: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bearer keys of which every request needs one, but those to `/health/...`. There are two while one is replaced.
    pub keys: Vec<Secret>,
    /// The folder of installed models.
    pub models_folder: PathBuf,
    /// The model to serve, by its name in the catalogue.
    pub model: String,
    /// The folder for embeddings that clients ask to keep. It must be there.
    pub cache_folder: PathBuf,
    /// How many threads a forward pass may use. Beside it, candle takes its own measure from `RAYON_NUM_THREADS` and
    /// `CANDLE_NUM_THREADS`, which [`ensure_running`](crate::ensure_running) sets for the process that it starts.
    pub threads: usize,
    /// How many texts may wait or be in a pass at once; whoever comes with more is answered 503.
    pub waiting_texts: usize,
    /// How long a request may take.
    pub request_limit: Duration,
    /// How many connections may be open at once; more wait until one closes.
    pub connections: usize,
}

impl Settings {
    /// The embedding model with the usual limits: all cores but one, 256 waiting texts, 10 seconds, 256 connections.
    #[must_use]
    pub fn new(key: Secret, models_folder: impl Into<PathBuf>, cache_folder: impl Into<PathBuf>) -> Self {
        Self {
            keys: vec![key],
            models_folder: models_folder.into(),
            model: models::EMBEDDING_MODEL.into(),
            cache_folder: cache_folder.into(),
            threads: default_threads(),
            waiting_texts: 256,
            request_limit: Duration::from_secs(10),
            connections: 256,
        }
    }
}

/// All cores but one, so that a game's services keep one for themselves.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// Why serving ended badly or never began.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The catalogue has no such model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The thread that owns the model did not start.
    #[error("failed to start the model's thread")]
    Thread(#[source] io::Error),
    /// The thread that owns the model ended while it was needed.
    #[error("the model's thread ended unexpectedly; start the process again")]
    WorkerEnded,
}

/// What every request may reach.
pub(crate) struct Shared {
    keys: Vec<Key>,
    model: &'static Model,
    request_limit: Duration,
    cache: Cache,
    worker: Worker,
    metrics: Arc<Metrics>,
}

/// Serves until `shutdown` resolves, then lets running requests end for at most 10 seconds. The model is loaded
/// meanwhile: until then, and when it cannot be loaded, `/health/ready` says so and `/v1/embeddings` answers 503.
///
/// # Errors
///
/// [`ServeError`]. A model that is not installed is no error here: `/health/ready` tells it.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let model = models::find(&settings.model)?;
    let metrics = Arc::new(Metrics::default());
    let start = Start {
        model,
        models_folder: settings.models_folder,
        threads: settings.threads.max(1),
        waiting_texts: settings.waiting_texts.max(1),
        metrics: Arc::clone(&metrics),
    };
    let worker = Worker::start(start).map_err(ServeError::Thread)?;
    let mut life = worker.life();
    let shared = Arc::new(Shared {
        keys: settings.keys.iter().map(Key::new).collect(),
        model,
        request_limit: settings.request_limit,
        cache: Cache::new(Kept::open(&settings.cache_folder.join(KEPT_FILE), model)),
        worker,
        metrics,
    });
    let mut worker_ended = life.clone();
    let ended = async {
        tokio::select! {
            () = shutdown => Ok(()),
            // A worker that could not load its model has gone without ending; the server stays to say why.
            Ok(_) = worker_ended.wait_for(|life| *life == Life::Ended) => Err(ServeError::WorkerEnded),
        }
    };
    let outcome = connections::accept(listener, router::router(shared), settings.connections, ended).await;
    // The router has gone with its last connection and the queue with it, so the worker ends after its present pass.
    let gone = life.wait_for(|life| matches!(life, Life::Ended | Life::Failed(_)));
    if tokio::time::timeout(DRAIN, gone).await.is_err() {
        tracing::warn!(
            "the model's thread is still in a pass after {} s and is left behind",
            DRAIN.as_secs()
        );
    }
    outcome
}
