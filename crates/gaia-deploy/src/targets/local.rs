//! Clusters as processes on this machine.

use crate::{background, files, record, secrets};

pub(crate) mod destroying;
pub(crate) mod nats;
pub(crate) mod ops;
pub(crate) mod place;
pub(crate) mod ports;
pub(crate) mod postgres;
pub mod private_stores;
pub(crate) mod processes;
pub(crate) mod redis;
pub(crate) mod running;
pub(crate) mod services;
pub mod supervisor;
pub(crate) mod work;
