//! What containers wrote.

use std::{path::PathBuf, process::Stdio};

use futures::StreamExt;
use gaia_kubernetes::Kind;
use gaia_names::{ClusterName, Target};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc,
    task::JoinSet,
};

use crate::{
    DeployError, Home,
    targets::{
        compose::{
            engine::Engine,
            render::{FILE, project},
            work::root,
        },
        kubernetes::objects::CLUSTER,
    },
};

/// How many lines may wait for whoever reads them.
const WAITING: usize = 256;

/// Who wrote a line, and the line.
type Line = Result<(String, String), DeployError>;

/// Lines of containers as they come.
#[derive(Debug)]
pub struct Logs {
    lines: mpsc::Receiver<Line>,
    // Ended with this.
    _readers: JoinSet<()>,
}

impl Logs {
    /// The next line, and who wrote it; none at the end.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub async fn next(&mut self) -> Result<Option<(String, String)>, DeployError> {
        self.lines.recv().await.transpose()
    }
}

/// The last lines of a cluster's containers, of one (`chat-1`) or of all instances of a service (`chat`), and what is
/// written from now on if that is followed.
///
/// # Errors
///
/// If there is no engine, or no such container.
pub async fn container_logs(
    home: &Home,
    cluster: &ClusterName,
    process: Option<&str>,
    lines: usize,
    follow: bool,
) -> Result<Logs, DeployError> {
    match home.target_of(cluster)? {
        Target::Kubernetes => of_pods(home, cluster, process, lines, follow).await,
        Target::Local | Target::Compose => of_project(home, cluster, process, lines, follow).await,
    }
}

async fn of_project(
    home: &Home,
    cluster: &ClusterName,
    process: Option<&str>,
    lines: usize,
    follow: bool,
) -> Result<Logs, DeployError> {
    let engine = Engine::find().await?;
    let project = project(cluster);
    let containers = engine.containers(&project).await?;
    let meant = meant(cluster, process, containers.keys().cloned().collect())?;
    let file: PathBuf = root(&home.cluster(cluster)).join(FILE);
    let count = lines.to_string();
    let mut args = vec!["logs", "--no-color", "--tail", &count];
    if follow {
        args.push("--follow");
    }
    args.extend(meant.iter().map(String::as_str));
    let mut command = engine.compose_command(Some(&file), &args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let failed = |source| DeployError::System {
        doing: "read the logs of containers",
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take().ok_or(DeployError::OtherBlueprint)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut readers = JoinSet::new();
    readers.spawn(async move {
        // It ends with this.
        let _child = child;
        let prefix = format!("{project}-");
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let line = match lines.next_line().await {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(source) => return drop(sender.send(Err(failed(source))).await),
            };
            // `<container> | <line>`
            let (name, text) = line.split_once('|').unwrap_or(("", &line));
            let name = name.trim();
            let name = name.strip_prefix(&prefix).unwrap_or(name).to_owned();
            let text = text.strip_prefix(' ').unwrap_or(text).to_owned();
            if sender.send(Ok((name, text))).await.is_err() {
                return;
            }
        }
    });
    Ok(Logs {
        lines: receiver,
        _readers: readers,
    })
}

async fn of_pods(
    home: &Home,
    cluster: &ClusterName,
    process: Option<&str>,
    lines: usize,
    follow: bool,
) -> Result<Logs, DeployError> {
    let inventory = home.inventory(cluster).await?;
    let namespace = inventory.namespace();
    let selector = format!("{CLUSTER}={cluster}");
    let pods = inventory.kubernetes.list(Kind::POD, &namespace, &selector).await?;
    let names = pods
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned));
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut readers = JoinSet::new();
    for pod in meant(cluster, process, names.collect())? {
        let (kubernetes, namespace, sender) = (inventory.kubernetes.clone(), namespace.clone(), sender.clone());
        readers.spawn(async move {
            if follow {
                let mut lines = match kubernetes.follow(&namespace, &pod, lines).await {
                    Ok(lines) => lines,
                    Err(fault) => return drop(sender.send(Err(fault.into())).await),
                };
                while let Some(line) = lines.next().await {
                    if sender.send(Ok((pod.clone(), line))).await.is_err() {
                        return;
                    }
                }
                return;
            }
            match kubernetes.logs(&namespace, &pod, lines, false).await {
                Ok(text) => {
                    for line in text.lines() {
                        if sender.send(Ok((pod.clone(), line.to_owned()))).await.is_err() {
                            return;
                        }
                    }
                }
                Err(fault) => drop(sender.send(Err(fault.into())).await),
            }
        });
    }
    Ok(Logs {
        lines: receiver,
        _readers: readers,
    })
}

/// Those containers that a name means: one, or all of a service.
fn meant(cluster: &ClusterName, process: Option<&str>, known: Vec<String>) -> Result<Vec<String>, DeployError> {
    let is_meant = |name: &&String| {
        process.is_none_or(|process| {
            *name == process || name.strip_prefix(process).is_some_and(|rest| rest.starts_with('-'))
        })
    };
    let meant: Vec<String> = known.iter().filter(is_meant).cloned().collect();
    match meant.is_empty() {
        false => Ok(meant),
        true => Err(DeployError::NoSuchProcess {
            cluster: cluster.clone(),
            process: process.unwrap_or("any").to_owned(),
            known: known.join(", "),
        }),
    }
}
