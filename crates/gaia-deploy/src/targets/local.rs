//! Clusters as processes on this machine.

pub(crate) mod background;
pub(crate) mod destroying;
pub(crate) mod files;
pub(crate) mod migrations;
pub(crate) mod nats;
pub(crate) mod ops;
pub(crate) mod place;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod record;
pub(crate) mod redis;
pub(crate) mod running;
pub mod secrets;
pub(crate) mod services;
pub mod stores;
pub mod supervisor;
pub(crate) mod work;
