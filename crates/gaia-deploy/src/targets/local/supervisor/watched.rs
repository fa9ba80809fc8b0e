//! One process: how it is started, asked to end, killed, and seen to have ended.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc::UnboundedSender,
    time::sleep,
};

use super::report::{ProcessReport, ProcessState};
use crate::{
    ClusterFolder,
    targets::local::{
        background::in_background,
        processes::{Kind, ProcessId, ProcessSpec},
    },
};

/// The pause before a process that died is started again the first time; it doubles with every death.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause; a process that ran that long has made up for its deaths.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long nothing may happen before the supervisor looks around anyway.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// A process has ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) name: String,
    pub(super) id: ProcessId,
    pub(super) how: String,
}

pub(super) enum State {
    Running {
        id: ProcessId,
        began: Instant,
    },
    Ending {
        id: ProcessId,
        kill_at: Instant,
        starts_again: bool,
    },
    Waiting {
        until: Instant,
    },
}

pub(super) struct Watched {
    pub(super) spec: ProcessSpec,
    pub(super) state: State,
    /// What the running process was told.
    pub(super) revision: String,
    pub(super) pause: Duration,
    pub(super) since: DateTime<Utc>,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<String>,
}

impl Watched {
    pub(super) fn waiting(spec: ProcessSpec) -> Self {
        Self {
            spec,
            state: State::Waiting { until: Instant::now() },
            revision: String::new(),
            pause: FIRST_PAUSE,
            since: Utc::now(),
            restarts: 0,
            last_exit: None,
        }
    }

    /// Starts it, and says when to look at it again.
    pub(super) fn start(&mut self, folder: &ClusterFolder, exits: &UnboundedSender<Exit>, now: Instant) -> Instant {
        self.since = Utc::now();
        let spawned = self
            .spec
            .spawn(&folder.log(&self.spec.name))
            .map_err(|fault| fault.to_string());
        match spawned {
            Ok(child) => {
                // A process that has ended already is still in the table, since nobody has waited for it.
                let id = ProcessId::of(child.id()).unwrap_or(ProcessId {
                    pid: child.id(),
                    started: 0,
                });
                tracing::info!(process.name = %self.spec.name, "started {} as process {}", self.spec.name, id.pid);
                self.revision.clone_from(&self.spec.revision);
                self.state = State::Running { id, began: now };
                in_background(report_exit(self.spec.name.clone(), id, Some(child), exits.clone()));
                now + IDLE
            }
            Err(why) => {
                tracing::warn!(process.name = %self.spec.name, "{} could not be started: {why}", self.spec.name);
                self.last_exit = Some(why);
                self.restarts += 1;
                let until = now + self.pause;
                self.state = State::Waiting { until };
                self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                until
            }
        }
    }

    pub(super) fn become_as(&mut self, spec: ProcessSpec, now: Instant) {
        let is_another = self.revision != spec.revision;
        self.spec = spec;
        match &mut self.state {
            State::Running { .. } if is_another => self.end(now, true),
            State::Running { .. } => {}
            State::Ending { starts_again, .. } => *starts_again = true,
            State::Waiting { until } => *until = now,
        }
    }

    pub(super) fn start_anew(&mut self, now: Instant) {
        match &mut self.state {
            State::Running { .. } => self.end(now, true),
            State::Ending { starts_again, .. } => *starts_again = true,
            State::Waiting { until } => *until = now,
        }
    }

    /// Asks it to end, unless it was asked before.
    pub(super) fn end(&mut self, now: Instant, starts_again: bool) {
        match &mut self.state {
            State::Running { id, .. } => {
                let id = *id;
                // One that is gone reports that by itself; one that cannot be asked is killed later.
                let _ = id.signal(self.spec.ending.signal());
                let kill_at = now + Duration::from_millis(self.spec.grace_ms);
                self.state = State::Ending {
                    id,
                    kill_at,
                    starts_again,
                };
            }
            State::Ending { starts_again: old, .. } => *old = starts_again,
            State::Waiting { .. } => {}
        }
    }

    pub(super) fn report(&self) -> ProcessReport {
        let (state, id) = match self.state {
            State::Running { id, .. } => (ProcessState::Running, Some(id)),
            State::Ending { id, .. } => (ProcessState::Ending, Some(id)),
            State::Waiting { .. } => (ProcessState::Waiting, None),
        };
        ProcessReport {
            state,
            id,
            revision: self.revision.clone(),
            since: self.since,
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
        }
    }
}

/// Kills a process; a service with all that it may have started. Postgres' children see by themselves that it is gone.
pub(super) fn kill(spec: &ProcessSpec, id: ProcessId) {
    tracing::warn!(process.name = %spec.name, "{} did not end when asked and is killed", spec.name);
    let group = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
    if let (Kind::Service, Some(group)) = (spec.kind, group.filter(|_| id.is_alive())) {
        // The group may be gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = id.signal(Signal::KILL);
}

/// Waits until a process ends, a child or not, and says so.
pub(super) async fn report_exit(name: String, id: ProcessId, child: Option<Child>, exits: UnboundedSender<Exit>) {
    until_gone(id, child.is_some()).await;
    let how = match child {
        Some(mut child) => child.wait().map_or_else(|fault| fault.to_string(), describe),
        None => "unknown, since another supervisor had started it".to_owned(),
    };
    // The supervisor may be ending.
    let _ = exits.send(Exit { name, id, how });
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; an `OwnedFd` keeps the promise that is asked for"
)]
async fn until_gone(id: ProcessId, is_child: bool) {
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
    let opened = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
    // A child's number is not used again before it was waited for; another's may have been, just now.
    let is_it = is_child || id.is_alive();
    if let Some(Ok(fd)) = opened
        .filter(|_| is_it)
        .map(|fd| AsyncFd::with_interest(fd, Interest::READABLE))
        && fd.readable().await.is_ok()
    {
        return;
    }
    // Where the kernel has no such files, looking often is what remains.
    while id.is_alive() {
        sleep(Duration::from_millis(100)).await;
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
