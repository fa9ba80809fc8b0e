//! `gaia serve`: one part of a cluster in this process.

use std::{
    convert::Infallible,
    fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use gaia_deploy::Home;
use gaia_inference::RunSettings;
use gaia_names::Secret;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    characters::Inference,
    environment,
    failure::{self, Failure, Outcome, Told},
    log,
    output::Output,
};

/// How many threads a service works with.
const WORKERS: usize = 2;
/// How often a supervisor looks whether inference still runs.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Where players' clients connect: HTTP, SSE and WebSocket
    ///
    /// Runs one instance of a service until SIGTERM or SIGINT.
    #[command(verbatim_doc_comment)]
    Gateway(ServiceArguments),
    /// Players, sessions and tokens
    ///
    /// Runs one instance of a service until SIGTERM or SIGINT.
    #[command(verbatim_doc_comment)]
    Auth(ServiceArguments),
    /// Conversations with personas
    ///
    /// Runs one instance of a service until SIGTERM or SIGINT.
    #[command(verbatim_doc_comment)]
    Chat(ServiceArguments),
    /// Makes roles, tables and users in a cluster's stores, and ends
    ///
    /// Waits for the stores of a cluster in containers and makes them ready for its services. Doing it again changes nothing.
    #[command(verbatim_doc_comment)]
    Setup(ServiceArguments),
    /// Closes or opens a game from within its namespace on Kubernetes, and ends
    ///
    /// Gives each part its number of instances, in the order given, and waits for those that end.
    #[command(verbatim_doc_comment)]
    OffHours(OffHoursArguments),
    /// Watches over the processes of one cluster on this machine
    ///
    /// Starts what should run, restarts what dies, and adopts what it finds running.
    #[command(verbatim_doc_comment)]
    Supervisor(SupervisorArguments),
    /// The small model that this machine's clusters share
    ///
    /// Serves /v1/embeddings on loopback and ends when no cluster of this machine uses it any more, or, with --listen,
    /// there until SIGTERM.
    #[command(verbatim_doc_comment)]
    Inference(InferenceArguments),
}

#[derive(Args, Debug)]
struct ServiceArguments {
    /// A JSON file with addresses and credentials, not readable by others
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
}

#[derive(Args, Debug)]
struct OffHoursArguments {
    /// A part and how many of it are to run: chat=0
    #[arg(required = true, value_name = "PART=N", value_parser = part_and_count)]
    counts: Vec<(String, u32)>,
}

fn part_and_count(text: &str) -> Result<(String, u32), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(part, count)| Some((part.to_owned(), count.parse().ok()?)));
    parsed.ok_or_else(|| "give a part and a number: chat=0".to_owned())
}

#[derive(Args, Debug)]
struct SupervisorArguments {
    /// The cluster's folder: <home>/clusters/<cluster>
    #[arg(long, value_name = "FOLDER")]
    cluster: PathBuf,
}

#[derive(Args, Debug)]
struct InferenceArguments {
    /// The folder with its key and address
    #[arg(long, value_name = "FOLDER")]
    home: PathBuf,
    /// The folder of installed models [default: $GAIA_MODELS, else models beside --home]
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Listen here, for a cluster in containers of its own, in place of finding a port on loopback
    #[arg(long, value_name = "ADDRESS", requires = "key_file")]
    listen: Option<SocketAddr>,
    /// The file with the key that callers must have, or with several, a line each
    #[arg(long, value_name = "FILE", requires = "listen")]
    key_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.role {
        Role::Gateway(arguments) => service(gaia_gateway::main(&arguments.settings)),
        Role::Auth(arguments) => service(gaia_auth::main(&arguments.settings)),
        Role::Chat(arguments) => service(gaia_chat::main(&arguments.settings)),
        Role::Setup(arguments) => told(one_thread(set_up(&arguments.settings))),
        Role::OffHours(arguments) => told(one_thread(off_hours(&arguments.counts))),
        Role::Supervisor(arguments) => told(one_thread(supervise(&arguments.cluster))),
        Role::Inference(arguments) => told(one_thread(inference(arguments))),
    }
}

fn service(main: impl Future<Output = ExitCode>) -> ExitCode {
    match Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => runtime.block_on(main),
        Err(fault) => told(Err(fault.into())),
    }
}

fn one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime: Runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    runtime.block_on(work)
}

fn told(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return Outcome::Done.into();
    };
    let told = Told::of(&error);
    Output::new(false).failure(&told);
    told.outcome.into()
}

async fn supervise(cluster: &Path) -> anyhow::Result<()> {
    log::start()?;
    // <home>/clusters/<cluster>
    let home = cluster.parent().and_then(Path::parent).ok_or_else(|| {
        Failure::new(format!("{} is not a cluster's folder", cluster.display()))
            .bad_input()
            .help("see `gaia list`")
    })?;
    let inference = Arc::new(Inference::of(&Home::at(home)?)?);
    let leased = Arc::clone(&inference);
    let lease = move || match leased.lease() {
        Ok(lease) => Some(lease),
        Err(fault) => {
            let why = failure::with_help(&fault);
            tracing::warn!("inference may end while this cluster runs: {why}");
            None
        }
    };
    tokio::select! {
        ended = gaia_deploy::supervise(cluster, lease) => Ok(ended?),
        never = keep_up(&inference) => match never {},
    }
}

/// Starts inference again whenever it has died.
async fn keep_up(inference: &Inference) -> Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        // Without a model there is nothing to keep up; `gaia up` told so.
        if inference.missing().is_none()
            && let Err(fault) = inference.ensure().await
        {
            tracing::warn!("inference cannot be started: {}", failure::with_help(&fault));
        }
    }
}

async fn set_up(settings: &Path) -> anyhow::Result<()> {
    log::start()?;
    Ok(gaia_deploy::set_up(settings).await?)
}

async fn off_hours(counts: &[(String, u32)]) -> anyhow::Result<()> {
    log::start()?;
    Ok(gaia_deploy::scale_from_within(counts).await?)
}

async fn inference(arguments: &InferenceArguments) -> anyhow::Result<()> {
    log::start()?;
    let models = match (&arguments.models, arguments.home.parent()) {
        (Some(models), _) => models.clone(),
        (None, Some(home)) => environment::models(&Home::at(home)?),
        (None, None) => {
            return Err(Failure::new("--home has no parent")
                .bad_input()
                .help("add --models")
                .into());
        }
    };
    let settings = RunSettings::new(&arguments.home, models);
    let (Some(listen), Some(key_file)) = (arguments.listen, &arguments.key_file) else {
        return Ok(gaia_inference::run(settings).await?);
    };
    let keys = fs::read_to_string(key_file).with_context(|| format!("failed to read {}", key_file.display()))?;
    let failed = || format!("failed to listen on {listen}");
    let listener = TcpListener::bind(listen).await.with_context(failed)?;
    fs::create_dir_all(&settings.home).with_context(|| format!("failed to make {}", settings.home.display()))?;
    let mut keys = keys.split_whitespace().map(Secret::new);
    let first = keys
        .next()
        .ok_or_else(|| Failure::new(format!("{} holds no key", key_file.display())).bad_input())?;
    let mut settings = gaia_inference::Settings::new(first, settings.models_folder, settings.home);
    settings.keys.extend(keys);
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let ended = async move {
        terminate.recv().await;
    };
    Ok(gaia_inference::serve(listener, settings, ended).await?)
}
