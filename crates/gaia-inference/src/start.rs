//! Finding the machine's shared process, or starting it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use gaia_names::Secret;
use reqwest::StatusCode;
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::home::{Access, Home, HomeError, LOOK_AGAIN, Record, try_lock};
use crate::models::{self, EMBEDDING_MODEL, State};
use crate::server::default_threads;

const LOG: &str = "inference.log";

/// How long a process that is found running may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a process that does not answer gets to end before it is killed.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// What the process gets of the caller's environment.
const PASSED_ON: [&str; 5] = ["HOME", "LANG", "PATH", "RUST_LOG", "TMPDIR"];

/// How much of the log an error repeats, in characters.
const LOG_CHARACTERS: usize = 600;

/// What to start, and from where.
#[derive(Debug, Clone)]
pub struct Start {
    /// The home folder of the shared process; made if missing.
    pub home: PathBuf,
    /// The folder of installed models.
    pub models_folder: PathBuf,
    /// The program that runs `serve inference --home HOME --models FOLDER`; the `gaia` binary itself.
    pub program: PathBuf,
    /// How long the process may take until it answers, waiting for others who start it included.
    pub limit: Duration,
}

impl Start {
    /// Starts with a limit of 60 seconds.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, models_folder: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        let limit = Duration::from_mins(1);
        Self {
            home: home.into(),
            models_folder: models_folder.into(),
            program: program.into(),
            limit,
        }
    }
}

/// Why there is no inference.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No model is installed. Characters then answer from their barks.
    #[error("{reason}; install it with: gaia model pull {EMBEDDING_MODEL}")]
    NoModel {
        /// What is missing or damaged.
        reason: String,
    },
    /// The home folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A lock cannot be taken.
    #[error("failed to lock `start.lock` in `{home}`")]
    Lock {
        /// The home folder.
        home: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("failed to start `{program}`")]
    Program {
        /// The program.
        program: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The process ended instead of answering.
    #[error("the inference process ended at once ({status}); `{log}` says: {said}")]
    Ended {
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The log's end.
        said: String,
    },
    /// The process does not answer.
    #[error("inference was not ready after {seconds} s: {waited_for}; see `{log}`")]
    NotReady {
        /// The limit, in seconds.
        seconds: u64,
        /// What was missing last.
        waited_for: String,
        /// Its log.
        log: PathBuf,
    },
    /// The client cannot be made.
    #[error("failed to prepare the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Returns how to reach the machine's inference process; starts it when it is not there. Several callers at once start
/// one. The process outlives the caller, and ends when nobody has held a [`Lease`](crate::Lease) for a while: hold
/// one first.
///
/// # Errors
///
/// [`StartError`]; [`StartError::NoModel`] when there is nothing to serve.
pub async fn ensure_running(start: &Start) -> Result<Access, StartError> {
    let deadline = Instant::now() + start.limit;
    let home = Home::open(&start.home)?;
    let lock = home.lock_file("start.lock")?;
    let mut search = Search {
        start,
        key: home.key()?,
        home,
        client: client()?,
        deadline,
    };
    let failed = |source| StartError::Lock {
        home: start.home.clone(),
        source,
    };
    while !try_lock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
        search.wait("somebody else is starting it").await?;
    }
    if let Some(access) = search.running().await {
        return Ok(access);
    }
    check_model(&start.models_folder)?;
    search.end_the_silent().await;
    let mut child = search.spawn()?;
    let ready = search.until_ready(&mut child).await;
    if ready.is_err() {
        // What does not answer is of no use to the next caller either. It may have ended by itself.
        let _ = child.kill().await;
    }
    ready
}

fn check_model(models_folder: &Path) -> Result<(), StartError> {
    let reason = match models::find(EMBEDDING_MODEL).map(|model| models::state(model, models_folder)) {
        Ok(State::Installed) => return Ok(()),
        Ok(State::Absent) => format!(
            "the model `{EMBEDDING_MODEL}` is not installed in `{}`",
            models_folder.display()
        ),
        Ok(State::Damaged { reason }) => format!("the model `{EMBEDDING_MODEL}` is damaged ({reason})"),
        Err(error) => error.to_string(),
    };
    Err(StartError::NoModel { reason })
}

fn client() -> Result<reqwest::Client, StartError> {
    // Loopback only: a proxy of the environment must never see the key.
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2));
    builder
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(StartError::Client)
}

struct Search<'a> {
    start: &'a Start,
    home: Home,
    key: Secret,
    client: reqwest::Client,
    deadline: Instant,
}

impl Search<'_> {
    /// A running process that answers, or none.
    async fn running(&mut self) -> Option<Access> {
        let until = Instant::now() + ANSWER;
        let record = self.home.record().filter(|record| record.process.is_running())?;
        while Instant::now() < until.min(self.deadline) && record.process.is_running() {
            if self.look(&record).await.is_ok() {
                return Some(self.access(&record));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        None
    }

    /// Whether the process is ready and takes our key; else what is missing. The process has been seen running, and
    /// holds its port for as long as it runs, so the key goes to nobody else.
    async fn look(&self, record: &Record) -> Result<(), String> {
        let address = record.address;
        let ready = self.client.get(format!("http://{address}/health/ready")).send().await;
        let ready = ready.map_err(|_| "it does not answer".to_owned())?;
        if ready.status() != StatusCode::OK {
            let said = ready.text().await.unwrap_or_default();
            return Err(format!(
                "it answers: {}",
                said.chars().take(LOG_CHARACTERS).collect::<String>()
            ));
        }
        let models = self
            .client
            .get(format!("http://{address}/v1/models"))
            .bearer_auth(self.key.expose())
            .send()
            .await;
        match models.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Ok(()),
            Ok(status) => Err(format!("it does not take the key ({status})")),
            Err(_) => Err("it does not answer".into()),
        }
    }

    fn access(&self, record: &Record) -> Access {
        Access {
            base_url: format!("http://{}", record.address),
            key: self.key.clone(),
        }
    }

    /// Ends a process that is recorded and runs but is of no use, so that another can take its place.
    async fn end_the_silent(&self) {
        let Some(record) = self.home.record().filter(|record| record.process.is_running()) else {
            return;
        };
        tracing::warn!(
            "the inference process at {} does not answer as it should and is ended",
            record.address
        );
        for signal in [Signal::TERM, Signal::KILL] {
            record.process.signal(signal);
            let until = Instant::now() + LAST_CHANCE;
            while record.process.is_running() && Instant::now() < until {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Starts the process so that it outlives the caller and its terminal.
    fn spawn(&self) -> Result<Child, StartError> {
        let failed = |source| StartError::Program {
            program: self.start.program.clone(),
            source,
        };
        let log = self.home.log_file(LOG)?;
        let errors = log.try_clone().map_err(failed)?;
        let threads = default_threads().to_string();
        Command::new(&self.start.program)
            .args(["serve", "inference", "--home"])
            .arg(self.home.path())
            .arg("--models")
            .arg(std::path::absolute(&self.start.models_folder).map_err(failed)?)
            // The process belongs to every cluster of the machine, so no secret of this one's environment goes along.
            .env_clear()
            .envs(
                PASSED_ON
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            // candle reads its number of threads from these and nowhere else.
            .env("RAYON_NUM_THREADS", &threads)
            .env("CANDLE_NUM_THREADS", &threads)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // A group of its own: Ctrl-C in the caller's terminal does not reach it.
            .process_group(0)
            .spawn()
            .map_err(failed)
    }

    async fn until_ready(&self, child: &mut Child) -> Result<Access, StartError> {
        let mut missing = "it has not said where it listens".to_owned();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                let log = self.home.file(LOG);
                return Err(StartError::Ended {
                    status: status.to_string(),
                    said: end_of(&log),
                    log,
                });
            }
            if let Some(record) = self.home.record().filter(|record| record.process.is_running()) {
                match self.look(&record).await {
                    Ok(()) => return Ok(self.access(&record)),
                    Err(reason) => missing = reason,
                }
            }
            self.wait(&missing).await?;
        }
    }

    /// Waits a moment, or says that it has been too long.
    async fn wait(&self, waited_for: &str) -> Result<(), StartError> {
        if Instant::now() > self.deadline {
            let (seconds, waited_for) = (self.start.limit.as_secs(), waited_for.to_owned());
            return Err(StartError::NotReady {
                seconds,
                waited_for,
                log: self.home.file(LOG),
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }
}

/// The end of a log, on one line.
fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let joined = lines.join(" | ");
    let skipped = joined.chars().count().saturating_sub(LOG_CHARACTERS);
    joined.chars().skip(skipped).collect()
}
