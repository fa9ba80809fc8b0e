//! What the three stores hold and whom they know, wherever they run.

pub(crate) mod addresses;
pub(crate) mod migrations;
pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod set_up;
