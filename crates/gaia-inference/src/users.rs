//! Who uses the shared process: each cluster holds a lease, and when there is none left the process ends.
//!
//! A lease is a shared lock on `users.lock`. The kernel releases it when its holder dies, however it dies, so there is
//! nothing to count and nothing to clean up. The process tries to take the same lock for itself alone; while anybody
//! holds a lease it cannot. The folder is removed by whoever has the lock alone, so a lease on a file that is gone is
//! none.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::Signal;

use crate::home::{Home, HomeError, LOOK_AGAIN, try_lock};

const USERS: &str = "users.lock";

/// How long a lease waits for a process that is just ending: its requests get 10 s, the model's last pass the rest.
const LEASE_WAIT: Duration = Duration::from_secs(25);

/// How long a process may take to end that is asked to.
const ENDING: Duration = Duration::from_secs(15);

/// How long a lease may seem held whose holder was just killed.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// How often the process looks whether anybody uses it.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The home folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The lock cannot be taken.
    #[error("failed to lock `users.lock` in the inference folder")]
    Lock(#[source] std::io::Error),
    /// The process that is ending does not end.
    #[error("the inference process is ending but is not gone after {} s; stop it and try again", LEASE_WAIT.as_secs())]
    StillEnding,
}

/// Keeps the shared process running for as long as this value lives. Hold it first and call
/// [`ensure_running`](crate::ensure_running) then: the process cannot decide to end in between.
#[derive(Debug)]
pub struct Lease(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lease {
    /// Takes a lease; at once, but for the moment in which a process is just ending, which is waited for. Blocks that
    /// long, so call it from a thread that may wait.
    ///
    /// # Errors
    ///
    /// [`LeaseError`].
    pub fn hold(home: &Path) -> Result<Self, LeaseError> {
        let deadline = Instant::now() + LEASE_WAIT;
        loop {
            match Home::open(home).and_then(|home| home.lock_file(USERS)) {
                // The folder was removed just now, and is made again.
                Err(fault) if fault.is_gone() => {}
                Err(fault) => return Err(fault.into()),
                Ok(file) => {
                    let is_shared = try_lock(&file, FlockOperation::NonBlockingLockShared).map_err(LeaseError::Lock)?;
                    if is_shared && is_in_place(&file, &home.join(USERS)) {
                        return Ok(Self(file));
                    }
                }
            }
            if Instant::now() > deadline {
                return Err(LeaseError::StillEnding);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Whether a file is the one that lies at a path.
fn is_in_place(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino(),
        _ => false,
    }
}

/// Ends the shared process and removes its folder, unless somebody holds a lease. True if nothing is left.
/// Blocks for as long as the process takes to end, so call it from a thread that may wait.
///
/// # Errors
///
/// [`LeaseError`].
pub fn remove_unused(home: &Path) -> Result<bool, LeaseError> {
    if !home.exists() {
        return Ok(true);
    }
    let home = Home::open(home)?;
    let users = match home.lock_file(USERS) {
        Err(fault) if fault.is_gone() => return Ok(true),
        opened => opened?,
    };
    let deadline = Instant::now() + LAST_BREATH;
    while !try_lock(&users, FlockOperation::NonBlockingLockExclusive).map_err(LeaseError::Lock)? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    if !is_in_place(&users, &home.file(USERS)) {
        return Ok(false);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(record) = home.record() else { break };
        record.process.signal(signal);
        let deadline = Instant::now() + ENDING;
        while record.process.is_running() && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        if !record.process.is_running() {
            break;
        }
    }
    Ok(home.remove(USERS)?)
}

/// Proof that nobody uses the process. While it lives nobody can take a lease, so the process can end in peace.
pub(crate) struct Unused(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Resolves when nobody has held a lease for `patience` without a break.
pub(crate) async fn unused(home: &Home, patience: Duration) -> Result<Unused, LeaseError> {
    let look = LOOK.min(patience / 4).max(Duration::from_millis(10));
    let mut free_since: Option<Instant> = None;
    loop {
        let file = home.lock_file(USERS)?;
        if try_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(LeaseError::Lock)? {
            if free_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                return Ok(Unused(file));
            }
        } else {
            free_since = None;
        }
        // The lock is given back before the wait, so that a cluster that comes gets its lease.
        drop(file);
        tokio::time::sleep(look).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_stays_while_somebody_holds_a_lease_and_goes_after() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("inference");
        assert!(remove_unused(&home).unwrap(), "there is nothing");
        let lease = Lease::hold(&home).unwrap();
        assert!(!remove_unused(&home).unwrap() && home.exists());
        drop(lease);
        assert!(remove_unused(&home).unwrap() && !home.exists());
    }

    #[test]
    fn a_lease_that_is_taken_while_the_folder_goes_is_a_lease() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("inference");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lease = Lease::hold(&home).unwrap();
                        assert!(home.join(USERS).exists(), "the lease is on a file that is gone");
                        drop(lease);
                        // Somebody else may be just as far.
                        let _ = remove_unused(&home);
                    }
                });
            }
        });
        assert!(remove_unused(&home).unwrap() && !home.exists());
    }
}
