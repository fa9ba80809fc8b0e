//! Stopping and removing all of a cluster, whether or not its supervisor still helps, and proving it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::time::sleep;

use super::{
    files,
    place::Place,
    processes::{Running, running_in},
    supervisor::control::{Question, ask},
};
use crate::{ClusterFolder, DeployError, Kept};

/// How long the supervisor may take to stop everything: the services' grace, then the stores'.
const SUPERVISED: Duration = Duration::from_secs(60);
/// How long processes may take to end that nobody watches over.
const GRACE: Duration = Duration::from_secs(25);
/// How often it is looked whether they have.
const STEP: Duration = Duration::from_millis(20);
/// The stores' programs, as the system names them.
const STORE_PROGRAMS: [&str; 7] = [
    "postgres",
    "initdb",
    "redis-server",
    "redis-check-rdb",
    "valkey-server",
    "valkey-check-rdb",
    "nats-server",
];

/// Stops all processes of a cluster: services first, then stores.
pub(crate) async fn stop_all(folder: &ClusterFolder) -> Result<(), DeployError> {
    if ask(folder, "stop", &Question::Stop).await.is_ok() {
        gone(folder, SUPERVISED, |_| true).await;
    }
    // Without a supervisor, or past its time: it goes first, so that it starts nothing again.
    end(folder, Role::Supervisor, Signal::KILL).await?;
    end(folder, Role::Service, Signal::TERM).await?;
    end(folder, Role::Store, Signal::INT).await?;
    files::remove_file(&folder.control())
}

/// Removes the cluster's folder, its record last, since that says what is left to do. Whoever ends a cluster that another
/// machine made has none.
pub(crate) fn remove(folder: &ClusterFolder) -> Result<(), DeployError> {
    if !folder.path().exists() {
        return Ok(());
    }
    remove_all_but_record(folder)?;
    files::remove_file(&folder.record())?;
    files::remove_folder(folder.path())?;
    files::sync_parent(folder.path())
}

/// Removes all that the folder holds but the record.
pub(crate) fn remove_all_but_record(folder: &ClusterFolder) -> Result<(), DeployError> {
    let entries = std::fs::read_dir(folder.path())
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    for path in entries
        .map(|entry| entry.path())
        .filter(|path| *path != folder.record())
    {
        if path.is_dir() && !path.is_symlink() {
            files::remove_folder(&path)?
        } else {
            files::remove_file(&path)?
        }
    }
    Ok(())
}

/// Removes all that the folder holds but the data, the secrets that open it, and the record.
pub(crate) fn remove_all_but_data(folder: &ClusterFolder) -> Result<(), DeployError> {
    let kept = kept(folder);
    let data = Place::paths(folder.path()).postgres_data();
    for inner in [folder.path(), data.parent().unwrap_or(folder.path())] {
        let entries = std::fs::read_dir(inner).into_iter().flatten().filter_map(Result::ok);
        for path in entries.map(|entry| entry.path()) {
            match (
                path.is_dir() && !path.is_symlink(),
                kept.iter().any(|(kept, _)| kept.starts_with(&path)),
            ) {
                (_, true) => {}
                (true, false) => files::remove_folder(&path)?,
                (false, false) => files::remove_file(&path)?,
            }
        }
    }
    files::sync_parent(&folder.record())
}

/// What stays of a folder whose data is kept, as far as it is there.
fn kept(folder: &ClusterFolder) -> Vec<(PathBuf, Kept)> {
    let told = |path: &PathBuf| path.display().to_string();
    let (data, secrets, record) = (
        Place::paths(folder.path()).postgres_data(),
        folder.secrets(),
        folder.record(),
    );
    let all = [
        (Kept::data(told(&data)), data),
        (Kept::secrets(told(&secrets)), secrets),
        (Kept::record(told(&record)), record),
    ];
    let there = all.into_iter().filter(|(_, path)| path.exists());
    there.map(|(kept, path)| (path, kept)).collect()
}

/// Proves that nothing is left but the data and what is needed to take it up again, and says what that is.
pub(crate) fn prove_but_data(folder: &ClusterFolder) -> Result<Vec<Kept>, DeployError> {
    let mut left: Vec<String> = ours(folder.path())
        .iter()
        .map(|(_, process)| format!("process {}", process.id.pid))
        .collect();
    let kept = kept(folder);
    let entries = std::fs::read_dir(folder.path())
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let others = paths.filter(|path| !kept.iter().any(|(kept, _)| kept.starts_with(path)));
    left.extend(others.map(|path| path.display().to_string()));
    if left.is_empty() {
        return Ok(kept.into_iter().map(|(_, kept)| kept).collect());
    }
    Err(DeployError::Left {
        cluster: folder.name().clone(),
        left: left.join(", "),
    })
}

/// Proves that nothing is left.
pub(crate) fn prove(folder: &ClusterFolder) -> Result<(), DeployError> {
    let mut left: Vec<String> = ours(folder.path())
        .iter()
        .map(|(_, process)| format!("process {}", process.id.pid))
        .collect();
    if folder.path().exists() {
        left.push(folder.path().display().to_string());
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(DeployError::Left {
        cluster: folder.name().clone(),
        left: left.join(", "),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Supervisor,
    Service,
    Store,
}

/// The processes of ours that work in the cluster's folder. A shell that somebody has open there is not ours.
fn ours(folder: &Path) -> Vec<(Role, Running)> {
    running_in(folder)
        .into_iter()
        .filter_map(|process| Some((role(&process, folder)?, process)))
        .collect()
}

fn role(process: &Running, folder: &Path) -> Option<Role> {
    let program = process.program.file_name()?.to_str()?;
    if STORE_PROGRAMS.contains(&program) {
        return Some(Role::Store);
    }
    let has = |word: &str| process.args.iter().any(|arg| arg == word);
    let names_folder = process.args.iter().any(|arg| Path::new(arg).starts_with(folder));
    match () {
        () if !names_folder || !has("serve") => None,
        () if has("supervisor") => Some(Role::Supervisor),
        () => Some(Role::Service),
    }
}

/// Asks all of a role to end, and kills those that do not.
async fn end(folder: &ClusterFolder, role: Role, signal: Signal) -> Result<(), DeployError> {
    let is_meant = |found: Role| found == role;
    for (_, process) in ours(folder.path()).iter().filter(|(found, _)| is_meant(*found)) {
        process.id.signal(signal)?;
    }
    if gone(folder, GRACE, is_meant).await {
        return Ok(());
    }
    for (_, process) in ours(folder.path()).iter().filter(|(found, _)| is_meant(*found)) {
        process.id.signal(Signal::KILL)?;
    }
    if gone(folder, GRACE, is_meant).await {
        return Ok(());
    }
    let why = "a process does not end even when killed".to_owned();
    Err(DeployError::Supervisor {
        cluster: folder.name().to_string(),
        doing: "stop",
        why,
    })
}

async fn gone(folder: &ClusterFolder, patience: Duration, is_meant: impl Fn(Role) -> bool) -> bool {
    let until = Instant::now() + patience;
    while ours(folder.path()).iter().any(|(found, _)| is_meant(*found)) {
        if Instant::now() > until {
            return false;
        }
        sleep(STEP).await;
    }
    true
}
