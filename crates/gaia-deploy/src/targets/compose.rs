//! Clusters as containers on this machine, by Docker Compose.

pub(crate) mod engine;
pub(crate) mod observing;
pub(crate) mod render;
pub(crate) mod sight;
pub(crate) mod work;
