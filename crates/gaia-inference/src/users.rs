//! Who uses the shared process: each cluster holds a lease, and when there is none left the process ends.
//!
//! A lease is a shared lock on `users.lock`. The kernel releases it when its holder dies, however it dies, so there is
//! nothing to count and nothing to clean up. The process tries to take the same lock for itself alone; while anybody
//! holds a lease it cannot.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::home::{Home, HomeError, LOOK_AGAIN, try_lock};

const USERS: &str = "users.lock";

/// How long a lease waits for a process that is just ending: its requests get 10 s, the model's last pass the rest.
const LEASE_WAIT: Duration = Duration::from_secs(25);

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
        let file = Home::open(home)?.lock_file(USERS)?;
        let deadline = Instant::now() + LEASE_WAIT;
        while !try_lock(&file, FlockOperation::NonBlockingLockShared).map_err(LeaseError::Lock)? {
            if Instant::now() > deadline {
                return Err(LeaseError::StillEnding);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(Self(file))
    }
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
