//! Logs that do not grow without end.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use crate::ClusterFolder;

/// How large a log becomes, in bytes, before it is set aside. One older one is kept.
pub(crate) const LARGEST_LOG: u64 = 8 << 20;

/// Sets aside every log that has become too large.
///
/// A process writes into the file that it was started with, so the file stays and its content moves: what is written
/// between the copy and the cut is lost, which is a line now and then and never a partial one at the start of a file.
pub(super) fn rotate(folder: &ClusterFolder) {
    let entries = fs::read_dir(folder.logs()).into_iter().flatten().filter_map(Result::ok);
    for path in entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
    {
        if let Err(fault) = rotate_one(&path) {
            tracing::warn!(error = %fault, "the log {} could not be set aside: {fault}", path.display());
        }
    }
}

fn rotate_one(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.len() <= LARGEST_LOG {
        return Ok(());
    }
    fs::copy(path, path.with_extension("log.1"))?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}
