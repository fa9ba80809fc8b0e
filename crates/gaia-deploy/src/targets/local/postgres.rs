//! A private Postgres: a Unix socket, SCRAM for everybody, and one login role per game and service.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use gaia_names::{GameId, Secret, Service};
use gaia_protocol::settings::PostgresAccess;
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};

use super::{
    background::in_background,
    files,
    place::Place,
    processes::{Ending, Kind, ProcessSpec, find_program},
    secrets::{Secrets, WITH_TABLES},
};
use crate::{DeployError, blueprint::digest_bytes};

/// Makes the database and the roles, and does nothing else.
pub(crate) const SUPERUSER: &str = "gaia_superuser";
/// Owns the tables and bypasses row-level security: migrations, backfills and archives.
pub(crate) const APPLY_ROLE: &str = "gaia_apply";
/// The one database.
pub(crate) const DATABASE: &str = "gaia";
/// Part of the socket's name; nothing listens on the port.
const PORT: u16 = 5432;
/// How many connections one process of a service opens for one game.
const POOL: usize = 16;
/// How many connections one login role may have, all its processes together.
const CONNECTIONS_PER_ROLE: usize = 40;
/// Counts up when [`apply_roles`] makes something else than before.
const ROLES_VERSION: u32 = 1;

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
    fs::rename(&fresh, place.postgres_data()).map_err(DeployError::file("move", &fresh))?;
    files::sync_parent(&fresh)
}

/// Writes what it reads when it starts.
pub(crate) fn write_files(place: &Place) -> Result<(), DeployError> {
    let data = place.postgres_data();
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

/// How somebody reaches it.
fn access(place: &Place, user: &str, password: &Secret) -> PostgresAccess {
    PostgresAccess {
        host: place.postgres().display().to_string(),
        port: PORT,
        database: DATABASE.to_owned(),
        user: user.to_owned(),
        password: password.clone(),
        connections: POOL,
    }
}

/// How a service of a game reaches it.
pub(crate) fn service_access(place: &Place, game: &GameId, service: Service, password: &Secret) -> PostgresAccess {
    access(place, &format!("{game}/{service}"), password)
}

pub(crate) fn superuser_access(place: &Place, secrets: &Secrets) -> PostgresAccess {
    access(place, SUPERUSER, &secrets.postgres_superuser)
}

pub(crate) fn apply_access(place: &Place, secrets: &Secrets) -> PostgresAccess {
    access(place, APPLY_ROLE, &secrets.postgres_apply)
}

/// Asks whether it answers.
pub(crate) async fn ping(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    let access = PostgresAccess {
        database: "postgres".to_owned(),
        ..superuser_access(place, secrets)
    };
    let client = connect(&access).await?;
    client
        .simple_query("SELECT 1")
        .await
        .map(|_| ())
        .map_err(DeployError::postgres("ask for a sign of life"))
}

/// Connects. The connection ends with the client.
pub(crate) async fn connect(access: &PostgresAccess) -> Result<Client, DeployError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&access.host)
        .port(access.port)
        .dbname(&access.database)
        .user(&access.user);
    config
        .password(access.password.expose())
        .connect_timeout(Duration::from_secs(5))
        .application_name("gaia apply");
    let connected = config.connect(NoTls).await;
    let (client, connection) = connected.map_err(DeployError::postgres(format!("connect as {}", access.user)))?;
    in_background(async move {
        if let Err(fault) = connection.await {
            tracing::debug!(error = %fault, "a connection to Postgres ended: {fault}");
        }
    });
    Ok(client)
}

/// The digest of which roles there are, secrets apart.
pub(crate) fn roles_digest<'a>(games: impl Iterator<Item = &'a GameId>) -> String {
    let games: Vec<&str> = games.map(GameId::as_str).collect();
    digest_bytes(format!("{ROLES_VERSION} {}", games.join(" ")).as_bytes())
}

/// Makes the database, the group roles, and the login roles of the games. A role whose game has gone may no longer
/// log in; its rows stay.
pub(crate) async fn apply_roles(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    let superuser = superuser_access(place, secrets);
    let client = connect(&PostgresAccess {
        database: "postgres".to_owned(),
        ..superuser
    })
    .await?;
    let failed = || DeployError::postgres("make roles");
    let mut wanted = vec![role_sql(
        APPLY_ROLE,
        "LOGIN NOINHERIT BYPASSRLS",
        Some(&secrets.postgres_apply),
    )];
    wanted.extend(WITH_TABLES.map(|service| role_sql(&group_role(service), "NOLOGIN", None)));
    client.batch_execute(&wanted.concat()).await.map_err(failed())?;
    let is_there = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&DATABASE])
        .await;
    if is_there.map_err(failed())?.is_none() {
        let create = format!("CREATE DATABASE {DATABASE} OWNER {APPLY_ROLE}");
        client
            .batch_execute(&create)
            .await
            .map_err(DeployError::postgres("make the database"))?;
    }
    client.batch_execute(&database_sql()).await.map_err(failed())?;
    let mut logins = vec!["gaia_superuser".to_owned(), APPLY_ROLE.to_owned()];
    for (game, own) in &secrets.games {
        for (service, password) in &own.postgres {
            let role = format!("{game}/{service}");
            client
                .batch_execute(&login_sql(&role, *service, password))
                .await
                .map_err(failed())?;
            logins.push(role);
        }
    }
    let gone = client
        .query(
            "SELECT quote_ident(rolname) FROM pg_roles WHERE rolcanlogin AND rolname <> ALL ($1)",
            &[&logins],
        )
        .await
        .map_err(failed())?;
    for role in gone.iter().map(|row| row.get::<_, String>(0)) {
        client
            .batch_execute(&format!("ALTER ROLE {role} NOLOGIN"))
            .await
            .map_err(failed())?;
    }
    Ok(())
}

/// The role that has a service's rights and cannot log in.
fn group_role(service: Service) -> String {
    format!("gaia_{service}")
}

/// Makes a role, or makes it what it should be. Names and passwords are of characters that need no escape.
fn role_sql(name: &str, attributes: &str, password: Option<&Secret>) -> String {
    let password = password
        .map(|secret| format!("PASSWORD '{}'", secret.expose()))
        .unwrap_or_default();
    format!(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN CREATE ROLE \"{name}\"; END IF; END $$;\n\
         ALTER ROLE \"{name}\" NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION {attributes} {password};\n"
    )
}

fn login_sql(role: &str, service: Service, password: &Secret) -> String {
    let group = group_role(service);
    let attributes = format!("LOGIN INHERIT NOBYPASSRLS CONNECTION LIMIT {CONNECTIONS_PER_ROLE}");
    format!(
        "{made}GRANT {group} TO \"{role}\";\nALTER ROLE \"{role}\" SET statement_timeout = '5s';\n\
         ALTER ROLE \"{role}\" SET idle_in_transaction_session_timeout = '5s';\nALTER ROLE \"{role}\" SET lock_timeout = '4s';\n\
         ALTER ROLE \"{role}\" SET search_path = {service};\n",
        made = role_sql(role, &attributes, Some(password)),
    )
}

fn database_sql() -> String {
    let groups = WITH_TABLES.map(group_role).join(", ");
    format!(
        "REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC;\nGRANT CONNECT ON DATABASE {DATABASE} TO {groups};\n"
    )
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
