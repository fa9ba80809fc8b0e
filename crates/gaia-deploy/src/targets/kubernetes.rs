//! Clusters in a namespace of Kubernetes.

pub(crate) mod difference;
pub(crate) mod entrance;
pub(crate) mod inventory;
pub(crate) mod keeping;
pub(crate) mod objects;
pub(crate) mod observing;
pub(crate) mod obstacles;
pub(crate) mod off_hours;
pub(crate) mod pods;
pub(crate) mod policies;
pub(crate) mod quantity;
pub(crate) mod quota;
pub(crate) mod sight;
pub(crate) mod work;
