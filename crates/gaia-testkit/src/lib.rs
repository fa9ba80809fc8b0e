//! Real stores on loopback, a scripted LLM, whole clusters for tests.
//!
//! A test owns its game. Games share the stores of the test process unless a test wants to break them, and then it
//! asks for stores of its own. Nothing is left when the process ends, however it ends.

mod authority;
mod bundles;
mod cluster;
mod fake_open_meteo;
mod feed_server;
mod foreign_mcp;
mod game;
mod hostile;
mod reaper;
mod scripted_llm;
mod visitor;
mod wait;

pub use authority::{Authority, AuthorityOptions, KNOWN_CLIENT};
pub use bundles::{bundle, persona, route};
pub use cluster::{ClusterOptions, TestCluster};
pub use fake_open_meteo::FakeOpenMeteo;
pub use feed_server::{FeedServer, Page};
pub use foreign_mcp::{MCP_REVISIONS, foreign_mcp};
pub use game::{TestGame, signing_key};
pub use hostile::hostile;
pub use reaper::scratch_folder;
pub use scripted_llm::{Ending, ReceivedCall, Script, ScriptedLlm};
pub use visitor::{Answer, Visitor};
pub use wait::{eventually, eventually_within};

/// Runs something beside a test; it ends with the test's runtime.
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's runtime ends with the test, and everything on it"
    )]
    drop(tokio::spawn(task));
}
