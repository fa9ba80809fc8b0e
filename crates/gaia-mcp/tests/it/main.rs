//! The servers as clients see them: over a pipe in this process, and over HTTP for clients that are not ours.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what it did not expect")]

mod client;
mod conformance;
mod foreign;
mod listed;
mod location;
mod news;
mod weather;
