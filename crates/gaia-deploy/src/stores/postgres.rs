//! Whom Postgres knows: one login role per game and service, and who makes them.

use std::time::Duration;

use gaia_names::{GameId, Secret, Service};
use gaia_protocol::settings::PostgresAccess;
use tokio_postgres::{Client, NoTls};

use crate::{
    DeployError,
    background::in_background,
    blueprint::digest_bytes,
    secrets::{Secrets, WITH_TABLES},
};

/// Makes the database and the roles, and does nothing else.
pub(crate) const SUPERUSER: &str = "gaia_superuser";
/// Owns the tables and bypasses row-level security: migrations, backfills and archives.
pub(crate) const APPLY_ROLE: &str = "gaia_apply";
/// The one database.
pub(crate) const DATABASE: &str = "gaia";
/// Where it listens, or a part of its socket's name.
pub(crate) const PORT: u16 = 5432;
/// How many connections one process of a service opens for one game.
const POOL: usize = 16;
/// How many connections one login role may have, all its processes together.
const CONNECTIONS_PER_ROLE: usize = 40;
/// Counts up when [`apply_roles`] makes something else than before.
const ROLES_VERSION: u32 = 1;

/// How somebody reaches it, on a host or through the socket in a folder.
pub(crate) fn access(host: &str, user: &str, password: &Secret) -> PostgresAccess {
    PostgresAccess {
        host: host.to_owned(),
        port: PORT,
        database: DATABASE.to_owned(),
        user: user.to_owned(),
        password: password.clone(),
        connections: POOL,
    }
}

/// The database of Gaia's may not be there yet; the one that every server has is.
fn in_no_database(access: &PostgresAccess) -> PostgresAccess {
    PostgresAccess {
        database: "postgres".to_owned(),
        ..access.clone()
    }
}

/// Asks whether it answers.
pub(crate) async fn ping(superuser: &PostgresAccess) -> Result<(), DeployError> {
    let client = connect(&in_no_database(superuser)).await?;
    client
        .simple_query("SELECT 1")
        .await
        .map(|_| ())
        .map_err(DeployError::postgres("ask for a sign of life"))
}

/// Connects. The connection ends with the client.
pub(crate) async fn connect(access: &PostgresAccess) -> Result<Client, DeployError> {
    let mut config = tokio_postgres::Config::new();
    if access.host.starts_with('/') {
        config.host_path(&access.host);
    } else {
        config.host(&access.host);
    }
    config.port(access.port).dbname(&access.database).user(&access.user);
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
pub(crate) async fn apply_roles(superuser: &PostgresAccess, secrets: &Secrets) -> Result<(), DeployError> {
    let client = connect(&in_no_database(superuser)).await?;
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
