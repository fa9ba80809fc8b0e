//! How a cluster is, told truthfully.

use std::{fmt, path::PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use gaia_names::{ClusterName, GameId, Service, Store, Target};
use gaia_protocol::costs::Spending;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    Blueprint, DeployError, Drift, Home, Observed, ObservedProcess, Plan, Step, StepId,
    containers::parts::Role,
    observe,
    plan::ids::{NEW_SECRETS, SECRETS},
    record::{Intent, Life, Record},
    targets::{
        compose::{engine::Engine, render::project},
        kubernetes::{entrance, objects, observing, off_hours},
    },
};

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
    /// It is off-hours: its stores run, and the clock brings back the rest.
    Closed,
    /// Only its data is left; `gaia up` takes it up again.
    Kept,
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
    /// Where it runs.
    pub target: Target,
    /// Who watches over the processes, where that is one of Gaia's own.
    pub supervisor: Option<SupervisorStatus>,
    /// What has come to differ from what was applied; `gaia up` puts it right.
    #[serde(default)]
    pub drift: Vec<Drifted>,
    /// When its secrets were made, or last added to.
    #[serde(default)]
    pub secrets_made_at: Option<DateTime<Utc>>,
    /// Its stores and services.
    pub processes: Vec<ProcessStatus>,
    /// Where the logs are.
    pub logs: PathBuf,
}

/// Something that has come to differ from what was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// What, by the step that puts it right.
    pub what: StepId,
    /// How.
    pub class: Drift,
    /// In words.
    pub why: String,
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
    /// How many of its characters' lines the model on this machine has not read yet.
    pub lines_to_read: usize,
    /// What its models have cost today and this month, where it has a budget and the cluster could say.
    #[serde(default)]
    pub spending: Vec<Spending>,
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
            Self::Closed => "closed",
            Self::Kept => "kept",
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
    let observed = observe(home, cluster).await?;
    if !observed.exists() {
        return Err(DeployError::NoSuchCluster {
            cluster: cluster.clone(),
            home: home.path().to_owned(),
        });
    }
    Ok(ClusterStatus::of(&observed))
}

/// How all clusters of a home are, by name. One that cannot be read is an error of its own.
///
/// # Errors
///
/// If home cannot be read.
pub async fn list(home: &Home) -> Result<Vec<(ClusterName, Result<ClusterStatus, DeployError>)>, DeployError> {
    let mut asked = JoinSet::new();
    for cluster in home.clusters()? {
        let home = home.clone();
        asked.spawn(async move {
            let answer = status(&home, &cluster).await;
            (cluster, answer)
        });
    }
    let mut all = asked.join_all().await;
    // One that was destroyed just now is not there.
    all.retain(|(_, answer)| !matches!(answer, Err(DeployError::NoSuchCluster { .. })));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

impl ClusterStatus {
    /// Adds how much memory each process uses, where that takes the target some seconds to say and is therefore not asked
    /// for each time.
    ///
    /// # Errors
    ///
    /// If the target does not answer.
    pub async fn measure(&mut self) -> Result<(), DeployError> {
        if self.target != Target::Compose {
            return Ok(());
        }
        let used = Engine::find().await?.memory(&project(&self.cluster)).await?;
        for process in &mut self.processes {
            process.memory_bytes = used.get(&process.name).copied();
        }
        Ok(())
    }

    fn of(observed: &Observed) -> Self {
        let games: Vec<GameStatus> = games(observed);
        let processes: Vec<ProcessStatus> = processes(observed);
        let supervisor = (observed.target() == Target::Local).then(|| SupervisorStatus {
            is_running: observed.supervisor.is_some(),
            pid: observed.supervisor.as_ref().and_then(|process| process.pid),
            since: observed.supervisor.as_ref().and_then(|process| process.since),
        });
        let (state, why) = judge(
            observed,
            &processes,
            supervisor.as_ref().map(|supervisor| supervisor.is_running),
        );
        Self {
            cluster: observed.cluster.clone(),
            target: observed.target(),
            state,
            why,
            generation: observed.applied().map_or(0, |blueprint| blueprint.generation),
            gateway_url: games.first().and_then(|game| game.gateway_url.clone()),
            games,
            supervisor,
            drift: drift(observed),
            secrets_made_at: secrets_made_at(observed),
            processes,
            logs: observed.folder.logs(),
        }
    }
}

fn secrets_made_at(observed: &Observed) -> Option<DateTime<Utc>> {
    let resources = &observed.record.as_ref()?.resources;
    let made = [SECRETS, NEW_SECRETS].map(|id| resources.get(&StepId(id.to_owned())));
    let newest = made.into_iter().flatten().map(|made| made.at).max();
    newest.filter(|_| observed.secrets.is_some())
}

/// What a plan towards what was applied would put right.
fn drift(observed: &Observed) -> Vec<Drifted> {
    let Some(applied) = observed.applied() else {
        return Vec::new();
    };
    let credentials = observed.credentials();
    // Without what chat was told, what it should be told cannot be compared.
    let is_known = |drift: &Drift| credentials.is_some() || *drift != Drift::Config;
    let applied = Blueprint {
        credentials: credentials.clone().unwrap_or_default(),
        ..applied.clone()
    };
    let of_step = |step: Step| {
        Some(Drifted {
            what: step.id,
            class: step.drift.filter(is_known)?,
            why: step.why,
        })
    };
    let steps = Plan::between(observed, &applied).steps;
    steps.into_iter().filter_map(of_step).collect()
}

fn judge(observed: &Observed, processes: &[ProcessStatus], is_watched: Option<bool>) -> (ClusterState, Vec<String>) {
    let mut why = observed.faults.clone();
    let Some(record) = &observed.record else {
        why.push("its record, cluster.json, is missing".to_owned());
        return (ClusterState::Unfinished, why);
    };
    if record.life == Life::Kept && record.intent.is_none() {
        why.push("only its data is left; `gaia up` takes it up again, `gaia destroy` removes it".to_owned());
        return (ClusterState::Kept, why);
    }
    if record.is_unfinished() {
        why.push(unfinished(record));
        return (ClusterState::Unfinished, why);
    }
    let is_any_running = processes.iter().any(|process| process.is_running);
    if record.life == Life::Stopped && !is_any_running && is_watched != Some(true) {
        return (ClusterState::Stopped, why);
    }
    if is_watched == Some(false) {
        why.push("its supervisor does not run, so nothing that dies is started again; `gaia up` starts it".to_owned());
    }
    // Pods that are to end are not missed; what is missing, is.
    let is_on_kubernetes = observed.target() == Target::Kubernetes;
    let unwell = processes
        .iter()
        .filter(|process| process.is_desired || !is_on_kubernetes)
        .filter_map(|process| Some(format!("{}: {}", process.name, process.why.as_ref()?)));
    why.extend(unwell);
    why.extend(observing::short(&observed.objects));
    (
        match (why.is_empty(), closed_until(observed)) {
            (true, Some(until)) => {
                why.push(until);
                ClusterState::Closed
            }
            (true, None) => ClusterState::Running,
            (false, _) => ClusterState::Degraded,
        },
        why,
    )
}

/// When a game that the off-hours have closed is to open.
fn closed_until(observed: &Observed) -> Option<String> {
    let hours = observed.applied()?.needs.off_hours.as_ref()?;
    let told = || format!("it is off-hours: it opens at {} ({})", hours.until, hours.timezone);
    is_closed(observed).then(told)
}

fn is_closed(observed: &Observed) -> bool {
    let applied = observed.applied();
    applied.is_some_and(|blueprint| off_hours::is_closed(blueprint, &observed.objects))
}

fn unfinished(record: &Record) -> String {
    let next = match record.life {
        Life::Destroying => "gaia destroy",
        Life::Keeping => "gaia destroy --keep-volumes",
        Life::Up | Life::Stopped | Life::Kept => "gaia up",
    };
    match &record.intent {
        Some(Intent { step, command, since }) => {
            let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("`{command}` is at step `{step}` since {since}, or ended there; `{next}` goes on with it")
        }
        None => format!(
            "generation {} is not applied in full; `{next}` goes on with it",
            record.generation
        ),
    }
}

fn games(observed: &Observed) -> Vec<GameStatus> {
    let Some(record) = &observed.record else {
        return Vec::new();
    };
    let name = |game: &GameId| {
        observed
            .applied()
            .and_then(|blueprint| blueprint.games.get(game))
            .map(|own| own.bundle.name.clone())
    };
    let status = |(game, (generation, _)): (&GameId, &(u64, String))| {
        let asked = observed.bundles_in_use.get(game);
        let used = asked.and_then(|used| used.as_ref().ok());
        GameStatus {
            game: game.clone(),
            name: name(game).unwrap_or_else(|| game.to_string()),
            gateway_url: gateway_url(observed, record, game),
            bundle_generation: *generation,
            bundle_in_use: used.map(|used| used.generation),
            answers_by: used.map(|used| used.answers_by.clone()),
            lines_to_read: used.map_or(0, |used| used.lines_to_read),
            spending: used.map(|used| used.spending.clone()).unwrap_or_default(),
            why: match (used, asked) {
                (Some(used), _) => used.why.clone(),
                (None, Some(Err(fault))) => Some(format!("the gateway could not say: {fault}")),
                (None, _) => Some("the gateway does not run".to_owned()),
            },
        }
    };
    record.bundles.iter().map(status).collect()
}

/// Where a game's players connect: on this machine, or within the Kubernetes that it is in.
fn gateway_url(observed: &Observed, record: &Record, game: &GameId) -> Option<String> {
    let port = *record.ports.gateway.get(game)?;
    Some(match observed.target() {
        Target::Local | Target::Compose => format!("http://127.0.0.1:{port}"),
        Target::Kubernetes => {
            let entrance = observed
                .applied()
                .and_then(|blueprint| blueprint.needs.entrances.get(game));
            if let Some(entrance) = entrance {
                return Some(entrance::url(entrance));
            }
            let host = format!("{}.{}.svc", Service::Gateway, objects::namespace(&observed.cluster));
            match objects::port_for_players(&record.ports, game) {
                objects::PLAYERS => format!("http://{host}"),
                port => format!("http://{host}:{port}"),
            }
        }
    })
}

fn processes(observed: &Observed) -> Vec<ProcessStatus> {
    let is_closed = is_closed(observed);
    let is_store = |name: &str| Store::ALL.iter().any(|store| name.starts_with(store.as_str()));
    let is_desired = |name: &str, process: &ObservedProcess| {
        let is_leaving = matches!(&process.readiness, Err(why) if why == observing::ENDING);
        observed.is_meant_to_run() && !is_leaving && (!is_closed || is_store(name))
    };
    let mut all: Vec<ProcessStatus> = observed
        .processes
        .iter()
        .filter(|(name, process)| !(name.as_str() == Role::Setup.name() && process.readiness.is_ok()))
        .map(|(name, process)| ProcessStatus {
            name: name.clone(),
            is_desired: is_desired(name, process),
            is_running: process.is_running(),
            is_ready: process.is_running() && process.readiness.is_ok(),
            why: process.readiness.clone().err(),
            pid: process.pid,
            restarts: process.restarts,
            since: process.since,
            last_exit: process.last_exit.clone(),
            memory_bytes: process.memory_bytes,
            log: observed.folder.log(name),
        })
        .collect();
    // Stores first, then services from the outside in.
    let place = |name: &str| match name.split('-').next().unwrap_or(name).parse::<Store>() {
        Ok(store) => store as usize,
        Err(_) => {
            Store::ALL.len()
                + Service::ALL
                    .iter()
                    .position(|s| name.starts_with(s.as_str()))
                    .unwrap_or(9)
        }
    };
    all.sort_by(|a, b| (place(&a.name), &a.name).cmp(&(place(&b.name), &b.name)));
    all
}
