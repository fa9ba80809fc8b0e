//! Whom Postgres knows: one login role per game and service, and who makes them.

use std::time::Duration;

use gaia_names::{Secret, Service};
use gaia_protocol::settings::PostgresAccess;
use tokio_postgres::{Client, NoTls, error::SqlState};

use super::addresses::Admin;
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
fn in_no_database(admin: &Admin<PostgresAccess>) -> Admin<PostgresAccess> {
    let mut admin = admin.clone();
    admin.access.database = "postgres".to_owned();
    admin
}

/// Connects as somebody who changes things, with the former password where the new one is not known there yet.
pub(crate) async fn connect_as(admin: &Admin<PostgresAccess>) -> Result<Client, DeployError> {
    let refused = match (connect(&admin.access).await, &admin.former) {
        (Err(fault), Some(former)) if is_refused(&fault) => former,
        (outcome, _) => return outcome,
    };
    let former = PostgresAccess {
        password: refused.clone(),
        ..admin.access.clone()
    };
    connect(&former).await
}

fn is_refused(fault: &DeployError) -> bool {
    matches!(fault, DeployError::Postgres { source, .. } if source.code() == Some(&SqlState::INVALID_PASSWORD))
}

/// Asks whether it answers.
pub(crate) async fn ping(superuser: &Admin<PostgresAccess>) -> Result<(), DeployError> {
    let client = connect_as(&in_no_database(superuser)).await?;
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

/// The digest of which roles there are, and what opens them.
pub(crate) fn roles_digest(secrets: &Secrets) -> String {
    let mut text = format!(
        "{ROLES_VERSION} {} {}",
        secrets.postgres_superuser.expose(),
        secrets.postgres_apply.expose()
    );
    for known in secrets.known() {
        for (game, service, password) in known.postgres_users() {
            text.push_str(&format!(" {} {}", known.service_user(game, service), password.expose()));
        }
    }
    digest_bytes(text.as_bytes())
}

/// Makes the database, the group roles, and the login roles of the games. A role that is not wanted any more may no longer
/// log in, and who is logged in with it is thrown out; a game's rows stay. Where former passwords end, so is whoever else
/// came in as superuser or owner.
pub(crate) async fn apply_roles(
    superuser: &Admin<PostgresAccess>,
    secrets: &Secrets,
    ends_admins: bool,
) -> Result<(), DeployError> {
    let client = connect_as(&in_no_database(superuser)).await?;
    let failed = || DeployError::postgres("make roles");
    let mut wanted = vec![
        format!(
            "ALTER ROLE {SUPERUSER} PASSWORD '{}';\n",
            secrets.postgres_superuser.expose()
        ),
        role_sql(APPLY_ROLE, "LOGIN NOINHERIT BYPASSRLS", Some(&secrets.postgres_apply)),
    ];
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
    let mut logins = vec![SUPERUSER.to_owned(), APPLY_ROLE.to_owned()];
    for known in secrets.known() {
        for (game, service, password) in known.postgres_users() {
            let role = known.service_user(game, service);
            client
                .batch_execute(&login_sql(&role, service, password))
                .await
                .map_err(failed())?;
            logins.push(role);
        }
    }
    end_other_logins(&client, &logins, ends_admins).await.map_err(failed())
}

async fn end_other_logins(client: &Client, logins: &[String], ends_admins: bool) -> Result<(), tokio_postgres::Error> {
    let gone = client
        .query(
            "SELECT quote_ident(rolname) FROM pg_roles WHERE rolcanlogin AND rolname <> ALL ($1)",
            &[&logins],
        )
        .await?;
    for role in gone.iter().map(|row| row.get::<_, String>(0)) {
        client.batch_execute(&format!("ALTER ROLE {role} NOLOGIN")).await?;
    }
    // Whoever came in before stays in otherwise.
    let admins = [SUPERUSER, APPLY_ROLE].map(str::to_owned).to_vec();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
               AND (usename LIKE '%/%' AND usename <> ALL ($1) OR $2 AND usename = ANY ($3))";
    client.query(end, &[&logins, &ends_admins, &admins]).await?;
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
