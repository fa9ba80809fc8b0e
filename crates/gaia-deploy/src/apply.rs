//! Carrying out exactly a plan, step by step, so that any step may be killed and run again.

use std::{fmt, path::PathBuf, time::Duration};

use gaia_names::ClusterName;
use serde::Serialize;

use crate::{Blueprint, DeployError, Home, Plan, StepId};

/// The `gaia` binary, which apply starts with another word: `<program> serve chat --settings <file>` and
/// `<program> serve supervisor --cluster <folder>`.
#[derive(Clone, Debug)]
pub struct Program(pub PathBuf);

/// What happens during an apply or destroy, for whoever watches.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step begins.
    Started {
        /// Which.
        step: StepId,
        /// Its place, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// Why it is done.
        why: String,
    },
    /// A step is done.
    Done {
        /// Which.
        step: StepId,
        /// How long it took.
        elapsed: Duration,
    },
    /// A step failed; apply ends with the error.
    Failed {
        /// Which.
        step: StepId,
        /// How long it took.
        elapsed: Duration,
        /// What failed.
        error: String,
    },
}

/// How an apply is to be done.
pub struct ApplyOptions<'a> {
    /// The binary to start processes with.
    pub program: Program,
    /// The command as people typed it, shown to whoever finds the cluster locked: `gaia up zombie-survival`.
    pub command: String,
    /// Hears about every step.
    pub on_event: &'a mut (dyn FnMut(Event) + Send),
    /// The first port that a gateway tries; the next free one is taken. 7400 unless said otherwise.
    pub first_gateway_port: u16,
}

impl fmt::Debug for ApplyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyOptions").field("program", &self.program).field("command", &self.command).finish()
    }
}

/// What was applied.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// The cluster.
    pub cluster: ClusterName,
    /// The generation that it now has.
    pub generation: u64,
    /// The steps that were done, with how long each took.
    pub steps: Vec<(StepId, Duration)>,
}

/// Carries out a plan.
///
/// # Errors
///
/// If the cluster has changed since the plan was made, somebody else is at work on it, or a step failed. What was
/// done stays; planning again shows what is missing.
pub async fn apply(
    home: &Home,
    plan: &Plan,
    blueprint: &Blueprint,
    options: ApplyOptions<'_>,
) -> Result<Applied, DeployError> {
    let _ = (home, plan, blueprint, options);
    todo!()
}

/// Carries out a plan of [`Plan::destroying`] and proves that nothing is left.
///
/// # Errors
///
/// As [`apply`]; and if something is left.
pub async fn destroy(home: &Home, plan: &Plan, options: ApplyOptions<'_>) -> Result<Applied, DeployError> {
    let _ = (home, plan, options);
    todo!()
}

/// Stops all processes of a cluster and keeps its data. Nothing happens if it is stopped already.
///
/// # Errors
///
/// If there is no such cluster, somebody else is at work on it, or a process does not end.
pub async fn stop(home: &Home, cluster: &ClusterName, options: ApplyOptions<'_>) -> Result<(), DeployError> {
    let _ = (home, cluster, options);
    todo!()
}

/// Restarts one process (`chat-1`, `redis`), or all instances of a service (`chat`), and waits until it is ready.
///
/// # Errors
///
/// If there is no such cluster or process, the supervisor does not run, or the process does not become ready.
pub async fn restart(
    home: &Home,
    cluster: &ClusterName,
    process: &str,
    options: ApplyOptions<'_>,
) -> Result<(), DeployError> {
    let _ = (home, cluster, process, options);
    todo!()
}
