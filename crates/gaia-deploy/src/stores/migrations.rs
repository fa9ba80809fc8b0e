//! What Postgres holds, step by step: forward only, each in a transaction of its own, remembered with its checksum.

use gaia_protocol::settings::PostgresAccess;
use tokio_postgres::{Client, Transaction};

use super::{addresses::Admin, postgres};
use crate::{DeployError, blueprint::digest_bytes};

/// One file of `migrations/<set>/<name>.sql`. A set is a schema and belongs to one service, or to all (`gaia`).
struct Migration {
    set: &'static str,
    name: &'static str,
    sql: &'static str,
}

/// All of them, by set and name; `build.rs` lists the folder.
const ALL: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Keeps two from migrating at the same time. Any number does that nobody else takes in this database.
const LOCK: i64 = 0x6761_6961;

/// The digest of all migrations.
pub(crate) fn digest() -> String {
    let all: Vec<String> = ALL
        .iter()
        .map(|one| format!("{}/{} {}", one.set, one.name, checksum(one)))
        .collect();
    digest_bytes(all.join("\n").as_bytes())
}

/// Brings the database to what this version of Gaia needs.
pub(crate) async fn migrate(owner: &Admin<PostgresAccess>) -> Result<(), DeployError> {
    let mut client = postgres::connect_as(owner).await?;
    let lock = format!(
        "SELECT pg_advisory_lock({LOCK});\nCREATE SCHEMA IF NOT EXISTS gaia;\n\
         CREATE TABLE IF NOT EXISTS gaia.migrations (set_name text, name text, checksum text NOT NULL, \
         applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (set_name, name));\n"
    );
    // The lock ends with the connection, whatever happens.
    client
        .batch_execute(&lock)
        .await
        .map_err(DeployError::postgres("prepare for migrations"))?;
    refuse_unknown(&client).await?;
    for migration in ALL {
        apply(&mut client, migration).await?;
    }
    refuse_open_tables(&client).await
}

async fn apply(client: &mut Client, migration: &Migration) -> Result<(), DeployError> {
    let Migration { set, name, sql } = migration;
    let failed = || DeployError::postgres(format!("carry out migration {set}/{name}"));
    let transaction = client.transaction().await.map_err(failed())?;
    let found = transaction
        .query_opt(
            "SELECT checksum FROM gaia.migrations WHERE set_name = $1 AND name = $2",
            &[set, name],
        )
        .await
        .map_err(failed())?;
    match found.map(|row| row.get::<_, String>(0)) {
        Some(known) if known == checksum(migration) => return Ok(()),
        Some(_) => {
            return Err(DeployError::Migration {
                set,
                name: (*name).to_owned(),
                fault: "was changed after it was applied",
            });
        }
        None => {}
    }
    let prepared = format!("CREATE SCHEMA IF NOT EXISTS {set};\nSET LOCAL search_path = {set};\n");
    transaction.batch_execute(&prepared).await.map_err(failed())?;
    transaction.batch_execute(sql).await.map_err(failed())?;
    record(&transaction, migration).await.map_err(failed())?;
    transaction.commit().await.map_err(failed())
}

async fn record(transaction: &Transaction<'_>, migration: &Migration) -> Result<u64, tokio_postgres::Error> {
    let insert = "INSERT INTO gaia.migrations (set_name, name, checksum) VALUES ($1, $2, $3)";
    transaction
        .execute(insert, &[&migration.set, &migration.name, &checksum(migration)])
        .await
}

/// A database that a newer Gaia has migrated is not for this one.
async fn refuse_unknown(client: &Client) -> Result<(), DeployError> {
    let rows = client.query("SELECT set_name, name FROM gaia.migrations", &[]).await;
    for row in rows.map_err(DeployError::postgres("read which migrations were applied"))? {
        let (set, name): (String, String) = (row.get(0), row.get(1));
        if !ALL.iter().any(|known| known.set == set && known.name == name) {
            let fault = "was applied by a newer version of Gaia and is not known here";
            let set = ["gaia", "auth", "chat"]
                .into_iter()
                .find(|known| *known == set)
                .unwrap_or("unknown");
            return Err(DeployError::Migration { set, name, fault });
        }
    }
    Ok(())
}

/// A table that a service can see and that does not keep games apart is a fault of ours; it must not go into use.
async fn refuse_open_tables(client: &Client) -> Result<(), DeployError> {
    let open = client.query_opt("SELECT name FROM gaia.open_tables LIMIT 1", &[]).await;
    match open.map_err(DeployError::postgres("look for tables that do not keep games apart"))? {
        None => Ok(()),
        Some(row) => Err(DeployError::Migration {
            set: "gaia",
            name: row.get(0),
            fault: "does not keep games apart: its migration must call gaia.keep_apart",
        }),
    }
}

fn checksum(migration: &Migration) -> String {
    digest_bytes(migration.sql.as_bytes())
}
