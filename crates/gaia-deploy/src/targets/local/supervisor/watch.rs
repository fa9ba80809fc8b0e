//! The processes of one cluster and what becomes of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    control::{Answer, Question},
    desired,
    report::{ProcessReport, Report},
    watched::{Exit, FIRST_PAUSE, IDLE, LONGEST_PAUSE, State, Watched, kill, report_exit},
};
use crate::{
    ClusterFolder,
    targets::local::{
        background::in_background,
        files,
        processes::{Kind, ProcessId, ProcessSpec},
    },
};

/// All processes of one cluster.
pub(super) struct Watch {
    folder: ClusterFolder,
    processes: BTreeMap<String, Watched>,
    exits: UnboundedSender<Exit>,
    since: DateTime<Utc>,
    is_stopping: bool,
    written: Option<BTreeMap<String, ProcessReport>>,
}

impl Watch {
    /// Takes over what runs already and makes ready to start the rest.
    pub(super) fn begin(folder: ClusterFolder, specs: Vec<ProcessSpec>, exits: UnboundedSender<Exit>) -> Self {
        let before: Option<Report> =
            files::read_json(&folder.observed(), "the supervisor's report").unwrap_or_default();
        let before = before.map(|report| report.processes).unwrap_or_default();
        let processes = BTreeMap::new();
        let mut watch = Self {
            folder,
            processes,
            exits,
            since: Utc::now(),
            is_stopping: false,
            written: None,
        };
        for spec in specs {
            watch.take_over(spec, &before);
        }
        watch
    }

    fn take_over(&mut self, spec: ProcessSpec, before: &BTreeMap<String, ProcessReport>) {
        let known = before.get(&spec.name);
        let alive = known.and_then(|report| report.id).filter(|id| id.is_alive());
        let mut watched = Watched::waiting(spec);
        if let Some(known) = known {
            watched.restarts = known.restarts;
            watched.last_exit.clone_from(&known.last_exit);
        }
        if let Some(id) = alive.or_else(|| watched.spec.find()) {
            let is_known = known.is_some_and(|report| report.id == Some(id));
            watched.revision = known
                .filter(|_| is_known)
                .map(|report| report.revision.clone())
                .unwrap_or_default();
            watched.since = known.filter(|_| is_known).map_or_else(Utc::now, |report| report.since);
            watched.state = State::Running {
                id,
                began: Instant::now(),
            };
            tracing::info!(process.name = %watched.spec.name, "adopted {} as process {}", watched.spec.name, id.pid);
            in_background(report_exit(watched.spec.name.clone(), id, None, self.exits.clone()));
        }
        self.processes.insert(watched.spec.name.clone(), watched);
    }

    /// Whether it was told to stop and nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.is_stopping && self.processes.is_empty()
    }

    /// Does what is due, and says when something will be due next.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        if self.is_stopping {
            self.stop_next(now);
        }
        let mut next = now + IDLE;
        for watched in self.processes.values_mut() {
            match watched.state {
                State::Waiting { until } if until <= now => {
                    next = next.min(watched.start(&self.folder, &self.exits, now))
                }
                State::Waiting { until } => next = next.min(until),
                State::Ending {
                    id, ref mut kill_at, ..
                } if *kill_at <= now => {
                    kill(&watched.spec, id);
                    *kill_at = now + IDLE;
                }
                State::Ending { kill_at, .. } => next = next.min(kill_at),
                State::Running { .. } => {}
            }
        }
        next
    }

    /// Services end first, so that they can finish what they are doing; then the stores.
    fn stop_next(&mut self, now: Instant) {
        self.processes
            .retain(|_, watched| !matches!(watched.state, State::Waiting { .. }));
        let are_services_left = self
            .processes
            .values()
            .any(|watched| watched.spec.kind == Kind::Service);
        let wanted = if are_services_left { Kind::Service } else { Kind::Store };
        for watched in self
            .processes
            .values_mut()
            .filter(|watched| watched.spec.kind == wanted)
        {
            watched.end(now, false);
        }
    }

    /// A process has ended.
    pub(super) fn exited(&mut self, exit: Exit) {
        let Some(watched) = self.processes.get_mut(&exit.name) else {
            return;
        };
        let now = Instant::now();
        let (id, starts_again) = match watched.state {
            State::Running { id, began } => {
                watched.pause = if now - began >= LONGEST_PAUSE {
                    FIRST_PAUSE
                } else {
                    watched.pause
                };
                (id, true)
            }
            State::Ending { id, starts_again, .. } => {
                watched.pause = Duration::ZERO;
                (id, starts_again)
            }
            State::Waiting { .. } => return,
        };
        if id != exit.id {
            return;
        }
        tracing::warn!(process.name = %exit.name, "{} ended: {}", exit.name, exit.how);
        watched.last_exit = Some(exit.how);
        watched.since = Utc::now();
        if starts_again && !self.is_stopping {
            watched.restarts += u32::from(matches!(watched.state, State::Running { .. }));
            watched.state = State::Waiting {
                until: now + watched.pause,
            };
            watched.pause = (watched.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        } else {
            self.processes.remove(&exit.name);
        }
    }

    /// Does what is asked, and says how things are then.
    pub(super) fn answer(&mut self, question: Question) -> Answer {
        let refusal = match question {
            Question::Status => None,
            Question::Reload => self.reload().err(),
            Question::Restart { process } => self.restart(&process).err(),
            Question::Stop => {
                self.is_stopping = true;
                None
            }
        };
        Answer {
            refusal,
            report: Some(self.report()),
        }
    }

    fn reload(&mut self) -> Result<(), String> {
        if self.is_stopping {
            return Err("it is stopping".to_owned());
        }
        let specs = desired(&self.folder).map_err(|fault| fault.to_string())?;
        let now = Instant::now();
        let names: BTreeSet<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        for spec in specs {
            match self.processes.get_mut(&spec.name) {
                None => self.take_over(spec, &BTreeMap::new()),
                Some(watched) => watched.become_as(spec, now),
            }
        }
        for (_, watched) in self.processes.iter_mut().filter(|(name, _)| !names.contains(*name)) {
            watched.end(now, false);
        }
        self.processes
            .retain(|name, watched| names.contains(name) || !matches!(watched.state, State::Waiting { .. }));
        Ok(())
    }

    fn restart(&mut self, process: &str) -> Result<(), String> {
        let watched = self
            .processes
            .get_mut(process)
            .ok_or_else(|| format!("it does not watch over `{process}`"))?;
        watched.start_anew(Instant::now());
        Ok(())
    }

    fn report(&self) -> Report {
        let pid = std::process::id();
        let supervisor = ProcessId::of(pid).unwrap_or(ProcessId { pid, started: 0 });
        let processes = self
            .processes
            .iter()
            .map(|(name, watched)| (name.clone(), watched.report()))
            .collect();
        Report {
            supervisor,
            since: self.since,
            processes,
        }
    }

    /// Writes the report where status looks for it, if it says something new.
    pub(super) fn write_report(&mut self) {
        let report = self.report();
        if self.written.as_ref() == Some(&report.processes) {
            return;
        }
        match files::write_json(&self.folder.observed(), &report, 0o600) {
            Ok(()) => self.written = Some(report.processes),
            Err(fault) => tracing::warn!(error = %fault, "the report could not be written: {fault}"),
        }
    }
}
