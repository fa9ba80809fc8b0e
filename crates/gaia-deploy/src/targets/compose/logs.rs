//! What containers wrote.

use std::{path::PathBuf, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use super::{engine::Engine, render::FILE, work::root};
use crate::{ClusterFolder, DeployError};

/// Lines of containers as they come.
#[derive(Debug)]
pub struct Logs {
    lines: Lines<BufReader<ChildStdout>>,
    prefix: String,
    // Ended with this.
    _child: Child,
}

/// The last lines of a cluster's containers, of one (`chat-1`) or of all instances of a service (`chat`), and what is
/// written from now on if that is followed.
///
/// # Errors
///
/// If there is no engine, or no such container.
pub async fn container_logs(
    folder: &ClusterFolder,
    process: Option<&str>,
    lines: usize,
    follow: bool,
) -> Result<Logs, DeployError> {
    let engine = Engine::find().await?;
    let project = super::render::project(folder.name());
    let containers = engine.containers(&project).await?;
    let is_meant = |name: &String| {
        process.is_none_or(|process| {
            name == process || name.strip_prefix(process).is_some_and(|rest| rest.starts_with('-'))
        })
    };
    let meant: Vec<&String> = containers.keys().filter(|name| is_meant(name)).collect();
    if meant.is_empty() {
        return Err(DeployError::NoSuchProcess {
            cluster: folder.name().clone(),
            process: process.unwrap_or("any").to_owned(),
            known: containers.keys().cloned().collect::<Vec<_>>().join(", "),
        });
    }
    let file: PathBuf = root(folder).join(FILE);
    let count = lines.to_string();
    let mut args = vec!["logs", "--no-color", "--tail", &count];
    if follow {
        args.push("--follow");
    }
    args.extend(meant.iter().map(|name| name.as_str()));
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
    Ok(Logs {
        lines: BufReader::new(stdout).lines(),
        prefix: format!("{project}-"),
        _child: child,
    })
}

impl Logs {
    /// The next line, and who wrote it; none at the end.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub async fn next(&mut self) -> Result<Option<(String, String)>, DeployError> {
        let line = self.lines.next_line().await.map_err(|source| DeployError::System {
            doing: "read the logs of containers",
            source,
        })?;
        Ok(line.map(|line| {
            // `<container> | <line>`
            let (name, text) = line.split_once('|').unwrap_or(("", &line));
            let name = name.trim();
            let name = name.strip_prefix(&self.prefix).unwrap_or(name);
            (name.to_owned(), text.strip_prefix(' ').unwrap_or(text).to_owned())
        }))
    }
}
