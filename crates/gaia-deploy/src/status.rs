//! How a cluster is, told truthfully.

use std::{fmt, path::PathBuf};

use chrono::{DateTime, Utc};
use gaia_names::{ClusterName, GameId};
use serde::{Deserialize, Serialize};

use crate::{DeployError, Home};

/// How a cluster is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// All that should run runs and is ready, and the supervisor watches over it.
    Running,
    /// Something that should run does not, is not ready, or is not watched.
    Degraded,
    /// It was stopped and keeps its data.
    Stopped,
    /// An apply or destroy ended in the middle; `gaia up` or `gaia destroy` goes on with it.
    Unfinished,
}

/// A cluster's status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Which.
    pub cluster: ClusterName,
    /// How it is.
    pub state: ClusterState,
    /// What is wrong, in words, if something is.
    pub why: Vec<String>,
    /// The generation that was last applied.
    pub generation: u64,
    /// Where players of the first game connect.
    pub gateway_url: Option<String>,
    /// Its games.
    pub games: Vec<GameStatus>,
    /// Who watches over the processes.
    pub supervisor: SupervisorStatus,
    /// Its stores and services.
    pub processes: Vec<ProcessStatus>,
    /// Where the logs are.
    pub logs: PathBuf,
}

/// One game in a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GameStatus {
    /// Which.
    pub game: GameId,
    /// Its name for people.
    pub name: String,
    /// Where its players connect.
    pub gateway_url: Option<String>,
    /// The bundle that was applied.
    pub bundle_generation: u64,
    /// The bundle that is in use, as the cluster says.
    pub bundle_in_use: Option<u64>,
    /// How its characters answer just now: a route's name, `offline` or `barks`; none if nobody could say.
    pub answers_by: Option<String>,
    /// Why it is not a better one.
    pub why: Option<String>,
}

/// The supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SupervisorStatus {
    /// Whether it runs.
    pub is_running: bool,
    /// Its process id.
    pub pid: Option<u32>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
}

/// One process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its name: `postgres`, `chat-1`.
    pub name: String,
    /// Whether it should run.
    pub is_desired: bool,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether it answers and has what it needs.
    pub is_ready: bool,
    /// What is wrong, if something is.
    pub why: Option<String>,
    /// Its process id.
    pub pid: Option<u32>,
    /// How often the supervisor had to start it again.
    pub restarts: u32,
    /// Since when it runs.
    pub since: Option<DateTime<Utc>>,
    /// How it ended the last time: `exit 1`, `signal 9`.
    pub last_exit: Option<String>,
    /// Its memory in bytes: the proportional share of all its processes, or what is resident where that is not shown.
    pub memory_bytes: Option<u64>,
    /// Its log.
    pub log: PathBuf,
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Unfinished => "unfinished",
        })
    }
}

/// How a cluster is.
///
/// # Errors
///
/// If there is no such cluster, or its files cannot be read.
pub async fn status(home: &Home, cluster: &ClusterName) -> Result<ClusterStatus, DeployError> {
    let _ = (home, cluster);
    todo!()
}

/// How all clusters of a home are, by name. One that cannot be read is an error of its own.
///
/// # Errors
///
/// If home cannot be read.
pub async fn list(home: &Home) -> Result<Vec<(ClusterName, Result<ClusterStatus, DeployError>)>, DeployError> {
    let _ = home;
    todo!()
}
