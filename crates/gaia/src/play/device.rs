//! The secret by which a game knows this player again: `<home>/play/<game>.json`, mode 0600.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use anyhow::Context;
use gaia_deploy::Home;
use gaia_names::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{environment, private_files};

/// The key for the game on this machine; others are kept under their address, so that none is told another's secret.
const HERE: &str = "here";
/// The largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

#[derive(Default, Deserialize, Serialize)]
struct Devices {
    /// By where the game is.
    device_ids: BTreeMap<String, String>,
}

/// The secret for a game, made on first use. `elsewhere` is the address of a game that was given by its address.
///
/// # Errors
///
/// If the file cannot be read or written.
pub(super) fn device_id(home: &Home, game: &str, elsewhere: Option<&str>) -> anyhow::Result<Secret> {
    let folder = home.path().join("play");
    let file = folder.join(format!("{game}.json"));
    let mut devices = read(&file)?;
    let place = elsewhere.unwrap_or(HERE).to_owned();
    if let Some(known) = devices.device_ids.get(&place) {
        return Ok(Secret::new(known.clone()));
    }
    let fresh = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    devices.device_ids.insert(place, fresh.clone());
    environment::make_home(home)?;
    let mut private = fs::DirBuilder::new();
    let made = private.recursive(true).mode(0o700).create(&folder);
    made.with_context(|| format!("failed to make {}", folder.display()))?;
    private_files::write(&file, &serde_json::to_vec_pretty(&devices)?)
        .with_context(|| format!("failed to write {}", file.display()))?;
    Ok(Secret::new(fresh))
}

/// Forgets the player of a game on this machine, whose data is gone.
pub(crate) fn forget(home: &Home, game: &str) -> anyhow::Result<()> {
    let file = home.path().join("play").join(format!("{game}.json"));
    let mut devices = read(&file)?;
    if devices.device_ids.remove(HERE).is_none() {
        return Ok(());
    }
    if devices.device_ids.is_empty() {
        return fs::remove_file(&file).with_context(|| format!("failed to remove {}", file.display()));
    }
    private_files::write(&file, &serde_json::to_vec_pretty(&devices)?)
        .with_context(|| format!("failed to write {}", file.display()))
}

/// Removes the folder if it holds nobody's secret any more.
pub(crate) fn tidy(home: &Home) -> anyhow::Result<()> {
    let folder = home.path().join("play");
    match fs::remove_dir(&folder) {
        Err(fault) if !matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(fault).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn read(file: &Path) -> anyhow::Result<Devices> {
    let mut text = String::new();
    match fs::File::open(file) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Devices::default()),
        opened => opened.and_then(|opened| opened.take(LARGEST).read_to_string(&mut text)),
    }
    .with_context(|| format!("failed to read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not what `gaia play` wrote; remove it to come in as a new player",
            file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_device_stays_the_same_and_is_another_for_another_address() {
        let folder = tempfile::tempdir().unwrap();
        let home = &Home::at(folder.path()).unwrap();
        let first = device_id(home, "kos", None).unwrap();
        assert_eq!(device_id(home, "kos", None).unwrap(), first);
        let elsewhere = device_id(home, "kos", Some("https://kos.example")).unwrap();
        assert_ne!(elsewhere, first);
        let mode = fs::metadata(home.path().join("play/kos.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_forgotten_player_comes_in_as_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = &Home::at(folder.path()).unwrap();
        let first = device_id(home, "kos", None).unwrap();
        forget(home, "kos").unwrap();
        tidy(home).unwrap();
        assert!(!home.path().join("play").exists());
        assert_ne!(device_id(home, "kos", None).unwrap(), first);
    }

    #[test]
    fn a_garbled_file_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let home = &Home::at(folder.path()).unwrap();
        fs::create_dir(home.path().join("play")).unwrap();
        fs::write(home.path().join("play/kos.json"), "oops").unwrap();
        let fault = device_id(home, "kos", None).unwrap_err().to_string();
        assert!(fault.contains("remove it to come in as a new player"), "{fault}");
    }
}
