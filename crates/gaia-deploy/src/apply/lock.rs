//! One at a time on a cluster: a file lock that says who holds it and ends with its holder.
//!
//! The locks' own folder goes with the last cluster. Whoever is about to take a lock therefore holds one on the home
//! itself for that moment, and whoever tidies up holds that alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chrono::{DateTime, SecondsFormat, Utc};
use gaia_names::{ClusterName, InstanceId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{DeployError, Home, files, targets::local::ports::prepare_locks};

/// The lock on one cluster, held until it is dropped.
#[derive(Debug)]
pub(crate) struct ClusterLock {
    _file: File,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    command: String,
    since: DateTime<Utc>,
}

impl ClusterLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(home: &Home, cluster: &ClusterName, command: &str) -> Result<Self, DeployError> {
        let _nobody_tidies = HomeLock::together(home)?;
        prepare_locks(home)?;
        let path = home.lock(cluster);
        loop {
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path);
            let mut file = open.map_err(DeployError::file("open the lock", &path))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(DeployError::Locked {
                    cluster: cluster.clone(),
                    holder: holder(&mut file),
                });
            }
            // A destroy removes the file; a lock on a removed file keeps nobody out.
            let is_same = match (file.metadata(), fs::metadata(&path)) {
                (Ok(ours), Ok(there)) => ours.ino() == there.ino(),
                _ => false,
            };
            if is_same {
                write_holder(&mut file, command).map_err(DeployError::file("write the lock", &path))?;
                return Ok(Self { _file: file, path });
            }
        }
    }

    /// Gives the lock back and removes its file, since the cluster is gone.
    pub(crate) fn remove(self) {
        // One that stays is empty of meaning and is used again.
        let _ = fs::remove_file(&self.path);
    }
}

/// Which home this is among all on all machines, for as long as this machine runs.
pub(crate) fn identity(home: &Home) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match fs::metadata(home.path()) {
        Ok(folder) if !boot.is_empty() => format!("{}-{}-{}", boot.trim(), folder.dev(), folder.ino()),
        // One that is nobody's: a lease of an earlier command is then waited for.
        _ => InstanceId::fresh().to_string(),
    }
}

/// Removes what belongs to nobody: the locks of clusters that are gone and, once there is no cluster, the folders in
/// which locks and clusters lie. What somebody is at work on stays.
///
/// # Errors
///
/// If something that belongs to nobody cannot be removed.
pub fn tidy(home: &Home) -> Result<(), DeployError> {
    let Some(_alone) = HomeLock::alone(home)? else {
        return Ok(());
    };
    let clusters = home.clusters()?;
    let folder = home.path().join("locks");
    let mut locks = Vec::new();
    for file in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
        let path = file.path();
        let lock = File::open(&path).map_err(DeployError::file("open the lock", &path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        locks.push((path, lock));
    }
    let is_gone = |path: &Path| {
        let name = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
        name.is_some_and(|name| !clusters.contains(&name))
    };
    for (path, _) in locks.iter().filter(|(path, _)| clusters.is_empty() || is_gone(path)) {
        files::remove_file(path)?;
    }
    if clusters.is_empty() {
        files::remove_if_empty(&folder)?;
        files::remove_if_empty(&home.path().join("clusters"))?;
    }
    Ok(())
}

/// A lock on the home folder itself, which is never removed.
struct HomeLock(#[expect(dead_code, reason = "the open folder is the lock")] File);

impl HomeLock {
    /// Waits for the moment that tidying takes.
    fn together(home: &Home) -> Result<Self, DeployError> {
        if !home.path().exists() {
            files::make_folder(home.path(), 0o711, None)?;
        }
        let folder = File::open(home.path()).map_err(DeployError::file("open", home.path()))?;
        flock(&folder, FlockOperation::LockShared).map_err(DeployError::system("lock the home folder"))?;
        Ok(Self(folder))
    }

    /// None if there is no home, or somebody is just taking a lock in it.
    fn alone(home: &Home) -> Result<Option<Self>, DeployError> {
        if !home.path().exists() {
            return Ok(None);
        }
        let folder = File::open(home.path()).map_err(DeployError::file("open", home.path()))?;
        let is_ours = flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok();
        Ok(is_ours.then_some(Self(folder)))
    }
}

fn write_holder(file: &mut File, command: &str) -> std::io::Result<()> {
    let holder = Holder {
        pid: std::process::id(),
        command: command.to_owned(),
        since: Utc::now(),
    };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(&holder)?.as_bytes())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(4096).read_to_string(&mut text);
    match read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(Holder { pid, command, since }) => {
            format!(
                "process {pid} (`{command}`) since {}",
                since.to_rfc3339_opts(SecondsFormat::Secs, true)
            )
        }
        None => "a process that has not said who it is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_cluster_names_who_holds_it_and_is_free_again_after() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let cluster: ClusterName = "kos".parse().unwrap();
        let held = ClusterLock::take(&home, &cluster, "gaia up kos").unwrap();
        let fault = ClusterLock::take(&home, &cluster, "gaia destroy kos")
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains(&format!("process {} (`gaia up kos`) since", std::process::id())),
            "{fault}"
        );
        ClusterLock::take(&home, &"zombies".parse().unwrap(), "gaia up zombies").unwrap();
        drop(held);
        ClusterLock::take(&home, &cluster, "gaia destroy kos").unwrap().remove();
        assert!(!home.lock(&cluster).exists());
        ClusterLock::take(&home, &cluster, "gaia up kos").unwrap();
    }

    #[test]
    fn tidying_leaves_what_somebody_uses_and_in_the_end_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let take = |name: &str| ClusterLock::take(&home, &name.parse().unwrap(), "gaia up").unwrap();
        // A cluster that is there, one that is gone, and one that is just coming up.
        files::make_folder(home.cluster(&"kos".parse().unwrap()).path(), 0o700, None).unwrap();
        drop((take("kos"), take("zombies")));
        let coming = take("train");
        tidy(&home).unwrap();
        assert!(home.path().join("locks/zombies.lock").exists(), "somebody is at work");
        drop(coming);
        tidy(&home).unwrap();
        let left: Vec<_> = fs::read_dir(home.path().join("locks"))
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(left, ["kos.lock"]);
        fs::remove_dir(home.path().join("clusters/kos")).unwrap();
        tidy(&home).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        take("kos");
    }

    #[test]
    fn a_lock_that_is_taken_while_somebody_tidies_is_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for name in ["kos", "train"] {
                let (home, name) = (&home, name.parse::<ClusterName>().unwrap());
                scope.spawn(move || {
                    for _ in 0..200 {
                        let held = ClusterLock::take(home, &name, "gaia up").unwrap();
                        assert!(
                            ClusterLock::take(home, &name, "gaia up").is_err(),
                            "two have the lock of {name}"
                        );
                        held.remove();
                        tidy(home).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
