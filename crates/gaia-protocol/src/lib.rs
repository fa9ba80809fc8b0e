//! What players and services say to each other: envelopes, subjects, error codes; no I/O.

pub mod api_keys;
pub mod auth;
pub mod bundle;
pub mod chat;
pub mod costs;
mod fault;
pub mod keys;
pub mod money;
pub mod realtime;
pub mod settings;
pub mod subjects;

pub use fault::{ErrorCode, Fault};
pub use subjects::Request;
