//! The whole program as people and programs use it: the real binary, its exit codes and its two outputs.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what it did not expect")]
#![expect(clippy::print_stderr, reason = "a failed test tells what it cleaned up")]

mod binary;
mod collector;
mod containers;
mod drift;
mod engine;
mod folders;
mod fuzz;
mod isolation;
mod journey;
mod kept;
mod keys;
mod kills;
mod kubernetes;
mod mcp;
mod nodes;
mod play;
mod reference;
mod scale;
mod scripted_gateway;
mod steps;
mod tools;
mod trace;
mod usage;
