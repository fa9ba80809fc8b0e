//! What the supervisor tells about its processes: `run/observed.json`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::targets::local::processes::ProcessId;

/// The supervisor and its processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) supervisor: ProcessId,
    pub(crate) since: DateTime<Utc>,
    pub(crate) processes: BTreeMap<String, ProcessReport>,
}

/// How a process is, as the supervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProcessState {
    Running,
    /// It was asked to end.
    Ending,
    /// It ended and will be started again after a pause.
    Waiting,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessReport {
    pub(crate) state: ProcessState,
    pub(crate) id: Option<ProcessId>,
    /// What it was told when it started; empty if a supervisor before this one did not say.
    pub(crate) revision: String,
    pub(crate) since: DateTime<Utc>,
    pub(crate) restarts: u32,
    pub(crate) last_exit: Option<String>,
}
