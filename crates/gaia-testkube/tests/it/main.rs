//! The tests' Kubernetes does what a real one does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod control_plane;
mod leftovers;
mod node_loss;
mod nodes;
mod paper;
mod policies;
mod support;
