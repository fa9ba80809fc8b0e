//! Tests of `gaia-deploy` on real stores and real processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod refusals;
mod rows;
mod stores;
