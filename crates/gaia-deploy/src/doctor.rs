//! What this machine lacks, and the command that brings it.

use serde::{Deserialize, Serialize};

use crate::Home;

/// How a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// As it should be.
    Good,
    /// Gaia works, but not as well as it could.
    Poor,
    /// Gaia cannot run a cluster.
    Missing,
}

/// One thing that Gaia needs of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What: `postgres`, `disk`.
    pub what: String,
    /// How it is.
    pub state: FindingState,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// Looks at the machine. Findings of its own, such as the model's, are added by the caller.
#[must_use]
pub fn doctor(home: &Home) -> Vec<Finding> {
    let _ = home;
    todo!()
}
