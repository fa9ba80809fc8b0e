//! What makes a step safe to kill: the intent is on disk before it, what it made right after.

use std::time::{Duration, Instant};

use chrono::Utc;
use rustix::process::{Signal, getpid, kill_process};

use super::Event;
use crate::{DeployError, Step, StepId, record::Intent};

/// Where tests have the process killed, or a step fail.
///
/// `GAIA_ABORT_AT=<step>:before` kills it when the step's intent is written and nothing is done;
/// `GAIA_ABORT_AT=<step>:after` when all is done and nothing of it is written; `GAIA_ABORT_AT=<step>:fails` has the step fail
/// in place of being done. It is for tests alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AbortAt {
    step: String,
    moment: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
    Fails,
}

impl AbortAt {
    /// Reads the variable; the one place that does.
    #[expect(clippy::disallowed_methods, reason = "it is for tests alone and no setting")]
    fn from_environment() -> Option<Self> {
        Self::parse(&std::env::var("GAIA_ABORT_AT").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (step, moment) = text.rsplit_once(':')?;
        let moment = match moment {
            "before" => Moment::Before,
            "after" => Moment::After,
            "fails" => Moment::Fails,
            _ => return None,
        };
        Some(Self {
            step: step.to_owned(),
            moment,
        })
    }
}

/// Tells about steps and writes them down.
pub(crate) struct Journal<'a> {
    on_event: &'a mut (dyn FnMut(Event) + Send),
    command: String,
    abort_at: Option<AbortAt>,
    of: usize,
    done: Vec<(StepId, Duration)>,
    begun: Instant,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(on_event: &'a mut (dyn FnMut(Event) + Send), command: String, of: usize) -> Self {
        let abort_at = AbortAt::from_environment();
        Self {
            on_event,
            command,
            abort_at,
            of,
            done: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// A step begins. What is given back must be on disk before anything is done.
    pub(crate) fn begin(&mut self, step: &Step) -> Intent {
        self.begun = Instant::now();
        let (number, of) = (self.done.len() + 1, self.of);
        (self.on_event)(Event::Started {
            step: step.id.clone(),
            number,
            of,
            why: step.why.clone(),
        });
        Intent {
            step: step.id.clone(),
            command: self.command.clone(),
            since: Utc::now(),
        }
    }

    /// The intent is on disk and nothing is done.
    pub(crate) fn before(&self, step: &Step) -> Result<(), DeployError> {
        if self.is_now(step, Moment::Before) {
            die();
        }
        match self.is_now(step, Moment::Fails) {
            false => Ok(()),
            true => Err(DeployError::System {
                doing: "do what a test wants to fail",
                source: std::io::Error::other("GAIA_ABORT_AT names it"),
            }),
        }
    }

    /// All is done and nothing of it is on disk.
    pub(crate) fn after(&self, step: &Step) {
        if self.is_now(step, Moment::After) {
            die();
        }
    }

    /// A step is done, and what it made is on disk.
    pub(crate) fn end(&mut self, step: &Step) {
        let elapsed = self.begun.elapsed();
        self.done.push((step.id.clone(), elapsed));
        (self.on_event)(Event::Done {
            step: step.id.clone(),
            elapsed,
        });
    }

    /// A step failed, and those after it are not begun.
    pub(crate) fn fail(&mut self, step: &Step, fault: &DeployError, after: &[Step]) {
        let error = crate::error::with_cause(fault);
        (self.on_event)(Event::Failed {
            step: step.id.clone(),
            elapsed: self.begun.elapsed(),
            error,
            not_started: after.iter().map(|step| step.id.clone()).collect(),
        });
    }

    /// The steps that were done.
    pub(crate) fn done(self) -> Vec<(StepId, Duration)> {
        self.done
    }

    fn is_now(&self, step: &Step, moment: Moment) -> bool {
        let at = self.abort_at.as_ref();
        at.is_some_and(|at| at.step == step.id.0 && at.moment == moment)
    }
}

/// The way a process is killed that may do nothing about it.
fn die() {
    let _ = kill_process(getpid(), Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_with_colons_and_its_moment_are_told_apart() {
        let parsed = AbortAt::parse("service:chat-1:after").unwrap();
        assert_eq!((parsed.step.as_str(), parsed.moment), ("service:chat-1", Moment::After));
        assert_eq!(AbortAt::parse("service:chat-1"), None);
    }
}
