//! Work beside the command or the supervisor.

use tokio::task::JoinHandle;

/// Runs a future beside the caller. Nothing that is started so holds anything that a shutdown would have to save: a
/// connection's other end, a watch on a process that outlives us, an answer to whoever asks.
#[expect(
    clippy::disallowed_methods,
    reason = "gaia_service::Tasks belongs to services, which this is not"
)]
pub(crate) fn in_background<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    tokio::spawn(future)
}
