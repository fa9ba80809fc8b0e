//! The body of `gaia serve inference`: one process for a machine that its clusters share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::home::{Home, HomeError, LOOK_AGAIN, Process, Record, try_lock};
use crate::models::{self, EMBEDDING_MODEL, ModelError, State};
use crate::server::{ServeError, Settings, serve};
use crate::users::{LeaseError, unused};

/// The ports that are tried before any free one.
const PORTS: std::ops::Range<u16> = 7411..7431;

/// How long to wait for a process before this one to be gone altogether: a killed one seems dead a moment before the
/// kernel has released its locks.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// How to run the shared process.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Its home folder; made if missing, closed to other users.
    pub home: PathBuf,
    /// The folder of installed models.
    pub models_folder: PathBuf,
    /// How long nobody may hold a [`Lease`](crate::Lease) before the process ends; `None` to run until a signal.
    pub patience: Option<Duration>,
}

impl RunSettings {
    /// A process that ends when nobody has used it for 10 seconds.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, models_folder: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            models_folder: models_folder.into(),
            patience: Some(Duration::from_secs(10)),
        }
    }
}

/// Why the process did not start or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The home folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another process serves this home already.
    #[error("another inference process serves `{home}` already; use that one, or stop it first")]
    AlreadyRunning {
        /// The home folder.
        home: PathBuf,
    },
    /// No model is installed.
    #[error("{reason}; type: gaia model pull {EMBEDDING_MODEL}")]
    NoModel {
        /// What is missing or damaged.
        reason: String,
    },
    /// The model's name is not in the catalogue.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is no port.
    #[error("failed to listen on 127.0.0.1")]
    Listen(#[source] io::Error),
    /// The process cannot be prepared.
    #[error("failed to {doing}")]
    Prepare {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The leases cannot be watched.
    #[error(transparent)]
    Users(#[from] LeaseError),
    /// Serving ended badly.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Listens on loopback, leaves word in the home folder, and serves until SIGTERM, SIGINT, or until nobody has used the
/// process for long enough.
///
/// # Errors
///
/// [`RunError`].
pub async fn run(settings: RunSettings) -> Result<(), RunError> {
    let home = Home::open(&settings.home)?;
    let lock = home.lock_file("server.lock")?;
    let prepare = |doing| move |source| RunError::Prepare { doing, source };
    let deadline = Instant::now() + LOCK_WAIT;
    while !try_lock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(prepare("lock `server.lock`"))? {
        if Instant::now() > deadline {
            let home = home.path().into();
            return Err(RunError::AlreadyRunning { home });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    check_model(&settings)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(prepare("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(prepare("listen for SIGINT"))?;
    let listener = listen(home.record().map(|record| record.address.port())).await?;
    let address = listener.local_addr().map_err(RunError::Listen)?;
    let key = home.key()?;
    let process = Process::current().map_err(prepare("read /proc/self/stat"))?;
    home.write_record(&Record { process, address })?;
    tracing::info!("inference listens on {address}");

    // Kept until the very end: whoever wants a lease meanwhile waits, and then finds no process and starts one.
    let mut proof = None;
    let shutdown = async {
        let nobody = async {
            match settings.patience {
                Some(patience) => unused(&home, patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("inference ends: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("inference ends: SIGINT"),
            ended = nobody => {
                tracing::info!("inference ends: no cluster uses it");
                proof = Some(ended);
            }
        }
    };
    let outcome = serve(
        listener,
        Settings::new(key, settings.models_folder, home.path()),
        shutdown,
    )
    .await;
    home.remove_record();
    // First this, then the proof: who waits for a lease finds the home free.
    drop(lock);
    outcome?;
    match proof {
        Some(Err(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

fn check_model(settings: &RunSettings) -> Result<(), RunError> {
    let model = models::find(EMBEDDING_MODEL)?;
    match models::state(model, &settings.models_folder) {
        State::Installed => Ok(()),
        State::Absent => {
            let folder = settings.models_folder.display();
            Err(RunError::NoModel {
                reason: format!("no model is installed in `{folder}`"),
            })
        }
        State::Damaged { reason } => Err(RunError::NoModel {
            reason: format!("the model is damaged ({reason})"),
        }),
    }
}

/// The port of before, so that who knows the address need not learn a new one; else the first free one.
async fn listen(before: Option<u16>) -> Result<TcpListener, RunError> {
    for port in before.into_iter().chain(PORTS) {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(RunError::Listen)
}
