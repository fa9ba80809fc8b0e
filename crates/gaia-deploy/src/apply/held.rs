//! The lease on a cluster in its namespace, for as long as there is one.

use gaia_kubernetes::Kind;
use gaia_names::{ClusterName, Target};

use super::{lock, refuse_stale};
use crate::{
    DeployError, Home, Plan,
    targets::kubernetes::inventory::{Inventory, Lease},
};

/// What keeps others out of a cluster on Kubernetes, from wherever they work.
pub(super) struct Held {
    pub(super) inventory: Inventory,
    lease: Option<Lease>,
    command: String,
    /// Whoever holds the cluster's lock in this home is alone with it.
    home: String,
}

impl Held {
    /// Takes the lease where there is a namespace to hold it; nothing on other targets.
    pub(super) async fn take(
        home: &Home,
        cluster: &ClusterName,
        target: Target,
        command: &str,
    ) -> Result<Option<Self>, DeployError> {
        if target != Target::Kubernetes {
            return Ok(None);
        }
        let inventory = home.inventory(cluster).await?;
        let namespace = inventory
            .kubernetes
            .get(Kind::NAMESPACE, "", &inventory.namespace())
            .await?;
        let mut held = Self {
            inventory,
            lease: None,
            command: command.to_owned(),
            home: lock::identity(home),
        };
        // In one that is being deleted nothing can be made.
        if namespace.is_some_and(|namespace| namespace["metadata"]["deletionTimestamp"].is_null()) {
            held.lease = Some(held.inventory.lock(&held.command, &held.home).await?);
        }
        Ok(Some(held))
    }

    /// Takes the lease as soon as a step has made the namespace, and forgets it when one has removed it. Somebody else
    /// may have begun with the same nothing and be done already.
    pub(super) async fn follow(&mut self, plan: &Plan, has_namespace: bool) -> Result<(), DeployError> {
        match (has_namespace, &self.lease) {
            (true, None) => {
                self.lease = Some(self.inventory.lock(&self.command, &self.home).await?);
                match self.inventory.record().await? {
                    Some(record) => refuse_stale(plan, Some(&record)),
                    None => Ok(()),
                }
            }
            (false, Some(_)) => {
                self.lease = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn give_back(self) {
        if let Some(lease) = self.lease {
            self.inventory.unlock(lease).await;
        }
    }
}
