//! Starting a tool server's program, and ending it with all its children.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use gaia_names::Secret;
use gaia_service::Tasks;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
    sync::oneshot,
    time::timeout,
};

use crate::{
    clean,
    sandbox::{PATH, Sandbox},
};

/// How long a program has to end by itself once its input is closed, and then once it is told to.
const GRACE: Duration = Duration::from_secs(1);
/// How much of what a program complains about is logged in its life, in bytes.
const MOST_COMPLAINTS: usize = 64 * 1024;

/// A program to start.
pub(crate) struct Launch {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, Secret)>,
    /// What it may read besides the system's own.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) has_network: bool,
    /// Its own folder, the only one that it may write.
    pub(crate) home: PathBuf,
}

/// A program that runs. Dropping it kills it with all its children.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    group: Option<Pid>,
    /// The thread that started it lives as long as this: the sandbox ends the program when the thread is gone.
    _thread: Sender<()>,
}

/// Why a program does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchFault {
    /// It is not there.
    #[error("there is no program `{0}`; give an absolute path, or install it where {PATH} finds it")]
    NoProgram(String),
    /// Its folder cannot be made, or the system refuses to start it.
    #[error("`{program}` cannot be started")]
    Refused {
        /// The program.
        program: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox.
    #[error("the sandbox for `{0}` cannot be set up: {1}")]
    Sandbox(String, String),
}

/// The file that a program's name or path means.
pub(crate) fn program(name: &str) -> Result<PathBuf, LaunchFault> {
    let absent = || LaunchFault::NoProgram(name.to_owned());
    let is_program = |path: &PathBuf| path.is_file();
    if name.contains('/') {
        return Some(PathBuf::from(name))
            .filter(|path| path.is_absolute() && is_program(path))
            .ok_or_else(absent);
    }
    PATH.split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(is_program)
        .ok_or_else(absent)
}

/// Starts a program inside a sandbox.
pub(crate) async fn start(launch: Launch, sandbox: Sandbox) -> Result<Running, LaunchFault> {
    let shown = launch.program.display().to_string();
    let refused = |source| LaunchFault::Refused {
        program: shown.clone(),
        source,
    };
    std::fs::create_dir_all(&launch.home).map_err(refused)?;
    let (hold, held) = channel();
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new()
        .name(format!("tool-{}", launch.name))
        .stack_size(256 * 1024);
    let work = move || {
        let _runtime = runtime.enter();
        start_and_stay(&launch, sandbox, tell, &held);
    };
    thread.spawn(work).map_err(refused)?;
    let child = told
        .await
        .map_err(|_| refused(std::io::ErrorKind::BrokenPipe.into()))??;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    Ok(Running {
        child,
        group,
        _thread: hold,
    })
}

fn start_and_stay(
    launch: &Launch,
    sandbox: Sandbox,
    tell: oneshot::Sender<Result<Child, LaunchFault>>,
    held: &Receiver<()>,
) {
    let program = || launch.program.display().to_string();
    let bound = sandbox
        .bind_thread(launch)
        .map_err(|fault| LaunchFault::Sandbox(program(), fault.to_string()));
    let started = bound.and_then(|()| {
        sandbox.command(launch).spawn().map_err(|source| LaunchFault::Refused {
            program: program(),
            source,
        })
    });
    if tell.send(started).is_ok() {
        // Nothing is ever sent: this waits until the other end is dropped.
        let _ = held.recv();
    }
}

impl Running {
    /// Ends the program: its input is closed already, so it has a moment to go by itself, then it is told, then killed.
    pub(crate) async fn end(mut self) -> Option<std::process::ExitStatus> {
        if let Ok(status) = timeout(GRACE, self.child.wait()).await {
            return status.ok();
        }
        self.signal(Signal::TERM);
        if let Ok(status) = timeout(GRACE, self.child.wait()).await {
            return status.ok();
        }
        self.signal(Signal::KILL);
        timeout(GRACE, self.child.wait()).await.ok()?.ok()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails where nobody is left, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The last that a program complained about, for whoever asks why it does not run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    /// The last lines, on one.
    pub(crate) fn last(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!lines.is_empty()).then(|| lines.join(" | "))
    }

    /// Logs what comes, up to a limit, without the secrets that the program was given. What comes after is read and
    /// thrown away, so that the program does not stand still.
    pub(crate) fn hear(
        &self,
        server: &str,
        mut stream: impl AsyncRead + Unpin + Send + 'static,
        secrets: BTreeMap<String, Secret>,
        tasks: &Tasks,
    ) {
        let (complaints, server) = (self.clone(), server.to_owned());
        tasks.spawn_to_the_last(async move {
            let (mut chunk, mut line, mut heard) = (vec![0; 4096], Vec::new(), 0);
            while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                for byte in chunk[..count].iter().take(MOST_COMPLAINTS.saturating_sub(heard)) {
                    match byte {
                        b'\n' => complaints.note(&server, &std::mem::take(&mut line), &secrets),
                        byte if line.len() < 1000 => line.push(*byte),
                        _ => {}
                    }
                }
                heard = heard.saturating_add(count);
            }
            complaints.note(&server, &line, &secrets);
        });
    }

    fn note(&self, server: &str, line: &[u8], secrets: &BTreeMap<String, Secret>) {
        let mut line = clean::line(&String::from_utf8_lossy(line), 1000);
        for secret in secrets.values().filter(|secret| secret.expose().len() >= 4) {
            line = line.replace(secret.expose(), "***");
        }
        if line.is_empty() {
            return;
        }
        tracing::debug!(tool.server = server, "tool server `{server}` says: {line}");
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == 3 {
            lines.remove(0);
        }
        lines.push(line.chars().take(200).collect());
    }
}
