//! Carrying out exactly a plan, step by step, so that any step may be killed and run again.

mod journal;
mod lock;

use std::{fmt, path::PathBuf, time::Duration};

use gaia_names::{ClusterName, Target};
use serde::Serialize;

pub use self::lock::tidy;
use self::{journal::Journal, lock::ClusterLock};
use crate::{
    Blueprint, ClusterFolder, DeployError, Home, Plan, Step, StepId,
    error::with_cause,
    files, observe,
    plan::ids::{FOLDER, PROCESSES, PROOF, VOLUMES},
    record::{Life, Record},
    targets::{
        compose::{self, engine::Engine},
        local::{self, destroying, place::Place, running},
    },
};

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
        f.debug_struct("ApplyOptions")
            .field("program", &self.program)
            .field("command", &self.command)
            .finish()
    }
}

/// What a step made: what it is on the target, and the digest of what it was made from. None if it took away.
pub(crate) type Made = Option<(String, String)>;

/// What carries out the steps of an apply, by target.
enum Work<'a> {
    Local(local::work::Work<'a>),
    Compose(compose::work::Work<'a>),
}

impl<'a> Work<'a> {
    async fn of(
        home: &'a Home,
        folder: &'a ClusterFolder,
        blueprint: &'a Blueprint,
        record: Record,
        options: &'a (Program, u16),
    ) -> Result<Self, DeployError> {
        let (program, first_port) = options;
        Ok(match blueprint.target {
            Target::Local => Self::Local(local::work::Work::new(
                home,
                folder,
                blueprint,
                record,
                program,
                *first_port,
            )?),
            Target::Compose => {
                Self::Compose(compose::work::Work::new(home, folder, blueprint, record, *first_port).await?)
            }
        })
    }

    fn record(&mut self) -> &mut Record {
        match self {
            Self::Local(work) => &mut work.record,
            Self::Compose(work) => &mut work.record,
        }
    }

    async fn carry_out(&mut self, step: &Step) -> Result<Made, DeployError> {
        match self {
            Self::Local(work) => work.carry_out(step).await,
            Self::Compose(work) => work.carry_out(step).await,
        }
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
    if plan.blueprint != blueprint.digest || plan.cluster != blueprint.cluster {
        return Err(DeployError::OtherBlueprint);
    }
    let folder = home.cluster(&plan.cluster);
    Place::paths(folder.path()).check()?;
    let _lock = ClusterLock::take(home, &plan.cluster, &options.command)?;
    let found = Record::read(&folder)?;
    refuse_stale(plan, found.as_ref())?;
    if plan.is_empty() {
        return Ok(Applied {
            cluster: plan.cluster.clone(),
            generation: plan.generation,
            steps: Vec::new(),
        });
    }
    let record = begin(&folder, found, blueprint)?;
    let mut journal = Journal::new(options.on_event, options.command, plan.steps.len());
    let how = (options.program, options.first_gateway_port);
    let mut work = Work::of(home, &folder, blueprint, record, &how).await?;
    for step in &plan.steps {
        journal.begin(step, Some((work.record(), &folder)))?;
        match work.carry_out(step).await {
            Ok(made) => journal.end(step, Some((work.record(), &folder)), made)?,
            Err(fault) => {
                journal.fail(step, &fault);
                return Err(fault);
            }
        }
    }
    work.record().applied = Some(blueprint.clone());
    work.record().write(&folder)?;
    Ok(Applied {
        cluster: plan.cluster.clone(),
        generation: plan.generation,
        steps: journal.done(),
    })
}

fn refuse_stale(plan: &Plan, found: Option<&Record>) -> Result<(), DeployError> {
    let found = found.map_or(0, |record| record.generation);
    if found == plan.parent {
        return Ok(());
    }
    Err(DeployError::Stale {
        cluster: plan.cluster.clone(),
        planned: plan.parent,
        found,
    })
}

/// Writes down what is about to become of the cluster, its numbers above all, before anything does.
fn begin(folder: &ClusterFolder, found: Option<Record>, blueprint: &Blueprint) -> Result<Record, DeployError> {
    let is_new = found.is_none();
    let place = Place::paths(folder.path());
    if is_new && (place.postgres_data().exists() || folder.secrets().exists()) {
        return Err(DeployError::Input(format!(
            "{} holds a cluster's data without its record, cluster.json; put that back, or run `gaia destroy {}`",
            folder.path().display(),
            blueprint.cluster
        )));
    }
    let mut record = found.unwrap_or_else(|| Record::new(blueprint.cluster.clone(), blueprint.target));
    // A destroy that was begun is ended first; the step that does it sets this.
    if record.life == Life::Stopped {
        record.life = Life::Up;
    }
    record.generation = blueprint.generation;
    record.digest.clone_from(&blueprint.digest);
    for (game, own) in &blueprint.games {
        record
            .bundles
            .insert(game.clone(), (own.bundle.generation, own.bundle_digest.clone()));
    }
    record.bundles.retain(|game, _| blueprint.games.contains_key(game));
    files::make_folder(folder.path(), if is_new { 0o700 } else { mode_of(folder)? }, None)?;
    record.write(folder)?;
    Ok(record)
}

fn mode_of(folder: &ClusterFolder) -> Result<u32, DeployError> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(folder.path()).map_err(DeployError::file("look at", folder.path()))?;
    Ok(found.permissions().mode() & 0o777)
}

/// Carries out a plan of [`Plan::destroying`] and proves that nothing is left.
///
/// # Errors
///
/// As [`apply`]; and if something is left.
pub async fn destroy(home: &Home, plan: &Plan, options: ApplyOptions<'_>) -> Result<Applied, DeployError> {
    if !plan.blueprint.is_empty() || plan.generation != 0 {
        return Err(DeployError::OtherBlueprint);
    }
    let folder = home.cluster(&plan.cluster);
    let lock = ClusterLock::take(home, &plan.cluster, &options.command)?;
    // A record that cannot be read must not keep the cluster from being destroyed.
    let mut record = Record::read(&folder).unwrap_or_default();
    if record.is_some() {
        refuse_stale(plan, record.as_ref())?;
    }
    let mut journal = Journal::new(options.on_event, options.command, plan.steps.len());
    let target = target_of(record.as_ref());
    if let Some(record) = &mut record {
        record.life = Life::Destroying;
        record.write(&folder)?;
    }
    for step in &plan.steps {
        journal.begin(step, record.as_mut().map(|record| (record, &folder)))?;
        let outcome = match step.id.0.as_str() {
            PROCESSES => stop_all(target, &folder).await,
            VOLUMES => compose::work::remove_volumes(&Engine::find().await?, folder.name()).await,
            FOLDER => destroying::remove(&folder),
            PROOF => prove(target, &folder).await,
            _ => Err(DeployError::OtherBlueprint),
        };
        if let Err(fault) = outcome {
            journal.fail(step, &fault);
            return Err(fault);
        }
        if !folder.path().exists() {
            record = None;
        }
        journal.end(step, record.as_mut().map(|record| (record, &folder)), None)?;
    }
    lock.remove();
    Ok(Applied {
        cluster: plan.cluster.clone(),
        generation: 0,
        steps: journal.done(),
    })
}

/// Stops all processes of a cluster and keeps its data. Nothing happens if it is stopped already.
///
/// # Errors
///
/// If there is no such cluster, somebody else is at work on it, or a process does not end.
pub async fn stop(home: &Home, cluster: &ClusterName, options: ApplyOptions<'_>) -> Result<(), DeployError> {
    let folder = home.cluster(cluster);
    if !folder.path().exists() {
        return Err(DeployError::NoSuchCluster {
            cluster: cluster.clone(),
            home: home.path().to_owned(),
        });
    }
    let _lock = ClusterLock::take(home, cluster, &options.command)?;
    let mut record = Record::read(&folder)?;
    if let Some(record) = &mut record
        && record.life == Life::Up
    {
        record.life = Life::Stopped;
        record.write(&folder)?;
    }
    stop_all(target_of(record.as_ref()), &folder).await
}

fn target_of(record: Option<&Record>) -> Target {
    record.map_or(Target::Local, |record| record.target)
}

async fn stop_all(target: Target, folder: &ClusterFolder) -> Result<(), DeployError> {
    match target {
        Target::Local => destroying::stop_all(folder).await,
        Target::Compose => compose::work::stop_all(&Engine::find().await?, folder.name()).await,
    }
}

/// Proves that nothing is left of a destroyed cluster.
async fn prove(target: Target, folder: &ClusterFolder) -> Result<(), DeployError> {
    if target == Target::Compose {
        let left = compose::work::left(&Engine::find().await?, folder.name(), true).await?;
        if !left.is_empty() {
            return Err(DeployError::Left {
                cluster: folder.name().clone(),
                left: left.join(", "),
            });
        }
    }
    destroying::prove(folder)
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
    let folder = home.cluster(cluster);
    if !folder.path().exists() {
        return Err(DeployError::NoSuchCluster {
            cluster: cluster.clone(),
            home: home.path().to_owned(),
        });
    }
    let _lock = ClusterLock::take(home, cluster, &options.command)?;
    let observed = observe(home, cluster).await?;
    let is_meant = |name: &str| name == process || name.strip_prefix(process).is_some_and(|rest| rest.starts_with('-'));
    let meant: Vec<&String> = observed.processes.keys().filter(|name| is_meant(name)).collect();
    if meant.is_empty() {
        let known = observed
            .processes
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        return Err(DeployError::NoSuchProcess {
            cluster: cluster.clone(),
            process: process.to_owned(),
            known,
        });
    }
    for (index, name) in meant.iter().enumerate() {
        let step = StepId((*name).clone());
        let begun = std::time::Instant::now();
        let why = "it was asked for".to_owned();
        (options.on_event)(Event::Started {
            step: step.clone(),
            number: index + 1,
            of: meant.len(),
            why,
        });
        let outcome = match observed.target() {
            Target::Local => running::restart(&observed, name).await,
            Target::Compose => compose::work::restart(cluster, observed.applied(), name).await,
        };
        let elapsed = begun.elapsed();
        (options.on_event)(match &outcome {
            Ok(()) => Event::Done { step, elapsed },
            Err(fault) => Event::Failed {
                step,
                elapsed,
                error: with_cause(fault),
            },
        });
        outcome?;
    }
    Ok(())
}
