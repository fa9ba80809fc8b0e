//! Stopping and destroying, by target.

use gaia_kubernetes::Kind;
use gaia_names::{ClusterName, Target};

use super::Kept;
use crate::{
    ClusterFolder, DeployError, Home, Step,
    plan::ids::{FOLDER, NAMESPACE, OBJECTS, PROCESSES, PROOF, VOLUMES},
    record::Record,
    targets::{
        compose::{self, engine::Engine},
        kubernetes::{self, inventory::Inventory},
        local::destroying,
    },
};

/// How a cluster ends where it is.
pub(super) enum Ending {
    Local(ClusterFolder),
    Compose(ClusterFolder, Engine),
    Kubernetes(ClusterFolder, Inventory),
}

impl Ending {
    pub(super) async fn of(home: &Home, cluster: &ClusterName) -> Result<Self, DeployError> {
        let folder = home.cluster(cluster);
        Ok(match home.target_of(cluster)? {
            Target::Local => Self::Local(folder),
            Target::Compose => Self::Compose(folder, Engine::find().await?),
            Target::Kubernetes => Self::Kubernetes(folder, home.inventory(cluster).await?),
        })
    }

    /// Whether there is anything of it.
    pub(super) async fn is_there(&self) -> Result<bool, DeployError> {
        Ok(match self {
            Self::Local(folder) | Self::Compose(folder, _) => folder.path().exists(),
            Self::Kubernetes(_, inventory) => {
                let name = inventory.namespace();
                inventory.kubernetes.get(Kind::NAMESPACE, "", &name).await?.is_some()
            }
        })
    }

    pub(super) async fn read(&self) -> Result<Option<Record>, DeployError> {
        match self {
            Self::Local(folder) | Self::Compose(folder, _) => Record::read(folder),
            Self::Kubernetes(_, inventory) => inventory.record().await,
        }
    }

    /// The record, if it is there and can be read.
    pub(super) async fn record(&self) -> Option<Record> {
        self.read().await.ok().flatten()
    }

    pub(super) async fn keep(&self, record: &Record) -> Result<(), DeployError> {
        match self {
            Self::Local(folder) | Self::Compose(folder, _) => record.write(folder),
            Self::Kubernetes(_, inventory) => match inventory.write_record(record).await {
                // A namespace that is ending takes nothing new, and says itself what is meant to become of it.
                Err(DeployError::Kubernetes(fault)) if matches!(fault.status(), Some(403 | 404 | 409)) => Ok(()),
                written => written,
            },
        }
    }

    /// Does what a step says. What was to be kept and is still there is told by the proof.
    pub(super) async fn carry_out(&self, step: &Step, keeps_volumes: bool) -> Result<Vec<Kept>, DeployError> {
        match (step.id.0.as_str(), self) {
            (PROCESSES, _) => self.stop_all().await?,
            (VOLUMES, Self::Compose(folder, engine)) => compose::work::remove_volumes(engine, folder.name()).await?,
            (NAMESPACE, Self::Kubernetes(_, inventory)) => kubernetes::work::end(inventory).await?,
            (OBJECTS, Self::Kubernetes(_, inventory)) => kubernetes::keeping::remove_all_but_data(inventory).await?,
            (FOLDER, Self::Local(folder) | Self::Compose(folder, _)) if keeps_volumes => {
                destroying::remove_all_but_data(folder)?;
            }
            (FOLDER, Self::Local(folder) | Self::Compose(folder, _) | Self::Kubernetes(folder, _)) => {
                destroying::remove(folder)?;
            }
            (PROOF, _) if keeps_volumes => return self.prove_but_data().await,
            (PROOF, _) => self.prove().await?,
            _ => return Err(DeployError::OtherBlueprint),
        }
        Ok(Vec::new())
    }

    pub(super) async fn stop_all(&self) -> Result<(), DeployError> {
        match self {
            Self::Local(folder) => destroying::stop_all(folder).await,
            Self::Compose(folder, engine) => compose::work::stop_all(engine, folder.name()).await,
            Self::Kubernetes(_, inventory) => kubernetes::work::stop_all(inventory).await,
        }
    }

    /// Proves that nothing is left but the data and what is needed to take it up again, and says what that is.
    async fn prove_but_data(&self) -> Result<Vec<Kept>, DeployError> {
        let (folder, left, kept) = match self {
            Self::Local(folder) => (folder, Vec::new(), Vec::new()),
            Self::Compose(folder, engine) => {
                let left = compose::work::left(engine, folder.name(), false).await?;
                let volumes = compose::work::volumes(engine, folder.name()).await?;
                (folder, left, volumes)
            }
            Self::Kubernetes(folder, inventory) => {
                let (left, kept) = kubernetes::keeping::left(inventory).await?;
                (folder, left, kept)
            }
        };
        if !left.is_empty() {
            return Err(DeployError::Left {
                cluster: folder.name().clone(),
                left: left.join(", "),
            });
        }
        let of_folder = match self {
            Self::Kubernetes(..) => Vec::new(),
            Self::Local(_) | Self::Compose(..) => destroying::prove_but_data(folder)?,
        };
        Ok(kept.into_iter().chain(of_folder).collect())
    }

    /// Proves that nothing is left.
    async fn prove(&self) -> Result<(), DeployError> {
        let (folder, left) = match self {
            Self::Local(folder) => (folder, Vec::new()),
            Self::Compose(folder, engine) => (folder, compose::work::left(engine, folder.name(), true).await?),
            Self::Kubernetes(folder, inventory) => match self.is_there().await? {
                true => (folder, vec![format!("the namespace {}", inventory.namespace())]),
                false => (folder, Vec::new()),
            },
        };
        if !left.is_empty() {
            return Err(DeployError::Left {
                cluster: folder.name().clone(),
                left: left.join(", "),
            });
        }
        destroying::prove(folder)
    }
}
