//! A private NATS server, on a port of loopback.

use std::{net::Ipv4Addr, path::PathBuf};

use super::{
    files,
    place::Place,
    processes::{Ending, Kind, ProcessSpec, find_program},
    secrets::Secrets,
};
use crate::{
    DeployError,
    blueprint::digest_bytes,
    stores::nats::{accounts, limits},
};

pub(crate) fn program() -> Result<PathBuf, DeployError> {
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    find_program("nats-server", &sbin).ok_or_else(|| DeployError::Missing {
        what: "nats-server".to_owned(),
        fix: "install NATS 2.9 or newer: `apt-get install nats-server`".to_owned(),
    })
}

/// What it reads when it starts. Who may say what stands in a second file, which it reads again when told so.
pub(crate) fn config(port: u16) -> String {
    format!(
        "listen: \"{}:{port}\"\n{}logtime: true\ninclude accounts.conf\n",
        Ipv4Addr::LOCALHOST,
        limits(),
    )
}

/// Writes what it reads when it starts.
pub(crate) fn write_files(place: &Place, secrets: &Secrets, port: u16) -> Result<(), DeployError> {
    let folder = place.nats();
    write_accounts(place, secrets)?;
    files::write(
        &folder.join("nats.conf"),
        config(port).as_bytes(),
        0o600,
        place.user.as_ref(),
    )
}

/// Writes who may say what.
pub(crate) fn write_accounts(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    let file = place.nats().join("accounts.conf");
    files::write(&file, accounts(secrets).as_bytes(), 0o600, place.user.as_ref())
}

pub(crate) fn spec(place: &Place, port: u16) -> Result<ProcessSpec, DeployError> {
    Ok(ProcessSpec {
        name: "nats".to_owned(),
        kind: Kind::Store,
        program: program()?,
        args: vec![
            "--config".to_owned(),
            place.nats().join("nats.conf").display().to_string(),
        ],
        folder: place.nats(),
        user: place.user.clone(),
        ending: Ending::Term,
        grace_ms: 5_000,
        revision: revision(port),
    })
}

/// The digest of what it reads only when it starts.
pub(crate) fn revision(port: u16) -> String {
    digest_bytes(config(port).as_bytes())
}
