//! Reads a service's settings file.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use gaia_protocol::settings::Settings;
use serde::de::DeserializeOwned;

/// Why a service cannot start with its settings. The program exits 64.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFault {
    /// The file is not there or not ours to read.
    #[error("cannot read the settings {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others may read the passwords in it.
    #[error("the settings {path} can be read by others; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Its text does not fit. The parser's message names a key or a place and never a value.
    #[error("the settings {path} do not fit this version of gaia, at line {line}, column {column}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// Reads the settings of one process.
///
/// # Errors
///
/// Where the file cannot be read, is open to others, or does not fit.
pub fn read<G: DeserializeOwned>(path: &Path) -> Result<Settings<G>, SettingsFault> {
    let read = |source| SettingsFault::Read {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(read)?.permissions().mode();
    // Kubernetes mounts a secret group-readable at the strictest, so only the world is refused.
    if mode & 0o007 != 0 {
        return Err(SettingsFault::Open { path: path.to_owned() });
    }
    let text = fs::read(path).map_err(read)?;
    // A serde message may quote a value, and a value may be a password.
    serde_json::from_slice(&text).map_err(|fault| SettingsFault::Parse {
        path: path.to_owned(),
        line: fault.line(),
        column: fault.column(),
    })
}
