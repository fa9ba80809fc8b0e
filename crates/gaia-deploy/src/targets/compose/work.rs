//! The steps of an apply on Compose, each of which may be done again after it was killed at any point.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gaia_names::{ClusterName, GameId, Secret, Service, Store};
use tokio::time::sleep;

use super::{
    engine::{Container, Engine, QUESTION, WORK},
    observing::owner,
    render::{self, BUNDLES_FOLDER, FILE, FOLDER, Project, REVISION, project},
    sight::files_digest,
};
use crate::{
    Action, Blueprint, ClusterFolder, DeployError, Home, Kept, Step,
    admin_api::Gateway,
    apply::Made,
    containers::{
        exec::Exec,
        files::Files,
        parts::{self, Check, Part, Role},
    },
    files,
    plan::ids::{
        COMPOSE_FILES, FORGOTTEN_SECRETS, FORMER_SECRETS, LEFTOVERS, NEW_SECRETS, PORTS, RECORD, SECRETS,
        bundle_digest, bundle_step, service_step,
    },
    record::{Life, Record},
    secrets::Secrets,
    targets::local::{destroying, place::OsUser, ports},
};

/// How long a part may take until it is well. An image may have to be read from a slow disk, a model loaded.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often NATS is asked to read its accounts again, where somebody waits for that.
const RELOAD: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// What the steps of one apply work with.
pub(crate) struct Work<'a> {
    home: &'a Home,
    folder: &'a ClusterFolder,
    blueprint: &'a Blueprint,
    pub(crate) record: Record,
    secrets: Option<Secrets>,
    engine: std::sync::Arc<Engine>,
    first_gateway_port: u16,
}

/// Where the project's file and what it mounts lie.
pub(crate) fn root(folder: &ClusterFolder) -> PathBuf {
    folder.path().join("compose")
}

/// Whom the containers run as where files cannot be given away: whoever applies. None for root.
pub(crate) fn user() -> Option<(u32, u32)> {
    let user = rustix::process::geteuid();
    (!user.is_root()).then(|| (user.as_raw(), rustix::process::getegid().as_raw()))
}

/// How many cores the machine has.
pub(crate) fn cores() -> Option<u32> {
    let cores = std::thread::available_parallelism().ok()?;
    u32::try_from(cores.get()).ok()
}

impl<'a> Work<'a> {
    pub(crate) async fn new(
        home: &'a Home,
        folder: &'a ClusterFolder,
        blueprint: &'a Blueprint,
        record: Record,
        first_gateway_port: u16,
    ) -> Result<Self, DeployError> {
        Ok(Self {
            home,
            folder,
            blueprint,
            record,
            secrets: files::read_json(&folder.secrets(), "a cluster's secrets")?,
            engine: std::sync::Arc::new(Engine::find().await?),
            first_gateway_port,
        })
    }

    /// Does what a step says.
    pub(crate) async fn carry_out(&mut self, step: &Step) -> Result<Made, DeployError> {
        match step.id.0.as_str() {
            SECRETS => self.make_secrets().await,
            NEW_SECRETS | FORMER_SECRETS | FORGOTTEN_SECRETS => {
                let secrets = self.secrets.as_mut().ok_or(DeployError::OtherBlueprint)?;
                let made = secrets.carry_on(step)?;
                files::write_json(&self.folder.secrets(), secrets, 0o600)?;
                Ok(made)
            }
            PORTS => self.choose_ports(),
            COMPOSE_FILES => self.write_files().await,
            LEFTOVERS => self.leftovers().await,
            RECORD => Ok(None),
            _ => self.part(step).await,
        }
    }

    async fn part(&mut self, step: &Step) -> Result<Made, DeployError> {
        if let Some(game) = self.blueprint.games.keys().find(|game| bundle_step(game) == step.id) {
            return self.publish(game).await;
        }
        for part in parts::all(self.blueprint) {
            for instance in render::instances(&part) {
                if render::step_of(&part, &instance) == step.id {
                    return self.start(&part, &instance).await;
                }
            }
        }
        match step.id.0.strip_prefix("service:") {
            Some(instance) if step.action == Action::Remove => {
                remove(&self.engine, &project(&self.blueprint.cluster), instance).await
            }
            _ => Err(DeployError::OtherBlueprint),
        }
    }

    async fn leftovers(&mut self) -> Result<Made, DeployError> {
        stop_all(&self.engine, &self.blueprint.cluster).await?;
        if self.record.life == Life::Keeping {
            destroying::remove_all_but_data(self.folder)?;
            self.record.begin_anew();
            return Ok(None);
        }
        remove_volumes(&self.engine, &self.blueprint.cluster).await?;
        destroying::remove_all_but_record(self.folder)?;
        self.record.begin_anew();
        self.secrets = None;
        Ok(None)
    }

    async fn make_secrets(&mut self) -> Result<Made, DeployError> {
        let volumes = self
            .engine
            .labelled("volume", &project(&self.blueprint.cluster))
            .await?;
        let mut secrets = match self.secrets.take() {
            Some(secrets) => secrets,
            // Others would lock us out of what those before have made.
            None if !volumes.is_empty() => {
                return Err(DeployError::Input(format!(
                    "{} is missing and the data in the volume {} cannot be opened without it; put it back, or run \
                     `gaia destroy {}`",
                    self.folder.secrets().display(),
                    volumes.join(", "),
                    self.blueprint.cluster
                )));
            }
            None => Secrets::make()?,
        };
        secrets.complete(self.blueprint)?;
        files::write_json(&self.folder.secrets(), &secrets, 0o600)?;
        self.secrets = Some(secrets);
        Ok(Some((self.folder.secrets().display().to_string(), String::new())))
    }

    fn choose_ports(&mut self) -> Result<Made, DeployError> {
        // What our own gateway listens on is not lost. Its containers hold the ports through the engine.
        let held: BTreeSet<u16> = self.record.ports.gateway.values().copied().collect();
        let lost = match self.record.resources.contains_key(&service_step("gateway-1")) {
            true => BTreeSet::new(),
            false => held.into_iter().filter(|port| !ports::is_free(*port)).collect(),
        };
        ports::choose_for_gateway(
            self.home,
            self.folder,
            &mut self.record,
            self.blueprint,
            &lost,
            self.first_gateway_port,
        )?;
        let all: Vec<String> = self.record.ports.gateway.values().map(ToString::to_string).collect();
        Ok(Some((format!("127.0.0.1:{}", all.join(",")), String::new())))
    }

    fn project(&self) -> Result<Project, DeployError> {
        let rendered = render::render(&render::Input {
            blueprint: self.blueprint,
            secrets: self.secrets.as_ref().ok_or(DeployError::OtherBlueprint)?,
            ports: &self.record.ports,
            owner: &owner(self.folder),
            user: user(),
            made_with: self.record.made_with.as_ref(),
            cores: cores(),
        });
        rendered.ok_or(DeployError::OtherBlueprint)
    }

    /// Writes all but what a service reads that is to be made anew: if the engine started it again meanwhile, it would come
    /// with what the stores do not know yet.
    async fn write_files(&mut self) -> Result<Made, DeployError> {
        let name = render::project(&self.blueprint.cluster);
        let project = self.project()?;
        self.record.made_with.get_or_insert_with(|| project.labels.clone());
        let root = root(self.folder);
        let containers = self.engine.containers(&name).await?;
        let is_made = |instance: &String| {
            let found = containers.get(instance).map(|container| container.label(REVISION));
            found == project.revisions.get(instance).map(String::as_str)
        };
        let services = parts::all(self.blueprint).into_iter();
        let services = services.filter(|part| matches!(part.role, Role::Service(_)));
        let waits = services.filter(|part| !render::instances(part).iter().all(is_made));
        let waits: BTreeSet<Role> = waits.map(|part| part.role).collect();
        write_project(&project, &root, &waits)?;
        Ok(Some((root.display().to_string(), files_digest(&project))))
    }

    /// Makes a container what the file says, and waits until it is well.
    async fn start(&self, part: &Part, instance: &str) -> Result<Made, DeployError> {
        if part.data.is_some() {
            self.refuse_foreign_volume().await?;
        }
        let (folder, project) = (root(self.folder), self.project()?);
        write_part(&project, &folder, part.role)?;
        let file = folder.join(FILE);
        let mut args = vec!["up", "--detach", "--no-deps", "--no-build", "--quiet-pull"];
        if part.check == Check::Ends {
            // It may have ended well before, for other secrets or another version.
            args.push("--force-recreate");
        }
        args.push(instance);
        self.engine.compose(Some(&file), &args, WORK).await?;
        let id = wait_until_well(&self.engine, &self.blueprint.cluster, &part.check, instance).await?;
        let revision = project.revisions.get(instance).cloned().unwrap_or_default();
        Ok(Some((id, revision)))
    }

    async fn refuse_foreign_volume(&self) -> Result<(), DeployError> {
        let project = project(&self.blueprint.cluster);
        let volumes = self.engine.volumes(&project, render::OWNER).await?;
        match volumes.iter().find(|(_, of)| **of != owner(self.folder)) {
            None => Ok(()),
            Some((volume, _)) => Err(DeployError::Foreign {
                what: format!("the volume {volume}"),
                help: "another GAIA_HOME made it, or somebody by hand; remove or rename it there".to_owned(),
            }),
        }
    }

    async fn publish(&self, game: &GameId) -> Result<Made, DeployError> {
        let own = self.blueprint.games.get(game).ok_or(DeployError::OtherBlueprint)?;
        let secrets = self.secrets.as_ref().ok_or(DeployError::OtherBlueprint)?;
        let tokens = secrets.admin_tokens(game);
        let container = format!("{}-{}-1", project(&self.blueprint.cluster), Service::Gateway);
        let gateway = Gateway::Container(Exec::Docker {
            engine: self.engine.clone(),
            container: container.clone(),
        });
        gateway.publish(&own.bundle, &tokens).await?;
        Ok(Some((container, bundle_digest(self.blueprint, game))))
    }
}

/// Writes a project's file and what it mounts, but for some parts.
fn write_project(project: &Project, root: &Path, but: &BTreeSet<Role>) -> Result<(), DeployError> {
    files::make_folder(root, 0o711, None)?;
    files::make_folder(&root.join(FOLDER), 0o711, None)?;
    for role in project.files.keys().filter(|role| !but.contains(role)) {
        write_part(project, root, *role)?;
    }
    let chat = project
        .files
        .iter()
        .find(|(role, _)| **role == Role::Service(Service::Chat));
    let uid = chat.map_or(0, |(_, (uid, _))| *uid);
    write_folder(&root.join(FOLDER).join(BUNDLES_FOLDER), &project.bundles, uid)?;
    files::write(&root.join(FILE), project.text.as_bytes(), 0o600, None)
}

/// Writes what one part mounts.
fn write_part(project: &Project, root: &Path, role: Role) -> Result<(), DeployError> {
    let (uid, contents) = project.files.get(&role).ok_or(DeployError::OtherBlueprint)?;
    write_folder(&root.join(FOLDER).join(role.name()), contents, *uid)
}

fn write_folder(folder: &Path, contents: &Files, uid: u32) -> Result<(), DeployError> {
    let owner = user().is_none().then(|| OsUser {
        name: String::new(),
        uid,
        gid: uid,
    });
    files::make_folder(folder, 0o500, owner.as_ref())?;
    for (name, text) in contents {
        let text: &Secret = text;
        files::write(&folder.join(name), text.expose().as_bytes(), 0o400, owner.as_ref())?;
    }
    files::remove_others(folder, contents.keys())
}

/// Waits until a container is well, or has ended well where that is what it is for.
async fn wait_until_well(
    engine: &Engine,
    cluster: &ClusterName,
    check: &Check,
    instance: &str,
) -> Result<String, DeployError> {
    let (began, mut told) = (Instant::now(), Instant::now());
    loop {
        let mut containers = engine.containers(&project(cluster)).await?;
        if *check == Check::Ends && told.elapsed() >= RELOAD {
            // It waits until NATS knows whom it is to know.
            reload(engine, &containers).await;
            told = Instant::now();
        }
        let outcome = match containers.remove(instance) {
            None => Outcome::NotYet("its container is gone".to_owned()),
            Some(container) => outcome(engine, container, check).await,
        };
        match outcome {
            Outcome::Well(id) => return Ok(id),
            Outcome::Never(why) => return Err(not_ready(engine, cluster, instance, began, why).await),
            Outcome::NotYet(why) if began.elapsed() > PATIENCE => {
                return Err(not_ready(engine, cluster, instance, began, why).await);
            }
            Outcome::NotYet(_) => sleep(LOOK).await,
        }
    }
}

/// Has the servers of NATS read their accounts again. Whoever waits for that sees whether they have.
async fn reload(engine: &Engine, containers: &BTreeMap<String, Container>) {
    let nats = Store::Nats.as_str();
    let is_server = |name: &str| {
        name.strip_prefix(nats)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for (_, container) in containers.iter().filter(|(name, _)| is_server(name)) {
        let args = ["kill", "--signal", "HUP", &container.id];
        if let Err(fault) = engine.docker(&args, "", QUESTION).await {
            tracing::debug!(error = %crate::error::with_cause(&fault), "a server of NATS cannot be signalled");
        }
    }
}

/// How a container is on its way.
enum Outcome {
    Well(String),
    NotYet(String),
    Never(String),
}

async fn outcome(engine: &Engine, container: Container, check: &Check) -> Outcome {
    let words = match check {
        Check::Command(words) => words,
        Check::Ends => {
            return match (container.state.status.as_str(), container.state.exit_code) {
                ("exited", 0) => Outcome::Well(container.id),
                ("exited", code) => Outcome::Never(format!("it ended with exit {code}")),
                (status, _) => Outcome::NotYet(status.to_owned()),
            };
        }
    };
    // What ends again and again will not become well by waiting.
    if container.restart_count > 3 {
        let exit = container.last_exit().unwrap_or_default();
        return Outcome::Never(format!(
            "it ended {} times, the last time with {exit}",
            container.restart_count
        ));
    }
    if !container.is_running() {
        return Outcome::NotYet(format!("its container is {}", container.state.status));
    }
    // The engine looks only now and then; who waits looks by itself.
    let mut asking = vec!["exec", &container.id];
    asking.extend(words.iter().map(String::as_str));
    match engine.docker(&asking, "", QUESTION).await {
        Ok(_) => Outcome::Well(container.id),
        Err(fault) => Outcome::NotYet(crate::error::with_cause(&fault)),
    }
}

async fn not_ready(engine: &Engine, cluster: &ClusterName, instance: &str, began: Instant, why: String) -> DeployError {
    let container = format!("{}-{instance}", project(cluster));
    let said = engine.last_words(&container).await;
    DeployError::Silent {
        what: format!("the container {container}"),
        seconds: began.elapsed().as_secs(),
        why: match said.is_empty() {
            true => why,
            false => format!("{why}; it said last: {said}"),
        },
    }
}

/// Restarts one container and waits until it is well.
pub(crate) async fn restart(
    cluster: &ClusterName,
    blueprint: Option<&Blueprint>,
    instance: &str,
) -> Result<(), DeployError> {
    let engine = Engine::find().await?;
    let container = format!("{}-{instance}", project(cluster));
    engine.docker(&["restart", &container], "", WORK).await?;
    let known = blueprint.map(parts::all).unwrap_or_default();
    let part = known
        .into_iter()
        .find(|part| render::instances(part).iter().any(|name| name == instance));
    let check = part.ok_or(DeployError::OtherBlueprint)?.check;
    wait_until_well(&engine, cluster, &check, instance).await.map(|_| ())
}

async fn remove(engine: &Engine, project: &str, instance: &str) -> Result<Made, DeployError> {
    let mut containers = engine.containers(project).await?;
    if let Some(container) = containers.remove(instance) {
        engine.docker(&["stop", &container.id], "", WORK).await?;
        engine.docker(&["rm", "--force", &container.id], "", QUESTION).await?;
    }
    Ok(None)
}

/// Stops and removes a cluster's containers and networks. Its volumes stay.
pub(crate) async fn stop_all(engine: &Engine, cluster: &ClusterName) -> Result<(), DeployError> {
    let project = project(cluster);
    let containers = engine.labelled("container", &project).await?;
    // The services first, while the stores still take what they have in hand.
    let known = engine.containers(&project).await?;
    for stores in [false, true] {
        let ids: Vec<&str> = known
            .iter()
            .filter(|(name, container)| render::is_store(name) == stores && container.is_running())
            .map(|(_, container)| container.id.as_str())
            .collect();
        if !ids.is_empty() {
            let args: Vec<&str> = ["stop"].into_iter().chain(ids).collect();
            engine.docker(&args, "", WORK).await?;
        }
    }
    remove_each(engine, &["rm", "--force"], &containers).await?;
    let networks = engine.labelled("network", &project).await?;
    remove_each(engine, &["network", "rm"], &networks).await
}

/// A cluster's volumes, as a destroy keeps them.
pub(crate) async fn volumes(engine: &Engine, cluster: &ClusterName) -> Result<Vec<Kept>, DeployError> {
    let volumes = engine.labelled("volume", &project(cluster)).await?;
    Ok(volumes
        .iter()
        .map(|name| Kept::data(format!("the volume {name}")))
        .collect())
}

/// Removes a cluster's volumes, with all that they hold.
pub(crate) async fn remove_volumes(engine: &Engine, cluster: &ClusterName) -> Result<(), DeployError> {
    let volumes = engine.labelled("volume", &project(cluster)).await?;
    remove_each(engine, &["volume", "rm"], &volumes).await
}

async fn remove_each(engine: &Engine, how: &[&str], names: &[String]) -> Result<(), DeployError> {
    if names.is_empty() {
        return Ok(());
    }
    let args: Vec<&str> = how.iter().copied().chain(names.iter().map(String::as_str)).collect();
    engine.docker(&args, "", WORK).await.map(|_| ())
}

/// What is left of a cluster on the engine, in words.
pub(crate) async fn left(
    engine: &Engine,
    cluster: &ClusterName,
    with_volumes: bool,
) -> Result<Vec<String>, DeployError> {
    let mut left = Vec::new();
    for kind in ["container", "network", "volume"] {
        if kind == "volume" && !with_volumes {
            continue;
        }
        let names = engine.labelled(kind, &project(cluster)).await?;
        left.extend(names.iter().map(|name| format!("the {kind} {name}")));
    }
    Ok(left)
}
