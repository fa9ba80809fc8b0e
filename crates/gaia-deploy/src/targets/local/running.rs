//! Seeing to it that a process runs: through the supervisor, and no further than until it is ready.

use std::{
    fs::OpenOptions,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    files,
    processes::{FOR_SERVICES, ProcessSpec, environment},
    record::Ports,
    secrets::Secrets,
    supervisor::{
        control::{Question, ask},
        desired,
        report::{ProcessReport, ProcessState},
    },
};
use crate::{ClusterFolder, DeployError, Observed, Program, observe::readiness};

/// How long a process may take until it is ready, its stops and pauses included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const STEP: Duration = Duration::from_millis(15);
/// The exit code of a program that cannot use what it was told. Starting it again helps nobody.
const BAD_SETTINGS: &str = "exit 64";

/// Starts the supervisor, which outlives this process, and waits until it answers.
pub(crate) async fn start_supervisor(folder: &ClusterFolder, program: &Program) -> Result<String, DeployError> {
    if !folder.desired().exists() {
        write_desired(folder, &[])?;
    }
    let log = folder.log("supervisor");
    let open = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let out = open.map_err(DeployError::file("open the log", &log))?;
    let err = out.try_clone().map_err(DeployError::file("open the log", &log))?;
    let mut command = Command::new(&program.0);
    command
        .args(["serve", "supervisor", "--cluster"])
        .arg(folder.path())
        .current_dir(folder.run());
    // What ends the command (Ctrl-C in a terminal) must not reach it before it has a session of its own.
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .env_clear()
        .envs(environment(
            &[FOR_SERVICES, &["GAIA_HOME", "GAIA_MODELS", "XDG_STATE_HOME"]].concat(),
        ));
    let failed = |outcome: String| DeployError::Program {
        program: format!("{} serve supervisor", program.0.display()),
        outcome,
        said: files::last_words(&log),
    };
    let mut child = command.spawn().map_err(|fault| failed(fault.to_string()))?;
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(folder, "start", &Question::Status).await {
            Ok(answer)
                if answer
                    .report
                    .as_ref()
                    .is_some_and(|report| report.supervisor.pid == child.id()) =>
            {
                break;
            }
            Ok(_) | Err(_) if Instant::now() < until => {}
            Ok(_) => return Err(failed("another one answers".to_owned())),
            Err(fault) => return Err(fault),
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(status.to_string()));
        }
        sleep(STEP).await;
    }
    let pid = child.id();
    // Whoever embeds this and lives longer must not collect the dead.
    std::thread::spawn(move || child.wait());
    Ok(format!("process {pid}"))
}

/// Writes the list of processes that should run.
pub(crate) fn write_desired(folder: &ClusterFolder, specs: &[ProcessSpec]) -> Result<(), DeployError> {
    files::write_json(&folder.desired(), &specs, 0o600)
}

/// Has a process run as a spec says, and waits until it is ready.
pub(crate) async fn ensure(
    folder: &ClusterFolder,
    spec: ProcessSpec,
    (ports, secrets): (&Ports, &Secrets),
) -> Result<String, DeployError> {
    let mut specs = desired(folder)?;
    let (name, revision) = (spec.name.clone(), spec.revision.clone());
    match specs.iter_mut().find(|known| known.name == name) {
        Some(known) => *known = spec,
        None => specs.push(spec),
    }
    // Stores first, so that a supervisor that starts them all has somebody to answer the services.
    specs.sort_by_key(|spec| std::cmp::Reverse(spec.kind));
    write_desired(folder, &specs)?;
    ask(folder, "start a process", &Question::Reload).await?;
    wait(folder, &name, (ports, secrets), |process| process.revision == revision).await
}

/// Has a process no longer run, and waits until it is gone.
pub(crate) async fn remove(folder: &ClusterFolder, name: &str) -> Result<(), DeployError> {
    let mut specs = desired(folder)?;
    specs.retain(|spec| spec.name != name);
    write_desired(folder, &specs)?;
    ask(folder, "stop a process", &Question::Reload).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let report = ask(folder, "stop a process", &Question::Status).await?.report;
        if report.is_none_or(|report| !report.processes.contains_key(name)) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(not_ready(folder, name, "it does not end"));
        }
        sleep(STEP).await;
    }
}

/// Stops and starts a process, and waits until it is ready.
pub(crate) async fn restart(observed: &Observed, name: &str) -> Result<(), DeployError> {
    let before = observed.processes.get(name).and_then(|process| process.pid);
    let (Some(record), Some(secrets)) = (&observed.record, &observed.secrets) else {
        return Err(DeployError::Input(observed.faults.join("; ")));
    };
    ask(
        &observed.folder,
        "restart a process",
        &Question::Restart {
            process: name.to_owned(),
        },
    )
    .await?;
    let is_another = |process: &ProcessReport| process.id.map(|id| id.pid) != before;
    wait(&observed.folder, name, (&record.ports, secrets), is_another)
        .await
        .map(|_| ())
}

async fn wait(
    folder: &ClusterFolder,
    name: &str,
    (ports, secrets): (&Ports, &Secrets),
    is_it: impl Fn(&ProcessReport) -> bool,
) -> Result<String, DeployError> {
    let until = Instant::now() + PATIENCE;
    let mut why;
    loop {
        let report = ask(folder, "tell about a process", &Question::Status).await?.report;
        let process = report.and_then(|mut report| report.processes.remove(name));
        match process {
            None => why = "the supervisor does not know it".to_owned(),
            Some(process) if process.state == ProcessState::Running && is_it(&process) => {
                match readiness(folder, Some(secrets), ports, name).await {
                    Ok(()) => return Ok(format!("process {}", process.id.map_or(0, |id| id.pid))),
                    Err(missing) => why = missing,
                }
            }
            Some(process) => {
                let last = process.last_exit.unwrap_or_default();
                why = format!("it is not running; it ended with {last}");
                if process.state == ProcessState::Waiting && last == BAD_SETTINGS {
                    return Err(not_ready(folder, name, "it cannot use its settings"));
                }
            }
        }
        if Instant::now() > until {
            return Err(not_ready(folder, name, &why));
        }
        sleep(STEP).await;
    }
}

fn not_ready(folder: &ClusterFolder, name: &str, why: &str) -> DeployError {
    let log = folder.log(name);
    let said = files::last_words(&log);
    let why = if said.is_empty() {
        why.to_owned()
    } else {
        format!("{why}; it said last: {said}")
    };
    DeployError::NotReady {
        what: name.to_owned(),
        seconds: PATIENCE.as_secs(),
        why,
        log,
    }
}
