//! Files that nobody else may read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use uuid::Uuid;

/// Writes a whole file, or leaves the one that is there.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = file.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    let written = opened.write_all(bytes).and_then(|()| opened.sync_all());
    let moved = written.and_then(|()| fs::rename(&fresh, file));
    if moved.is_err() {
        // What could not be moved into place is of no use.
        let _ = fs::remove_file(&fresh);
    }
    moved
}
