//! The folder in which the machine's shared process leaves word of itself.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gaia_names::Secret;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::models::hexadecimal;

const RECORD: &str = "inference.json";
const KEY: &str = "key";

/// How many hexadecimal digits the key has.
const KEY_DIGITS: usize = 64;

/// No file that is read here is larger; what is larger is not ours.
const READ_BYTES: u64 = 64 * 1024;

/// How to reach the shared process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The address that `/v1/embeddings` is appended to, as in `http://127.0.0.1:7411`.
    pub base_url: String,
    /// The bearer key.
    pub key: Secret,
}

/// The home folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} `{path}`; the folder must belong to the user that runs Gaia")]
pub struct HomeError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl HomeError {
    /// Whether the folder or the file was not there.
    pub(crate) fn is_gone(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// A running process as the record names it. The start time and the machine's boot are there because process ids are
/// used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks from boot to the start of the process, as `/proc` has them.
    started_ticks: u64,
    boot: String,
}

impl Process {
    /// This very process.
    pub(crate) fn current() -> io::Result<Self> {
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        Self::by_pid(pid)
    }

    fn by_pid(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The program's name comes second, in brackets, and may itself have spaces and brackets.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = rest.split_whitespace();
        let state = fields.next().unwrap_or_default().to_owned();
        let ticks = fields.nth(18).and_then(|ticks| ticks.parse().ok());
        match ticks {
            // A dead process that nobody has waited for yet still has its entry.
            Some(_) if state == "Z" => Err(io::ErrorKind::NotFound.into()),
            Some(started_ticks) => {
                let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
                Ok(Self {
                    pid,
                    started_ticks,
                    boot,
                })
            }
            None => Err(io::Error::other(format!("/proc/{pid}/stat is not as expected"))),
        }
    }

    /// Whether it still runs, and is not another that was given the same id.
    pub(crate) fn is_running(&self) -> bool {
        Self::by_pid(self.pid).is_ok_and(|now| now == *self)
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid).filter(|_| self.is_running()) {
            // It may end between the look and the signal, which is as good.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// What `inference.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// The home folder, which is there and only its owner's.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Makes the folder if it is missing and closes it to others.
    pub(crate) fn open(path: &Path) -> Result<Self, HomeError> {
        let path = std::path::absolute(path).map_err(failed("find", path))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed("create", &path))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed("close to others", &path))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Opens a file for locking; it is made if missing and its content means nothing.
    pub(crate) fn lock_file(&self, name: &str) -> Result<File, HomeError> {
        let path = self.file(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(&path).map_err(failed("open", &path))
    }

    /// Opens the process's output, empty.
    pub(crate) fn log_file(&self, name: &str) -> Result<File, HomeError> {
        let path = self.file(name);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let file = options.open(&path).map_err(failed("open", &path))?;
        file.set_len(0).map_err(failed("empty", &path))?;
        Ok(file)
    }

    /// The key; made when there is none or what is there cannot be one. Two at once get the same.
    pub(crate) fn key(&self) -> Result<Secret, HomeError> {
        let path = self.file(KEY);
        let lock = self.lock_file("key.lock")?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed("lock", &path)(error.into()))?;
        match read_small(&path) {
            Ok(text) if is_key(text.trim()) => return Ok(Secret::new(text.trim())),
            Ok(_) => tracing::warn!("`{}` holds no key and is written anew", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        let key = hexadecimal(&rand::random::<[u8; KEY_DIGITS / 2]>());
        self.write(KEY, key.as_bytes())?;
        Ok(Secret::new(key))
    }

    /// What the running process has written, if it is there and can be read.
    pub(crate) fn record(&self) -> Option<Record> {
        serde_json::from_str(&read_small(&self.file(RECORD)).ok()?).ok()
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<(), HomeError> {
        let text =
            serde_json::to_vec_pretty(record).map_err(|error| failed("write", &self.file(RECORD))(error.into()))?;
        self.write(RECORD, &text)
    }

    /// Removes the record at the end. A record that stays does no harm: its process is seen to have gone.
    pub(crate) fn remove_record(&self) {
        let _ = fs::remove_file(self.file(RECORD));
    }

    /// Removes the folder with all that it holds, one file last: once that is gone, somebody may make it anew, and then
    /// the folder stays. True if it went.
    pub(crate) fn remove(&self, last: &str) -> Result<bool, HomeError> {
        for entry in fs::read_dir(&self.0).map_err(failed("read", &self.0))? {
            let path = entry.map_err(failed("read", &self.0))?.path();
            if path != self.file(last) {
                gone(fs::remove_file(&path)).map_err(failed("remove", &path))?;
            }
        }
        gone(fs::remove_file(self.file(last))).map_err(failed("remove", &self.file(last)))?;
        match fs::remove_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => gone(removed).map(|()| true).map_err(failed("remove", &self.0)),
        }
    }

    /// Writes a file in one step, readable by its owner only.
    fn write(&self, name: &str, content: &[u8]) -> Result<(), HomeError> {
        let path = self.file(name);
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.0)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(failed("write", &path))
    }
}

/// What is gone already is removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> HomeError {
    let path = path.to_path_buf();
    move |source| HomeError {
        doing,
        path: path.clone(),
        source,
    }
}

fn is_key(text: &str) -> bool {
    text.len() == KEY_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(READ_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Takes a lock if it is free.
pub(crate) fn try_lock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How long to wait between two looks at something that another process is to do.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_id() {
        let current = Process::current().unwrap();
        assert!(current.is_running());
        assert!(
            !Process {
                started_ticks: current.started_ticks + 1,
                ..current.clone()
            }
            .is_running()
        );
        assert!(
            !Process {
                boot: "another boot".into(),
                ..current
            }
            .is_running()
        );
    }

    #[test]
    fn the_home_and_its_files_are_only_their_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let home = Home::open(&path).unwrap();
        let key = home.key().unwrap();
        assert_eq!(home.key().unwrap(), key);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&home.file(KEY)), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Home::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn what_is_no_key_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        fs::write(home.file(KEY), "half a k").unwrap();
        let key = home.key().unwrap();
        assert!(is_key(key.expose()));
        assert_eq!(home.key().unwrap(), key);
    }
}
