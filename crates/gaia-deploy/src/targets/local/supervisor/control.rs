//! The supervisor's control socket: one question and one answer per connection, each a line of JSON.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::report::Report;
use crate::{
    ClusterFolder, DeployError,
    home::fits_a_socket,
    targets::local::{background::in_background, files},
};

/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of a question or an answer.
const LONGEST: u64 = 256 << 10;
/// How many may ask at once.
const CONNECTIONS: usize = 16;

/// What a supervisor may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Question {
    /// How are they?
    Status,
    /// Read again what should run, and see to it.
    Reload,
    /// Stop and start one process.
    Restart {
        /// Which.
        process: String,
    },
    /// Stop all processes, services first, and end.
    Stop,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) refusal: Option<String>,
    pub(crate) report: Option<Report>,
}

/// The listening socket.
pub(super) struct Control {
    task: JoinHandle<()>,
    folder: ClusterFolder,
}

type Asked = (Question, oneshot::Sender<Answer>);

impl Control {
    pub(super) fn open(folder: &ClusterFolder, ask: mpsc::Sender<Asked>) -> Result<Self, DeployError> {
        let path = fits_a_socket(folder.control())?;
        files::remove_file(&path)?;
        let listener = UnixListener::bind(&path).map_err(DeployError::file("listen on", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(DeployError::file("close", &path))?;
        let task = in_background(accept(listener, ask));
        Ok(Self {
            task,
            folder: folder.clone(),
        })
    }

    pub(super) fn close(self) {
        self.task.abort();
        // The next supervisor removes it as well.
        let _ = files::remove_file(&self.folder.control());
    }
}

async fn accept(listener: UnixListener, ask: mpsc::Sender<Asked>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let ask = ask.clone();
                in_background(async move {
                    // Whoever asks sees for itself that no answer comes.
                    let _ = timeout(PATIENCE, serve(stream, ask)).await;
                    drop(place);
                });
            }
            Err(fault) => {
                tracing::warn!(error = %fault, "a connection to the control socket failed: {fault}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, ask: mpsc::Sender<Asked>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Err(fault) => Answer {
            refusal: Some(format!("not a question: {fault}")),
            report: None,
        },
        Ok(question) => {
            let (reply, answer) = oneshot::channel();
            let gone = || std::io::Error::other("the supervisor is ending");
            ask.send((question, reply)).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        }
    };
    write
        .write_all((serde_json::to_string(&answer)? + "\n").as_bytes())
        .await
}

/// Asks the supervisor of a cluster.
pub(crate) async fn ask(
    folder: &ClusterFolder,
    doing: &'static str,
    question: &Question,
) -> Result<Answer, DeployError> {
    let failed = |why: String| DeployError::Supervisor {
        cluster: folder.name().to_string(),
        doing,
        why,
    };
    let asked = timeout(PATIENCE, exchange(folder, question)).await;
    let answer = asked
        .map_err(|_| failed("it does not answer".to_owned()))?
        .map_err(|fault| failed(fault.to_string()))?;
    match answer.refusal {
        Some(why) => Err(failed(why)),
        None => Ok(answer),
    }
}

async fn exchange(folder: &ClusterFolder, question: &Question) -> std::io::Result<Answer> {
    let (read, mut write) = UnixStream::connect(folder.control()).await?.into_split();
    write
        .write_all((serde_json::to_string(question)? + "\n").as_bytes())
        .await?;
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
