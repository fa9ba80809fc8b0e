//! The MCP servers that we ship: weather, location, news.
//!
//! Each is a normal MCP server for any client, of both revisions (2026-07-28 and 2025-11-25), over stdio or streamable
//! HTTP. What they answer comes from Open-Meteo, from data inside this crate, and from the feeds that they are given.

mod cache;
mod fetch;
pub mod location;
pub mod news;
mod places;
mod serve;
mod server;
pub mod weather;

pub use serve::{ServeFault, http, stdio};
pub use server::ToolServer;
