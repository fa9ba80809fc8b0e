//! What carries out the steps of an apply, by target.

use gaia_names::Target;

use super::{Made, Program};
use crate::{
    Blueprint, ClusterFolder, DeployError, Home, Step,
    record::Record,
    targets::{compose, kubernetes, kubernetes::inventory::Inventory, local},
};

/// The work on one cluster.
pub(super) enum Work<'a> {
    Local(&'a ClusterFolder, Box<local::work::Work<'a>>),
    Compose(&'a ClusterFolder, Box<compose::work::Work<'a>>),
    Kubernetes(Box<kubernetes::work::Work<'a>>),
}

impl<'a> Work<'a> {
    pub(super) async fn of(
        home: &'a Home,
        folder: &'a ClusterFolder,
        blueprint: &'a Blueprint,
        (record, inventory): (Record, Option<Inventory>),
        (program, first_port): &'a (Program, u16),
    ) -> Result<Self, DeployError> {
        Ok(match (blueprint.target, inventory) {
            (Target::Compose, _) => {
                let work = compose::work::Work::new(home, folder, blueprint, record, *first_port).await?;
                Self::Compose(folder, Box::new(work))
            }
            (Target::Kubernetes, Some(inventory)) => Self::Kubernetes(Box::new(
                kubernetes::work::Work::new(inventory, blueprint, record).await?,
            )),
            (Target::Local | Target::Kubernetes, _) => {
                let work = local::work::Work::new(home, folder, blueprint, record, program, *first_port)?;
                Self::Local(folder, Box::new(work))
            }
        })
    }

    pub(super) fn record(&mut self) -> &mut Record {
        match self {
            Self::Local(_, work) => &mut work.record,
            Self::Compose(_, work) => &mut work.record,
            Self::Kubernetes(work) => &mut work.record,
        }
    }

    /// Writes the record down.
    pub(super) async fn keep(&mut self) -> Result<(), DeployError> {
        match self {
            Self::Local(folder, work) => work.record.write(folder),
            Self::Compose(folder, work) => work.record.write(folder),
            Self::Kubernetes(work) => work.keep().await,
        }
    }

    /// Whether there is a namespace that the lease can lie in.
    pub(super) fn has_namespace(&self) -> bool {
        matches!(self, Self::Kubernetes(work) if work.has_namespace)
    }

    pub(super) async fn carry_out(&mut self, step: &Step) -> Result<Made, DeployError> {
        match self {
            Self::Local(_, work) => work.carry_out(step).await,
            Self::Compose(_, work) => work.carry_out(step).await,
            Self::Kubernetes(work) => work.carry_out(step).await,
        }
    }
}
