//! The host of tool servers: MCP in both eras, over programs and HTTP.
//!
//! A server is somebody else's program, and its words are somebody else's words. So everything that comes from one is
//! bounded before it takes up memory, cleaned of what people cannot see, marked with where it comes from, and never
//! waited for without a limit. What a tool is was pinned when it was first seen; once it presents itself differently, it
//! waits until it is accepted. Programs run apart from the game: see [`Confinement`].

mod ask;
mod bounded;
mod call;
mod clean;
mod client;
mod connection;
mod host;
mod http;
mod kinds;
mod launch;
mod names;
mod oauth;
mod pins;
mod result;
mod sandbox;
mod schema;
mod server;
mod sign_in;
mod sign_ins;
mod tool;

pub use ask::{AskPlayer, Progress, Question, Reply, Wanted};
pub use call::{CallFault, Consent, ToolAnswer, ToolCall, ToolOutcome};
pub use host::{HostSettings, OfferedTool, ServerReport, ToolHost, ToolReport, Unavailable};
pub use pins::{Pin, PinFault, PinStore, PinsInMemory};
pub use sandbox::Confinement;
pub use sign_in::{SignInFault, SignInTo, sign_in};
pub use sign_ins::{Alone, SignInStore, SignInStoreFault, SignInsAsTheyAre, SignInsInMemory};
pub use tool::Standing;
