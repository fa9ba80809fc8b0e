//! Carrying out exactly a plan, step by step, so that any step may be killed and run again.

mod ending;
mod held;
mod journal;
mod lock;
mod work;

use std::{fmt, path::PathBuf, time::Duration};

use gaia_names::{ClusterName, Target};
use serde::Serialize;

pub use self::lock::tidy;
use self::{ending::Ending, held::Held, journal::Journal, lock::ClusterLock, work::Work};
use crate::{
    Blueprint, ClusterFolder, DeployError, Home, Plan, StepId,
    error::with_cause,
    files, observe,
    record::{Life, Record},
    targets::{
        compose, kubernetes,
        local::{place::Place, running},
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
        /// The steps that come after it and were not begun.
        not_started: Vec<StepId>,
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

/// What was applied.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// The cluster.
    pub cluster: ClusterName,
    /// The generation that it now has.
    pub generation: u64,
    /// The steps that were done, with how long each took.
    pub steps: Vec<(StepId, Duration)>,
    /// What a destroy was to keep and has found still there.
    pub kept: Vec<Kept>,
}

/// Something that a destroy was to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// What it is.
    pub what: String,
    /// Why it is kept.
    pub why: &'static str,
}

impl Kept {
    pub(crate) fn data(what: String) -> Self {
        let why = "what the game keeps";
        Self { what, why }
    }

    pub(crate) fn secrets(what: String) -> Self {
        let why = "without it the data cannot be opened";
        Self { what, why }
    }

    pub(crate) fn record(what: String) -> Self {
        let why = "it says what there was, and where its numbers go on";
        Self { what, why }
    }
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
    if blueprint.target == Target::Local {
        Place::paths(folder.path()).check()?;
    }
    let _lock = ClusterLock::take(home, &plan.cluster, &options.command)?;
    let mut held = Held::take(home, &plan.cluster, blueprint.target, &options.command).await?;
    let outcome = carry_out(home, plan, blueprint, options, held.as_mut()).await;
    if let Some(held) = held {
        held.give_back().await;
    }
    outcome
}

async fn carry_out(
    home: &Home,
    plan: &Plan,
    blueprint: &Blueprint,
    options: ApplyOptions<'_>,
    mut held: Option<&mut Held>,
) -> Result<Applied, DeployError> {
    let folder = home.cluster(&plan.cluster);
    let found = match &held {
        Some(held) => held.inventory.record().await?,
        None => Record::read(&folder)?,
    };
    refuse_stale(plan, found.as_ref())?;
    let applied = |steps| Applied {
        cluster: plan.cluster.clone(),
        generation: plan.generation,
        steps,
        kept: Vec::new(),
    };
    if plan.is_empty() {
        return Ok(applied(Vec::new()));
    }
    let record = match &held {
        Some(held) => {
            home.point_to(&held.inventory)?;
            begun(found, blueprint)
        }
        None => begin(&folder, found, blueprint)?,
    };
    let mut journal = Journal::new(options.on_event, options.command, plan.steps.len());
    let how = (options.program, options.first_gateway_port);
    let inventory = held.as_ref().map(|held| held.inventory.clone());
    let mut work = Work::of(home, &folder, blueprint, (record, inventory), &how).await?;
    work.keep().await?;
    for (index, step) in plan.steps.iter().enumerate() {
        work.record().intent = Some(journal.begin(step));
        work.keep().await?;
        let outcome = match journal.before(step) {
            Ok(()) => work.carry_out(step).await,
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(made) => {
                journal.after(step);
                if let Some(held) = &mut held {
                    held.follow(plan, work.has_namespace()).await?;
                }
                work.record().note(step, made);
                work.keep().await?;
                journal.end(step);
            }
            Err(fault) => {
                journal.fail(step, &fault, plan.steps.get(index + 1..).unwrap_or_default());
                return Err(fault);
            }
        }
    }
    work.record().applied = Some(blueprint.clone());
    work.keep().await?;
    Ok(applied(journal.done()))
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
    let record = begun(found, blueprint);
    files::make_folder(folder.path(), if is_new { 0o700 } else { mode_of(folder)? }, None)?;
    record.write(folder)?;
    Ok(record)
}

/// The record of a cluster that is about to become what a blueprint says.
fn begun(found: Option<Record>, blueprint: &Blueprint) -> Record {
    let mut record = found.unwrap_or_else(|| Record::new(blueprint.cluster.clone(), blueprint.target));
    // A destroy that was begun is ended first; the step that does it sets this.
    if matches!(record.life, Life::Stopped | Life::Kept) {
        record.life = Life::Up;
    }
    record.generation = blueprint.generation;
    record.digest.clone_from(&blueprint.digest);
    record.asked.clone_from(&blueprint.asked);
    for (game, own) in &blueprint.games {
        record
            .bundles
            .insert(game.clone(), (own.bundle.generation, own.bundle_digest.clone()));
    }
    record.bundles.retain(|game, _| blueprint.games.contains_key(game));
    record
}

fn mode_of(folder: &ClusterFolder) -> Result<u32, DeployError> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(folder.path()).map_err(DeployError::file("look at", folder.path()))?;
    Ok(found.permissions().mode() & 0o777)
}

/// Carries out a plan of [`Plan::destroying`] or [`Plan::destroying_all_but_volumes`] and proves that nothing is left, or
/// nothing else.
///
/// # Errors
///
/// As [`apply`]; and if something is left.
pub async fn destroy(home: &Home, plan: &Plan, options: ApplyOptions<'_>) -> Result<Applied, DeployError> {
    if !plan.blueprint.is_empty() || plan.generation != 0 {
        return Err(DeployError::OtherBlueprint);
    }
    let lock = ClusterLock::take(home, &plan.cluster, &options.command)?;
    let held = Held::take(home, &plan.cluster, home.target_of(&plan.cluster)?, &options.command).await?;
    let outcome = end(home, plan, options).await;
    if let Some(held) = held {
        held.give_back().await;
    }
    let done = outcome?;
    if !plan.keeps_volumes {
        lock.remove();
    }
    Ok(done)
}

async fn end(home: &Home, plan: &Plan, options: ApplyOptions<'_>) -> Result<Applied, DeployError> {
    let ending = Ending::of(home, &plan.cluster).await?;
    let mut kept = Vec::new();
    // A record that cannot be read must not keep the cluster from being destroyed.
    let mut record = ending.record().await;
    if record.is_some() {
        refuse_stale(plan, record.as_ref())?;
    }
    let mut journal = Journal::new(options.on_event, options.command, plan.steps.len());
    if let Some(record) = &mut record {
        record.life = match plan.keeps_volumes {
            true => Life::Keeping,
            false => Life::Destroying,
        };
    } else if plan.keeps_volumes {
        return Err(DeployError::Input(format!(
            "the record of `{cluster}` is missing or cannot be read, so nobody could take its data up again; put it back, or \
             run `gaia destroy {cluster}`",
            cluster = plan.cluster
        )));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let intent = journal.begin(step);
        if let Some(record) = &mut record {
            record.intent = Some(intent);
            ending.keep(record).await?;
        }
        let outcome = match journal.before(step) {
            Ok(()) => ending.carry_out(step, plan.keeps_volumes).await,
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(found) => kept.extend(found),
            Err(fault) => {
                journal.fail(step, &fault, plan.steps.get(index + 1..).unwrap_or_default());
                return Err(fault);
            }
        }
        journal.after(step);
        // What held the record may have gone with this step.
        record = ending.record().await;
        journal.end(step);
    }
    if let (Some(record), true) = (&mut record, plan.keeps_volumes) {
        record.keep_data();
        ending.keep(record).await?;
    }
    Ok(Applied {
        cluster: plan.cluster.clone(),
        generation: 0,
        steps: journal.done(),
        kept,
    })
}

/// Stops all processes of a cluster and keeps its data. Nothing happens if it is stopped already.
///
/// # Errors
///
/// If there is no such cluster, somebody else is at work on it, or a process does not end.
pub async fn stop(home: &Home, cluster: &ClusterName, options: ApplyOptions<'_>) -> Result<(), DeployError> {
    let ending = Ending::of(home, cluster).await?;
    if !ending.is_there().await? {
        return Err(DeployError::NoSuchCluster {
            cluster: cluster.clone(),
            home: home.path().to_owned(),
        });
    }
    let _lock = ClusterLock::take(home, cluster, &options.command)?;
    let held = Held::take(home, cluster, home.target_of(cluster)?, &options.command).await?;
    let outcome = stop_all(&ending).await;
    if let Some(held) = held {
        held.give_back().await;
    }
    outcome
}

async fn stop_all(ending: &Ending) -> Result<(), DeployError> {
    if let Some(mut record) = ending.read().await?
        && record.life == Life::Up
    {
        record.life = Life::Stopped;
        ending.keep(&record).await?;
    }
    ending.stop_all().await
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
    let observed = observe(home, cluster).await?;
    if !observed.exists() {
        return Err(DeployError::NoSuchCluster {
            cluster: cluster.clone(),
            home: home.path().to_owned(),
        });
    }
    let _lock = ClusterLock::take(home, cluster, &options.command)?;
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
            Target::Kubernetes => kubernetes::work::restart(&home.inventory(cluster).await?, name).await,
        };
        let elapsed = begun.elapsed();
        (options.on_event)(match &outcome {
            Ok(()) => Event::Done { step, elapsed },
            Err(fault) => Event::Failed {
                step,
                elapsed,
                error: with_cause(fault),
                not_started: Vec::new(),
            },
        });
        outcome?;
    }
    Ok(())
}
