//! One file for each verb: its arguments and what it does.

pub(crate) mod admin;
pub(crate) mod check;
pub(crate) mod costs;
pub(crate) mod destroy;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod mcp;
pub(crate) mod model;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod play;
pub(crate) mod render;
pub(crate) mod restart;
pub(crate) mod scale;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod tools;
pub(crate) mod up;

use std::{env, future::Future, process::ExitCode, time::Duration};

use anyhow::Context;
use gaia_deploy::{ApplyOptions, Blueprint, DeployError, Event, Home, Plan, Program, StepId};
use gaia_names::{ClusterName, GameId};

use crate::{
    commands::Verb,
    environment,
    failure::{Failure, Outcome, Told},
    output::{Output, Steps},
};

/// Does what a verb says and tells why if it fails.
pub(crate) fn run(verb: Verb) -> ExitCode {
    match verb {
        Verb::New(arguments) => tell(arguments.json.json, new::run(&arguments)),
        Verb::Check(arguments) => tell(arguments.json.json, check::run(&arguments)),
        Verb::Explain(arguments) => tell(false, explain::run(&arguments)),
        Verb::Plan(arguments) => tell(arguments.shape.json.json, block_on(plan::run(&arguments))),
        Verb::Render(arguments) => tell(arguments.shape.json.json, block_on(render::run(&arguments))),
        Verb::Up(arguments) => tell(arguments.shape.json.json, block_on(up::run(&arguments))),
        Verb::Scale(arguments) => tell(arguments.json.json, block_on(scale::run(&arguments))),
        Verb::Status(arguments) => tell(arguments.json.json, block_on(status::run(&arguments))),
        Verb::Costs(arguments) => tell(arguments.json.json, block_on(costs::run(&arguments))),
        Verb::List(arguments) => tell(arguments.json.json, block_on(list::run(&arguments))),
        Verb::Logs(arguments) => tell(arguments.json.json, block_on(logs::run(&arguments))),
        Verb::Restart(arguments) => tell(arguments.json.json, block_on(restart::run(&arguments))),
        Verb::Down(arguments) => tell(arguments.json.json, block_on(down::run(&arguments))),
        Verb::Destroy(arguments) => tell(arguments.json.json, block_on(destroy::run(&arguments))),
        Verb::Doctor(arguments) => tell(arguments.json.json, block_on(doctor::run(&arguments))),
        Verb::Model(arguments) => tell(arguments.is_json(), model::run(&arguments)),
        Verb::Keys(arguments) => tell(arguments.is_json(), block_on(keys::run(&arguments))),
        Verb::Secrets(arguments) => tell(arguments.is_json(), block_on(secrets::run(&arguments))),
        Verb::Tools(arguments) => tell(arguments.json.json, block_on(tools::run(&arguments))),
        Verb::Mcp(arguments) => tell(false, block_on(mcp::run(&arguments))),
        Verb::Play(arguments) => tell(false, block_on(play::run(&arguments))),
        Verb::Health(arguments) => tell(false, block_on(health::run(&arguments))),
        Verb::Admin(arguments) => tell(true, block_on(admin::run(&arguments))),
        Verb::Serve(arguments) => serve::run(&arguments),
    }
}

fn tell(is_json: bool, outcome: anyhow::Result<Outcome>) -> ExitCode {
    let outcome = outcome.unwrap_or_else(|error| {
        let told = Told::of(&error);
        Output::new(is_json).failure(&told);
        told.outcome
    });
    outcome.into()
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start")?;
    let outcome = runtime.block_on(work);
    // A thread may still be waiting for a line from the terminal.
    runtime.shutdown_background();
    outcome
}

/// How steps are to be carried out.
fn options<'a>(command: String, on_event: &'a mut (dyn FnMut(Event) + Send)) -> anyhow::Result<ApplyOptions<'a>> {
    let program = Program(env::current_exe().context("failed to find this program's own file")?);
    Ok(ApplyOptions {
        program,
        command,
        on_event,
        first_gateway_port: environment::first_gateway_port()?,
    })
}

/// Carries out a plan, and while secrets are replaced what follows from it: the stores forget the former ones only when no
/// service uses them any more.
async fn apply(
    home: &Home,
    plan: &Plan,
    blueprint: &Blueprint,
    command: &str,
    steps: &mut Steps,
) -> anyhow::Result<Vec<(StepId, Duration)>> {
    let mut on_event = |event: Event| steps.on(event);
    let mut done = Vec::new();
    let mut next = plan.clone();
    while !next.is_empty() {
        let options = options(command.to_owned(), &mut on_event)?;
        done.extend(gaia_deploy::apply(home, &next, blueprint, options).await?.steps);
        let observed = gaia_deploy::observe(home, &next.cluster).await?;
        if !observed.has_former_secrets() {
            break;
        }
        next = Plan::between(&observed, blueprint);
    }
    Ok(done)
}

/// The cluster that a name means: its own, or the shared one of the game with that name.
async fn cluster_named(home: &Home, name: &str) -> anyhow::Result<ClusterName> {
    let cluster = parse_cluster(name)?;
    if home.cluster(&cluster).path().exists() {
        return Ok(cluster);
    }
    if let Some(shared) = shared_cluster_of(home, name).await? {
        return Ok(shared);
    }
    Err(DeployError::NoSuchCluster {
        cluster,
        home: home.path().to_owned(),
    }
    .into())
}

/// The cluster of that very name, for what happens to a whole cluster.
async fn whole_cluster(home: &Home, command: impl Fn(&str) -> String, name: &str) -> anyhow::Result<ClusterName> {
    let cluster = parse_cluster(name)?;
    if home.cluster(&cluster).path().exists() {
        return Ok(cluster);
    }
    match shared_cluster_of(home, name).await? {
        Some(shared) => Err(
            Failure::new(format!("game `{name}` shares the cluster `{shared}` with others"))
                .bad_input()
                .help(format!("`gaia {}` does it to all of them", command(shared.as_str())))
                .into(),
        ),
        None => Ok(cluster),
    }
}

async fn shared_cluster_of(home: &Home, name: &str) -> anyhow::Result<Option<ClusterName>> {
    let Ok(game) = name.parse::<GameId>() else {
        return Ok(None);
    };
    let clusters = gaia_deploy::list(home).await?;
    let hosts = |status: &gaia_deploy::ClusterStatus| status.games.iter().any(|hosted| hosted.game == game);
    Ok(clusters
        .into_iter()
        .find(|(_, status)| status.as_ref().is_ok_and(hosts))
        .map(|(name, _)| name))
}

fn parse_cluster(name: &str) -> anyhow::Result<ClusterName> {
    name.parse::<ClusterName>().map_err(|fault| {
        let help = if name.contains('/') {
            "give the game's name, not its folder"
        } else {
            "see what is there: `gaia list`"
        };
        Failure::new(fault.to_string()).bad_input().help(help).into()
    })
}
