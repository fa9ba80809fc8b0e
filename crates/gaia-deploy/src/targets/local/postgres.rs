//! A private Postgres: a Unix socket, and SCRAM for everybody.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use super::{
    files,
    place::Place,
    processes::{Ending, Kind, ProcessSpec, find_program},
    secrets::Secrets,
};
use crate::{
    DeployError,
    blueprint::digest_bytes,
    stores::postgres::{PORT, SUPERUSER},
};

/// Where Debian and its derivatives put the programs, newest first.
pub(crate) fn debian_folders() -> Vec<PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

pub(crate) fn program(name: &str) -> Result<PathBuf, DeployError> {
    find_program(name, &debian_folders()).ok_or_else(|| DeployError::Missing {
        what: name.to_owned(),
        fix: "install Postgres 15 or newer: `apt-get install postgresql-15`".to_owned(),
    })
}

/// Its configuration: small, since a machine runs many, and durable.
pub(crate) fn config(place: &Place) -> String {
    format!(
        "listen_addresses = ''\nport = {PORT}\nunix_socket_directories = '{socket}'\nunix_socket_permissions = 0700\n\
         password_encryption = 'scram-sha-256'\nmax_connections = 100\nshared_buffers = '32MB'\nwork_mem = '4MB'\n\
         maintenance_work_mem = '32MB'\nmax_wal_size = '512MB'\nmin_wal_size = '80MB'\njit = off\nfsync = on\n\
         synchronous_commit = on\nmax_parallel_workers_per_gather = 0\nwal_level = 'replica'\nmax_wal_senders = 0\n\
         log_destination = 'stderr'\nlogging_collector = off\nlog_min_error_statement = 'panic'\nlog_statement = 'none'\n\
         log_timezone = 'UTC'\ntimezone = 'UTC'\ndatestyle = 'iso, ymd'\nlc_messages = 'C.UTF-8'\ncluster_name = 'gaia'\n\
         update_process_title = off\n",
        socket = place.postgres().display(),
    )
}

/// Who may connect to what, from where, and how they prove who they are.
const HOST_BASED_ACCESS: &str = "local gaia all scram-sha-256\nlocal postgres gaia_superuser scram-sha-256\n";

/// The digest of what it reads when it starts.
pub(crate) fn revision(place: &Place) -> String {
    digest_bytes((config(place) + HOST_BASED_ACCESS).as_bytes())
}

/// Makes the data folder, unless it is there. It appears under its name only when it is whole and on disk.
pub(crate) async fn init(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    if place.postgres_data().exists() {
        return Ok(());
    }
    let fresh = place.postgres().join("data.new");
    let password = place.postgres().join("password.new");
    files::remove_folder(&fresh)?;
    files::write(
        &password,
        secrets.postgres_superuser.expose().as_bytes(),
        0o600,
        place.user.as_ref(),
    )?;
    let data = format!("--pgdata={}", fresh.display());
    let pwfile = format!("--pwfile={}", password.display());
    let user = format!("--username={SUPERUSER}");
    let how = [
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
        "--no-sync",
    ];
    let args: Vec<&str> = [data.as_str(), &pwfile, &user].into_iter().chain(how).collect();
    let made = run(place, "initdb", &args).await;
    files::remove_file(&password)?;
    made?;
    // One pass at the end takes a fifth of the time that initdb takes when it syncs as it goes.
    run(place, "initdb", &[&data, "--sync-only"]).await?;
    // Where data is made in place of lost data, a supervisor may start the server the moment it is there.
    write_into(&fresh, place)?;
    fs::rename(&fresh, place.postgres_data()).map_err(DeployError::file("move", &fresh))?;
    files::sync_parent(&fresh)
}

/// Writes what it reads when it starts.
pub(crate) fn write_files(place: &Place) -> Result<(), DeployError> {
    write_into(&place.postgres_data(), place)
}

fn write_into(data: &Path, place: &Place) -> Result<(), DeployError> {
    files::write(
        &data.join("postgresql.conf"),
        config(place).as_bytes(),
        0o600,
        place.user.as_ref(),
    )?;
    files::write(
        &data.join("pg_hba.conf"),
        HOST_BASED_ACCESS.as_bytes(),
        0o600,
        place.user.as_ref(),
    )
}

pub(crate) fn spec(place: &Place) -> Result<ProcessSpec, DeployError> {
    Ok(ProcessSpec {
        name: "postgres".to_owned(),
        kind: Kind::Store,
        program: program("postgres")?,
        args: vec!["-D".to_owned(), place.postgres_data().display().to_string()],
        folder: place.postgres_data(),
        user: place.user.clone(),
        ending: Ending::Int,
        grace_ms: 20_000,
        revision: revision(place),
    })
}

/// Runs one of Postgres' programs as the stores' user.
async fn run(place: &Place, name: &str, args: &[&str]) -> Result<(), DeployError> {
    let mut command = Command::new(program(name)?);
    command
        .args(args)
        .current_dir(place.postgres())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    if let Some(user) = &place.user {
        command.uid(user.uid).gid(user.gid);
    }
    let failed = |outcome: String, said: String| DeployError::Program {
        program: name.to_owned(),
        outcome,
        said,
    };
    let output = command
        .output()
        .await
        .map_err(|fault| failed("not started".to_owned(), fault.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    Err(failed(
        output.status.to_string(),
        last.into_iter().rev().collect::<Vec<_>>().join("; "),
    ))
}
