//! What is there of a cluster on the Docker engine.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    engine::{Container, Engine, Health},
    render::{OWNER, REVISION, project},
};
use crate::{ClusterFolder, DeployError, ObservedProcess, admin_api::Gateway, containers::exec::Exec};

/// The containers of a cluster as processes, and where a gateway runs.
pub(crate) struct Found {
    pub(crate) engine: Arc<Engine>,
    pub(crate) containers: BTreeMap<String, Container>,
    /// Its volumes, and whose each is.
    pub(crate) volumes: BTreeMap<String, String>,
    /// The id that each image has now, by its name.
    pub(crate) images: BTreeMap<String, String>,
}

impl Found {
    /// Looks.
    ///
    /// # Errors
    ///
    /// If there is no engine, or the project belongs to somebody else.
    pub(crate) async fn look(folder: &ClusterFolder) -> Result<Self, DeployError> {
        let engine = Engine::find().await?;
        let project = project(folder.name());
        let mut containers = engine.containers(&project).await?;
        for container in containers.values_mut() {
            let is_starting = |health: &Health| health.status == "starting";
            if container.is_running()
                && container.state.health.as_ref().is_some_and(is_starting)
                && engine.check(container).await
            {
                container.state.health = None;
            }
        }
        let ours = owner(folder);
        let foreign = containers.iter().find(|(_, container)| container.label(OWNER) != ours);
        if let Some((name, _)) = foreign {
            return Err(DeployError::Foreign {
                what: format!("the Compose project `{project}`, with its container `{name}`,"),
                help: format!(
                    "another GAIA_HOME made it, or somebody by hand: destroy it there, or `docker compose -p {project} \
                     down` it"
                ),
            });
        }
        Ok(Self {
            volumes: engine.volumes(&project, OWNER).await?,
            images: engine.images().await?,
            engine: Arc::new(engine),
            containers,
        })
    }

    /// A gateway that runs.
    pub(crate) fn gateway(&self) -> Option<Gateway> {
        let container = self
            .containers
            .get("gateway-1")
            .filter(|container| container.is_running())?;
        Some(Gateway::Container(Exec::Docker {
            engine: self.engine.clone(),
            container: container.id.clone(),
        }))
    }

    /// The containers as processes.
    pub(crate) fn processes(&self) -> BTreeMap<String, ObservedProcess> {
        let process = |container: &Container| ObservedProcess {
            is_running: container.is_running(),
            pid: None,
            since: container.is_running().then_some(container.state.started_at),
            restarts: container.restart_count,
            last_exit: container.last_exit(),
            readiness: container.readiness(),
            memory_bytes: None,
            revision: container.label(REVISION).to_owned(),
            image: Some(container.image.clone()),
        };
        self.containers
            .iter()
            .map(|(name, container)| (name.clone(), process(container)))
            .collect()
    }
}

/// What tells this cluster from another one of the same name on the same engine.
pub(crate) fn owner(folder: &ClusterFolder) -> String {
    crate::blueprint::digest_bytes(folder.path().as_os_str().as_encoded_bytes())
}
