//! Clusters as processes on this machine.

pub mod stores;
pub mod supervisor;
