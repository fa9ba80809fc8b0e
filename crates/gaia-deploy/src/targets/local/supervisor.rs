//! The process that outlives the command: it starts what should run, restarts what dies and adopts what it finds.

use std::path::Path;

use crate::DeployError;

/// Watches over the processes of one cluster until it is told to stop them: the body of
/// `gaia serve supervisor --cluster <folder>`. What `on_start` gives is held as long as it runs.
///
/// # Errors
///
/// If another supervisor runs already, or the folder is not a cluster's.
pub async fn supervise<G>(cluster_folder: &Path, on_start: impl FnOnce() -> G) -> Result<(), DeployError> {
    let _ = (cluster_folder, on_start);
    todo!()
}
