//! The process that outlives the command: it starts what should run, restarts what dies and adopts what it finds.
//!
//! Its children do not end with it. A supervisor that starts again finds them by process id and start time, or by the
//! folder in which they work, and goes on from there.

pub(crate) mod control;
mod logs;
pub(crate) mod report;
#[cfg(test)]
mod tests;
mod watch;
mod watched;

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};

use self::{control::Control, watch::Watch};
use super::{files, processes::ProcessSpec};
use crate::{ClusterFolder, DeployError};

/// How long a supervisor waits for the one before it to be gone.
const TAKEOVER: Duration = Duration::from_secs(3);
/// How often the logs are looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// How many questions may wait.
const QUESTIONS: usize = 16;

/// Watches over the processes of one cluster until it is told to stop them: the body of
/// `gaia serve supervisor --cluster <folder>`. What `on_start` gives is held as long as it runs; it may block.
///
/// SIGTERM and SIGINT end the supervisor alone: what it watched runs on and is adopted by the next one.
///
/// # Errors
///
/// If another supervisor runs already, or the folder is not a cluster's.
pub async fn supervise<G, F>(cluster_folder: &Path, on_start: F) -> Result<(), DeployError>
where
    G: Send + 'static,
    F: FnOnce() -> G + Send + 'static,
{
    let folder = ClusterFolder::at(cluster_folder)?;
    let _lock = lock(&folder).await?;
    // A session of its own, so that no terminal takes it along. It fails where it has one already.
    let _ = rustix::process::setsid();
    // What the stores write by themselves, such as Redis its users, is for nobody else either.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let held = tokio::task::spawn_blocking(on_start);
    let system = |source| DeployError::System {
        doing: "listen for signals",
        source,
    };
    let mut terminated = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(system)?;
    let (ask, mut asked) = mpsc::channel(QUESTIONS);
    let control = Control::open(&folder, ask)?;
    let (exit, mut exited) = mpsc::unbounded_channel();
    let mut watch = Watch::begin(folder.clone(), desired(&folder)?, exit);
    let mut look_at_logs = interval(LOG_INTERVAL);
    look_at_logs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tracing::info!(cluster.name = %folder.name(), "supervisor of `{}` runs", folder.name());
    while !watch.is_done() {
        let due = watch.advance(Instant::now());
        watch.write_report();
        tokio::select! {
            Some(exit) = exited.recv() => watch.exited(exit),
            Some((question, answer)) = asked.recv() => {
                // Whoever asked may have gone.
                let _ = answer.send(watch.answer(question));
            }
            () = sleep_until(due.into()) => {}
            _ = look_at_logs.tick() => logs::rotate(&folder),
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        }
    }
    watch.write_report();
    control.close();
    drop(held.await);
    tracing::info!(cluster.name = %folder.name(), "supervisor of `{}` ends", folder.name());
    Ok(())
}

/// What should run, as apply has written it.
pub(crate) fn desired(folder: &ClusterFolder) -> Result<Vec<ProcessSpec>, DeployError> {
    Ok(files::read_json(&folder.desired(), "the list of processes")?.unwrap_or_default())
}

/// There is one supervisor for a cluster. The lock ends with its holder, however that ends.
async fn lock(folder: &ClusterFolder) -> Result<File, DeployError> {
    let path = folder.supervisor_lock();
    let open = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = open.map_err(DeployError::file("open the lock", &path))?;
    let until = Instant::now() + TAKEOVER;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > until {
            let why = "another supervisor holds its lock".to_owned();
            return Err(DeployError::Supervisor {
                cluster: folder.name().to_string(),
                doing: "start",
                why,
            });
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(file)
}
