//! Processes: how one is started, found again and ended.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::place::OsUser;
use crate::DeployError;

/// What a process is for: services end before stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Service,
    Store,
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    /// SIGTERM.
    Term,
    /// SIGINT, which is Postgres' fast way.
    Int,
}

impl Ending {
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
        }
    }
}

/// A process that should run. It is known again by its folder, which no other process has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessSpec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Where it works.
    pub(crate) folder: PathBuf,
    /// Whom it runs as; none for the user of whoever starts it.
    pub(crate) user: Option<OsUser>,
    pub(crate) ending: Ending,
    /// How long it may take to end before it is killed, in milliseconds.
    pub(crate) grace_ms: u64,
    /// The digest of what it was told when it started; another one means that it has to start again.
    pub(crate) revision: String,
}

/// A running process: the pair is never used again by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`.
    pub(crate) started: u64,
}

/// What services may see of the environment of whoever brings them up: how logs, traces and the network work.
pub(crate) const FOR_SERVICES: &[&str] = &[
    "GAIA_LOG",
    "OTEL_",
    "RUST_",
    "SSL_CERT_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// The variables that a process may see: a few that all need, and those that begin with one of `more`. Whoever types a
/// command may have any secret in the environment.
pub(crate) fn environment(more: &[&str]) -> BTreeMap<String, String> {
    const FOR_ALL: [&str; 3] = ["PATH", "TZ", "HOME"];
    let is_for_it =
        |name: &str| FOR_ALL.contains(&name) || more.iter().any(|prefix| name.to_ascii_uppercase().starts_with(prefix));
    let seen =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut chosen: BTreeMap<_, _> = seen.filter(|(name, _)| is_for_it(name)).collect();
    chosen.insert("LC_ALL".to_owned(), "C.UTF-8".to_owned());
    chosen
}

impl ProcessSpec {
    /// Starts it in a process group of its own, with its output added to a log.
    pub(crate) fn spawn(&self, log: &Path) -> Result<Child, DeployError> {
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(log)
            .map_err(DeployError::file("open the log", log))?;
        let err = out.try_clone().map_err(DeployError::file("open the log", log))?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.folder).process_group(0);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let more = if self.kind == Kind::Service { FOR_SERVICES } else { &[] };
        command.env_clear().envs(environment(more));
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command.spawn().map_err(|fault| DeployError::Program {
            program: self.program.display().to_string(),
            outcome: "it could not be started".to_owned(),
            said: fault.to_string(),
        })
    }

    /// Looks for it among all running processes, for a supervisor that does not know what the one before it started.
    pub(crate) fn find(&self) -> Option<ProcessId> {
        let found: Vec<_> = running_in(&self.folder)
            .into_iter()
            .filter(|process| self.is_this(process))
            .collect();
        // Postgres' own children work in the same folder; the first ancestor is the one that was started.
        let top = found
            .iter()
            .find(|process| !found.iter().any(|other| other.id.pid == process.parent));
        top.map(|process| process.id)
    }

    fn is_this(&self, process: &Running) -> bool {
        match self.kind {
            // Stores change their title, so only the program tells.
            Kind::Store => fs::canonicalize(&self.program).is_ok_and(|program| program == process.program),
            // A service's program may have been replaced; its arguments name its settings.
            Kind::Service => !self.args.is_empty() && self.args.iter().all(|arg| process.args.contains(arg)),
        }
    }
}

impl ProcessId {
    /// The process with this number, if it runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (!stat.is_dead).then_some(Self {
            pid,
            started: stat.started,
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn signal(self, signal: Signal) -> Result<(), DeployError> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        if !self.is_alive() {
            return Ok(());
        }
        match kill_process(pid, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => sent.map_err(DeployError::system("signal a process")),
        }
    }

    /// Its memory in bytes, with that of its children: the proportional share, or where that is not shown, what is
    /// resident.
    pub(crate) fn memory(self) -> Option<u64> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        let all = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .chain([self.pid]);
        all.filter_map(memory_of).reduce(|sum, bytes| sum + bytes)
    }
}

/// A running process, as `/proc` shows it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: ProcessId,
    parent: u32,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}

/// The processes that work in a folder or below it.
pub(crate) fn running_in(folder: &Path) -> Vec<Running> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| running(pid, folder)).collect()
}

fn running(pid: u32, folder: &Path) -> Option<Running> {
    let works_in = without_deleted(fs::read_link(format!("/proc/{pid}/cwd")).ok()?);
    if !works_in.starts_with(folder) {
        return None;
    }
    let stat = Stat::read(pid).filter(|stat| !stat.is_dead)?;
    let program = without_deleted(fs::read_link(format!("/proc/{pid}/exe")).ok()?);
    let args = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let args = args
        .split(|byte| *byte == 0)
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect();
    Some(Running {
        id: ProcessId {
            pid,
            started: stat.started,
        },
        parent: stat.parent,
        program,
        args,
    })
}

fn without_deleted(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

struct Stat {
    is_dead: bool,
    parent: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything, brackets and spaces too.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        Some(Self {
            is_dead: matches!(state, "Z" | "X" | "x"),
            parent: fields.next()?.parse().ok()?,
            started: fields.nth(17)?.parse().ok()?,
        })
    }
}

fn memory_of(pid: u32) -> Option<u64> {
    let read = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key).map(str::to_owned))?;
        line.split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    };
    read("smaps_rollup", "Pss:").or_else(|| read("status", "VmRSS:"))
}

/// Looks for a program in PATH and in further folders.
pub(crate) fn find_program(name: &str, further: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(further.iter().cloned());
    folders.map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What a program says about its version: the first number of its output, as major and minor.
pub(crate) fn version_of(program: &Path) -> io::Result<(u32, u32)> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    parse_version(&said).ok_or_else(|| io::Error::other("it does not say its version"))
}

fn parse_version(said: &str) -> Option<(u32, u32)> {
    let start = said.find(|c: char| c.is_ascii_digit())?;
    let number: String = said[start..]
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let mut parts = number.split('.');
    Some((
        parts.next()?.parse().ok()?,
        parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_does_not_shift_the_fields() {
        let text = "42 (a) b) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.parent, stat.started, stat.is_dead), (7, 987_654, false));
    }

    #[test]
    fn this_process_is_alive_and_a_later_one_of_the_same_number_is_not_it() {
        let me = ProcessId::of(std::process::id()).unwrap();
        assert!(me.is_alive() && me.memory().unwrap() > 1 << 16);
        assert!(
            !ProcessId {
                started: me.started + 1,
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn versions_are_read_from_what_the_programs_say() {
        assert_eq!(parse_version("Redis server v=7.0.15 sha=00000000:0"), Some((7, 0)));
        assert_eq!(parse_version("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some((15, 14))
        );
        assert_eq!(parse_version("17devel"), Some((17, 0)));
        assert_eq!(parse_version("none"), None);
    }
}
