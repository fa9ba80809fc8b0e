//! Files that are there whole or not at all, with the mode and owner they should have.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{DeployError, targets::local::place::OsUser};

/// The most that is read of a file of ours: what was written by us is far smaller, what was not may be anything.
const LARGEST_FILE: u64 = 64 << 20;

/// Writes a file so that a crash leaves the old one or the new one, whole and on disk.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32, owner: Option<&OsUser>) -> Result<(), DeployError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let fresh = path.with_file_name(name);
    write_through(&fresh, bytes, mode, owner).map_err(DeployError::file("write", path))?;
    fs::rename(&fresh, path).map_err(DeployError::file("write", path))?;
    sync_parent(path)
}

/// Writes a value as JSON, as [`write`] does.
pub(crate) fn write_json(path: &Path, value: &impl Serialize, mode: u32) -> Result<(), DeployError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| DeployError::Garbled {
        path: path.to_owned(),
        what: "JSON",
        source,
    })?;
    text.push(b'\n');
    write(path, &text, mode, None)
}

/// Reads a file; none if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, DeployError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(DeployError::File {
                doing: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE)
        .read_to_end(&mut bytes)
        .map_err(DeployError::file("read", path))?;
    Ok(Some(bytes))
}

/// Reads a JSON file; none if it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<Option<T>, DeployError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|source| DeployError::Garbled {
        path: path.to_owned(),
        what,
        source,
    })
}

/// Makes a folder (its parents as well, each with mode 0711) with a mode and an owner.
pub(crate) fn make_folder(path: &Path, mode: u32, owner: Option<&OsUser>) -> Result<(), DeployError> {
    let missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|folder| !folder.exists())
        .map(Path::to_owned)
        .collect();
    for folder in missing.iter().rev() {
        match fs::create_dir(folder) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(DeployError::file("make the folder", folder))?,
        }
        set_mode(folder, 0o711)?;
    }
    set_mode(path, mode)?;
    match owner {
        Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(DeployError::file("give away", path)),
        None => Ok(()),
    }
}

/// Removes a folder with all that it holds; nothing happens if it is not there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), DeployError> {
    match fs::remove_dir_all(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(DeployError::file("remove", path)),
    }
}

/// Removes a folder that holds nothing; one that does, or is not there, stays as it is.
pub(crate) fn remove_if_empty(path: &Path) -> Result<(), DeployError> {
    match fs::remove_dir(path) {
        Err(fault) if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        removed => removed.map_err(DeployError::file("remove", path)),
    }
}

/// Removes the files of a folder that are not among these.
pub(crate) fn remove_others<'a>(folder: &Path, kept: impl Iterator<Item = &'a String>) -> Result<(), DeployError> {
    let kept: Vec<&String> = kept.collect();
    let entries = fs::read_dir(folder).map_err(DeployError::file("read", folder))?;
    for entry in entries.filter_map(Result::ok) {
        if !kept.iter().any(|name| entry.file_name().to_str() == Some(name)) {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file; nothing happens if it is not there.
pub(crate) fn remove_file(path: &Path) -> Result<(), DeployError> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(DeployError::file("remove", path)),
    }
}

/// Makes sure that a folder's entries (what was made, renamed or removed in it) are on disk.
pub(crate) fn sync_parent(path: &Path) -> Result<(), DeployError> {
    let parent = path.parent().unwrap_or(path);
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(DeployError::file("write", parent))
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), DeployError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(DeployError::file("set the mode of", path))
}

fn write_through(path: &Path, bytes: &[u8], mode: u32, owner: Option<&OsUser>) -> io::Result<()> {
    // A file of this name is left over from a crash; it may have another owner and mode.
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    if let Some(user) = owner {
        chown(path, Some(user.uid), Some(user.gid))?;
    }
    file.sync_all()
}

/// The last lines of a log, for an error that sends people there.
pub(crate) fn last_words(log: &Path) -> String {
    const MOST: i64 = 600;
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        file.seek(SeekFrom::End(-length.min(MOST)))?;
        let mut bytes = Vec::new();
        file.take(MOST.unsigned_abs()).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
