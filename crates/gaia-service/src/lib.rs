//! What every service does alike: settings, logs, metrics, stores, health, drain.

pub mod bus;
pub mod ops;
pub mod postgres;
pub mod redis;
pub mod run;
pub mod settings;
pub mod tasks;
pub mod telemetry;
pub mod trace;

pub use bus::{Bus, Call, EventSink};
pub use ops::{Check, Health};
pub use postgres::Postgres;
pub use redis::Redis;
pub use tasks::Tasks;
