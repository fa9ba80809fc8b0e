//! The tests' Kubernetes does what a real one does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod control_plane;
mod paper;
