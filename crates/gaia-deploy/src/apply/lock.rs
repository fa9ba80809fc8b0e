//! One at a time on a cluster: a file lock that says who holds it and ends with its holder.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
};

use chrono::{DateTime, SecondsFormat, Utc};
use gaia_names::ClusterName;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{DeployError, Home, targets::local::ports::prepare_locks};

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
}
