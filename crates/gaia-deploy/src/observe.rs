//! What is there: read from the cluster's own files, the processes and the stores. Nothing is changed.

use gaia_names::ClusterName;

use crate::{Blueprint, DeployError, Home, Parent};

/// A cluster as it was found.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which.
    pub cluster: ClusterName,
}
#[derive(Clone, Debug)]
pub struct ObservedInstance {}
#[derive(Clone, Debug)]
pub struct ObservedProcess {}

impl Observed {
    /// What a new blueprint follows.
    #[must_use]
    pub fn parent(&self) -> Parent {
        todo!()
    }

    /// Whether there is such a cluster.
    #[must_use]
    pub fn exists(&self) -> bool {
        todo!()
    }

    /// The blueprint that was last applied in full, without its credentials.
    #[must_use]
    pub fn applied(&self) -> Option<&Blueprint> {
        todo!()
    }
}

/// Looks at a cluster. One that does not exist is observed as nothing.
///
/// # Errors
///
/// If its files cannot be read.
pub async fn observe(home: &Home, cluster: &ClusterName) -> Result<Observed, DeployError> {
    let _ = (home, cluster);
    todo!()
}
