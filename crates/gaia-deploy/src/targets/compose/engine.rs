//! Docker and Compose as programs: what they are asked and how they refuse.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::{Blueprint, DeployError, containers::parts, targets::local::processes::find_program};

/// How long a question may take.
pub(crate) const QUESTION: Duration = Duration::from_secs(20);
/// How long something may take that starts or stops containers, or fetches an image.
pub(crate) const WORK: Duration = Duration::from_secs(600);
/// The most that is kept of what a program says, in characters.
const MOST_SAID: usize = 600;

/// The Docker engine that the environment names, and Compose.
#[derive(Debug)]
pub(crate) struct Engine {
    docker: PathBuf,
    /// `docker compose`, or `docker-compose` where that is a program of its own.
    compose: Vec<PathBuf>,
}

/// A container as the engine tells of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) restart_count: u32,
    /// The id of the image that it was made from.
    pub(crate) image: String,
    pub(crate) state: State,
    pub(crate) config: Config,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct State {
    /// `created`, `running`, `restarting`, `exited`, ...
    pub(crate) status: String,
    pub(crate) exit_code: i64,
    #[serde(rename = "OOMKilled")]
    pub(crate) oom_killed: bool,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) health: Option<Health>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) log: Vec<Probe>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Probe {
    pub(crate) output: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) healthcheck: Option<Healthcheck>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Healthcheck {
    /// `CMD` and the words of a command.
    #[serde(default)]
    pub(crate) test: Vec<String>,
}

impl Engine {
    /// Finds the programs and asks whether the engine answers.
    ///
    /// # Errors
    ///
    /// If a program is missing or the engine does not answer.
    pub(crate) async fn find() -> Result<Self, DeployError> {
        let docker = find_program("docker", &[]).ok_or_else(|| DeployError::Missing {
            what: "docker".to_owned(),
            fix: "install Docker Engine 20.10 or newer: `apt-get install docker.io`".to_owned(),
        })?;
        let mut engine = Self {
            docker: docker.clone(),
            compose: vec![docker, "compose".into()],
        };
        if engine.compose(None, &["version", "--short"], QUESTION).await.is_err() {
            let alone = find_program("docker-compose", &[]).ok_or_else(|| DeployError::Missing {
                what: "Docker Compose".to_owned(),
                fix: "install Compose 2 or newer: `apt-get install docker-compose-v2`, or its binary as \
                      ~/.docker/cli-plugins/docker-compose"
                    .to_owned(),
            })?;
            engine.compose = vec![alone];
        }
        let asked = engine.docker(&["version", "--format", "{{.Server.Version}}"], "", QUESTION);
        asked.await.map_err(|fault| DeployError::NoEngine {
            why: crate::error::with_cause(&fault),
        })?;
        Ok(engine)
    }

    /// The versions of the engine and of Compose, as they say them.
    pub(crate) async fn versions(&self) -> Result<(String, String), DeployError> {
        let engine = self.docker(&["version", "--format", "{{.Server.Version}}"], "", QUESTION);
        let compose = self.compose(None, &["version", "--short"], QUESTION);
        Ok((engine.await?.trim().to_owned(), compose.await?.trim().to_owned()))
    }

    /// Runs `docker` and gives what it prints.
    pub(crate) async fn docker(&self, args: &[&str], input: &str, patience: Duration) -> Result<String, DeployError> {
        let mut command = Command::new(&self.docker);
        command.args(args);
        run("docker", command, input, patience).await
    }

    /// Runs Compose on a project's file, or without one.
    pub(crate) async fn compose(
        &self,
        file: Option<&Path>,
        args: &[&str],
        patience: Duration,
    ) -> Result<String, DeployError> {
        run("docker compose", self.compose_command(file, args), "", patience).await
    }

    /// A run of Compose, to be started by the caller.
    pub(crate) fn compose_command(&self, file: Option<&Path>, args: &[&str]) -> Command {
        let mut parts = self.compose.iter();
        let mut command = Command::new(parts.next().unwrap_or(&self.docker));
        command.args(parts);
        if let Some(file) = file {
            // Nothing of the folder that somebody happens to stand in.
            command.arg("--file").arg(file);
            command.arg("--env-file").arg("/dev/null");
        }
        command.args(args);
        command
    }

    /// The containers of a project, by service. One that exists several times shows the newest.
    pub(crate) async fn containers(&self, project: &str) -> Result<BTreeMap<String, Container>, DeployError> {
        let filter = format!("label=com.docker.compose.project={project}");
        let listing = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter];
        let ids = self.docker(&listing, "", QUESTION).await?;
        let mut all = BTreeMap::new();
        if ids.trim().is_empty() {
            return Ok(all);
        }
        let args: Vec<&str> = ["inspect", "--type", "container"]
            .into_iter()
            .chain(ids.lines())
            .collect();
        // One that has gone since makes the whole fail; it is asked for again without it.
        let said = match self.docker(&args, "", QUESTION).await {
            Ok(said) => said,
            Err(_) => return Box::pin(self.containers(project)).await,
        };
        let found: Vec<Container> = serde_json::from_str(&said).map_err(|fault| DeployError::Program {
            program: "docker inspect".to_owned(),
            outcome: "its answer cannot be read".to_owned(),
            said: fault.to_string(),
        })?;
        for container in found {
            let service = container.config.labels.get("com.docker.compose.service").cloned();
            all.insert(service.unwrap_or_else(|| container.id.clone()), container);
        }
        Ok(all)
    }

    /// The id that each image has now, by its name and tag.
    pub(crate) async fn images(&self) -> Result<BTreeMap<String, String>, DeployError> {
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let said = self
            .docker(&["images", "--no-trunc", "--format", format], "", QUESTION)
            .await?;
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
    }

    /// A project's volumes, and what a label of theirs says.
    pub(crate) async fn volumes(&self, project: &str, label: &str) -> Result<BTreeMap<String, String>, DeployError> {
        let filter = format!("label=com.docker.compose.project={project}");
        let format = format!("{{{{.Name}}}} {{{{.Label \"{label}\"}}}}");
        let args = ["volume", "ls", "--filter", &filter, "--format", &format];
        let said = self.docker(&args, "", QUESTION).await?;
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Runs a container's own check at once: the engine looks only now and then, for the first time after some seconds.
    pub(crate) async fn check(&self, container: &Container) -> bool {
        let check = container.config.healthcheck.as_ref().map(|check| check.test.as_slice());
        let Some([kind, words @ ..]) = check else { return false };
        let args = ["exec", &container.id]
            .into_iter()
            .chain(words.iter().map(String::as_str));
        kind == "CMD" && self.docker(&args.collect::<Vec<_>>(), "", QUESTION).await.is_ok()
    }

    /// The last lines that a container wrote.
    pub(crate) async fn last_words(&self, container: &str) -> String {
        let mut command = Command::new(&self.docker);
        command
            .args(["logs", "--tail", "5", container])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let Ok(Ok(output)) = timeout(QUESTION, command.output()).await else {
            return String::new();
        };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        lines.join(" | ").chars().take(MOST_SAID).collect()
    }

    /// How much memory each running container of a project uses, in bytes, by service. Takes two seconds.
    pub(crate) async fn memory(&self, project: &str) -> Result<BTreeMap<String, u64>, DeployError> {
        let containers = self.containers(project).await?;
        let running = || containers.iter().filter(|(_, container)| container.is_running());
        let ids = running().map(|(_, container)| container.id.as_str());
        let args: Vec<&str> = [
            "stats",
            "--no-stream",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.MemUsage}}",
        ]
        .into_iter()
        .chain(ids)
        .collect();
        if running().next().is_none() {
            return Ok(BTreeMap::new());
        }
        let said = self.docker(&args, "", QUESTION).await?;
        let told: BTreeMap<&str, u64> = said.lines().filter_map(used).collect();
        Ok(running()
            .filter_map(|(name, container)| Some((name.clone(), *told.get(container.id.as_str())?)))
            .collect())
    }

    /// What of a kind (`volume`, `network`, `container`) has a project's label, by name.
    pub(crate) async fn labelled(&self, kind: &str, project: &str) -> Result<Vec<String>, DeployError> {
        let filter = format!("label=com.docker.compose.project={project}");
        let mut args = vec![kind, "ls", "--quiet", "--filter", &filter];
        if kind == "container" {
            args.push("--all");
        }
        let said = self.docker(&args, "", QUESTION).await?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}

impl Container {
    pub(crate) fn label(&self, name: &str) -> &str {
        self.config.labels.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.status == "running"
    }

    /// How it ended the last time, if it did.
    pub(crate) fn last_exit(&self) -> Option<String> {
        let State {
            status,
            exit_code,
            oom_killed,
            ..
        } = &self.state;
        let has_ended = self.restart_count > 0 || matches!(status.as_str(), "exited" | "dead" | "restarting");
        has_ended.then(|| match oom_killed {
            true => format!("exit {exit_code}, it wanted more memory than it may have"),
            false => format!("exit {exit_code}"),
        })
    }

    /// Whether it has all that it needs, as its own check says.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        let has_ended_well = self.state.status == "exited" && self.state.exit_code == 0;
        if has_ended_well && self.state.health.is_none() {
            return Ok(());
        }
        if !self.is_running() {
            return Err(format!("its container is {}", self.state.status));
        }
        match &self.state.health {
            Some(health) if health.status != "healthy" => {
                let last = health.log.last().map(|probe| probe.output.trim()).unwrap_or_default();
                let last: String = last.lines().next().unwrap_or_default().chars().take(200).collect();
                Err(match last.is_empty() {
                    true => health.status.clone(),
                    false => format!("{}: {last}", health.status),
                })
            }
            _ => Ok(()),
        }
    }
}

/// A line of `docker stats`: `<id> 7.648MiB / 512MiB`.
fn used(line: &str) -> Option<(&str, u64)> {
    let (id, rest) = line.split_once(' ')?;
    let amount = rest.split(" / ").next()?.trim();
    let at = amount.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = amount.split_at(at);
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is an amount for people"
    )]
    let bytes = (number.parse::<f64>().ok()? * factor) as u64;
    Some((id, bytes))
}

async fn run(program: &str, mut command: Command, input: &str, patience: Duration) -> Result<String, DeployError> {
    let failed = |outcome: String, said: &str| {
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .rev()
            .take(4)
            .collect();
        let said: String = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
        DeployError::Program {
            program: program.to_owned(),
            outcome,
            said: said.chars().take(MOST_SAID).collect(),
        }
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let not_started = |fault: std::io::Error| failed("not started".to_owned(), &fault.to_string());
    let mut child = command.spawn().map_err(not_started)?;
    let mut stdin = child.stdin.take();
    let whole = async {
        if let Some(stdin) = &mut stdin {
            // A program that ends without reading says more by how it ends.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        drop(stdin);
        child.wait_with_output().await
    };
    let output = timeout(patience, whole)
        .await
        .map_err(|_| failed(format!("no answer within {} s", patience.as_secs()), ""))?
        .map_err(not_started)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(
        output.status.to_string(),
        &String::from_utf8_lossy(&output.stderr),
    ))
}

/// The images of a cluster that the engine does not have, each once.
///
/// # Errors
///
/// If there is no engine.
pub async fn missing_images(blueprint: &Blueprint) -> Result<Vec<String>, DeployError> {
    let engine = Engine::find().await?;
    let images: BTreeSet<String> = parts::all(blueprint).into_iter().map(|part| part.image).collect();
    let mut missing = Vec::new();
    for image in images {
        let asking = ["image", "inspect", "--format", "{{.Id}}", &image];
        if engine.docker(&asking, "", QUESTION).await.is_err() {
            missing.push(image);
        }
    }
    Ok(missing)
}
