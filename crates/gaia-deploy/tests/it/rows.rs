//! Row-level security, attacked with every table, key and role that the catalog of a migrated database knows, so that
//! a new table is covered as soon as it exists.

use std::collections::BTreeSet;

use gaia_deploy::GameAccess;
use gaia_names::Service;
use tokio_postgres::{Client, error::SqlState};

use crate::stores::{Fixture, game, postgres, refusal, start};

const OURS: &str = "ours";
const THEIRS: &str = "theirs";
/// What the rows of a game are made from: each value of a row follows from its seed.
const OUR_SEED: i32 = 1;
const THEIR_SEED: i32 = 2;
const NEW_SEED: i32 = 3;

/// Two games in one database with a row in every table.
struct TwoGames {
    fixture: Fixture,
    owner: Client,
    tables: Vec<Table>,
    ours: GameAccess,
    theirs: GameAccess,
}

/// A table of a service.
struct Table {
    /// With its schema.
    name: String,
    /// Each column with the SQL that makes its value from a seed.
    columns: Vec<(String, String)>,
    has_parent: bool,
}

impl Table {
    /// A row of a game. Its keys are those of its seed, and what it hangs on has the same.
    fn insert(&self, game: &str, seed: i32) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let value = |(name, value): &(String, String)| match name.as_str() {
            "game_id" => format!("'{game}'"),
            _ => value.replace("seed", &seed.to_string()),
        };
        let values: Vec<String> = self.columns.iter().map(value).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            values.join(", ")
        )
    }
}

impl TwoGames {
    async fn start() -> Self {
        let mut fixture = start().await;
        let ours = fixture.stores.provision_game(&game(OURS)).await.unwrap();
        let theirs = fixture.stores.provision_game(&game(THEIRS)).await.unwrap();
        let owner = postgres(&fixture.stores.owner()).await.unwrap();
        // Made-up rows need not make sense; what a column may hold is no part of what is tried here.
        for check in texts(&owner, "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint WHERE contype = 'c' AND connamespace IN ('auth'::regnamespace, 'chat'::regnamespace)").await {
            owner.batch_execute(&check).await.unwrap();
        }
        let tables = tables(&owner).await;
        for (game, seed) in [(OURS, OUR_SEED), (THEIRS, THEIR_SEED)] {
            fill(&owner, &tables, game, seed).await;
        }
        Self {
            fixture,
            owner,
            tables,
            ours,
            theirs,
        }
    }

    /// Each login role of our game.
    async fn roles(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for access in self.ours.postgres.values() {
            clients.push(postgres(access).await.unwrap());
        }
        assert_eq!(clients.len(), 2);
        clients
    }

    /// Everything that the other game has, as text.
    async fn their_rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for Table { name, .. } in &self.tables {
            let found = texts(
                &self.owner,
                &format!("SELECT t::text FROM {name} t WHERE game_id = '{THEIRS}'"),
            )
            .await;
            assert_eq!(found.len(), 1, "{name}");
            rows.extend(found);
        }
        rows
    }
}

async fn texts(client: &Client, query: &str) -> Vec<String> {
    let rows = client
        .query(query, &[])
        .await
        .unwrap_or_else(|fault| panic!("{query}: {fault:?}"));
    rows.iter().map(|row| row.get(0)).collect()
}

/// All tables of the services, with a way to fill each column that may not be empty, and each that is part of a key.
async fn tables(owner: &Client) -> Vec<Table> {
    let names = "SELECT c.oid::regclass::text, EXISTS (SELECT FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f') \
        FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('auth'::regnamespace, 'chat'::regnamespace)";
    let columns = "SELECT a.attname::text, CASE a.atttypid::regtype::text \
            WHEN 'uuid' THEN 'lpad(''seed'', 32, ''0'')::uuid' WHEN 'bytea' THEN 'decode(lpad(''seed'', 64, ''0''), ''hex'')' \
            WHEN 'text' THEN '''seed''' WHEN 'bigint' THEN 'seed' WHEN 'integer' THEN 'seed' WHEN 'boolean' THEN 'true' \
            WHEN 'jsonb' THEN '''{}''' WHEN 'timestamp with time zone' THEN 'now()' WHEN 'date' THEN 'current_date' WHEN 'text[]' THEN '''{}''' \
            ELSE format('(a value of type %s is missing in this test)', a.atttypid::regtype) END \
        FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped";
    let mut tables = Vec::new();
    for row in owner.query(names, &[]).await.unwrap() {
        let name: String = row.get(0);
        let columns = owner.query(columns, &[&name]).await.unwrap();
        let columns = columns.iter().map(|row| (row.get(0), row.get(1))).collect();
        tables.push(Table {
            name,
            columns,
            has_parent: row.get(1),
        });
    }
    assert!(tables.len() >= 9, "the catalog knows only {} tables", tables.len());
    tables
}

/// Gives a game a row in each table: those first that others hang on.
async fn fill(owner: &Client, tables: &[Table], game: &str, seed: i32) {
    let mut left: Vec<&Table> = tables.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        let mut orphans = Vec::new();
        for table in left {
            match owner.execute(&table.insert(game, seed), &[]).await {
                Err(fault) if fault.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => orphans.push(table),
                inserted => assert_eq!(inserted.unwrap(), 1, "{}", table.name),
            }
        }
        assert!(
            orphans.len() < before,
            "no row of {} has what it hangs on",
            orphans[0].name
        );
        left = orphans;
    }
}

/// Whether a role may do something with a table at all.
async fn may(client: &Client, right: &str, table: &str) -> bool {
    let asked = "SELECT has_schema_privilege(split_part($1, '.', 1), 'USAGE') AND has_table_privilege($1, $2)";
    client.query_one(asked, &[&table, &right]).await.unwrap().get(0)
}

/// Does something that is taken back, and says how many rows it met.
async fn met(client: &Client, statement: &str) -> Result<u64, tokio_postgres::Error> {
    client.batch_execute("BEGIN").await.unwrap();
    let outcome = client.execute(statement, &[]).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    outcome
}

#[tokio::test]
async fn no_role_of_a_game_meets_a_row_of_another_in_any_table() {
    let games = TwoGames::start().await;
    let before = games.their_rows().await;
    let mut reached = BTreeSet::new();
    for role in games.roles().await {
        for Table { name, .. } in &games.tables {
            if !may(&role, "SELECT", name).await {
                let refused = refusal(role.query(&format!("SELECT FROM {name}"), &[]).await);
                assert_eq!(refused, SqlState::INSUFFICIENT_PRIVILEGE, "{name}");
                continue;
            }
            reached.insert(name.clone());
            let seen = texts(&role, &format!("SELECT game_id FROM {name}")).await;
            assert_eq!(seen, [OURS], "{name}");
            let theirs = texts(&role, &format!("SELECT game_id FROM {name} WHERE game_id = '{THEIRS}'")).await;
            assert!(theirs.is_empty(), "{name}");
            changes_only_ours(&role, name).await;
        }
    }
    let all: BTreeSet<String> = games.tables.iter().map(|table| table.name.clone()).collect();
    assert_eq!(reached, all, "a table belongs to no service");
    assert_eq!(games.their_rows().await, before);
}

async fn changes_only_ours(role: &Client, table: &str) {
    let columns = format!(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped \
         AND has_column_privilege(attrelid, attnum, 'UPDATE')"
    );
    for column in texts(role, &columns).await {
        let update = format!("UPDATE {table} SET {column} = {column}");
        assert_eq!(met(role, &update).await.unwrap(), 1, "{table}.{column}");
        let theirs = met(role, &format!("{update} WHERE game_id = '{THEIRS}'")).await;
        assert_eq!(theirs.unwrap(), 0, "{table}.{column}");
        if column == "game_id" {
            let given_away = met(role, &format!("UPDATE {table} SET game_id = '{THEIRS}'")).await;
            assert_eq!(refusal(given_away), SqlState::INSUFFICIENT_PRIVILEGE, "{table}");
        }
    }
    if may(role, "DELETE", table).await {
        let theirs = met(role, &format!("DELETE FROM {table} WHERE game_id = '{THEIRS}'")).await;
        assert_eq!(theirs.unwrap(), 0, "{table}");
        // A row on which another hangs cannot go; then this game's own foreign key says so.
        match met(role, &format!("DELETE FROM {table}")).await {
            Err(fault) => assert_eq!(fault.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION), "{table}"),
            Ok(gone) => assert_eq!(gone, 1, "{table}"),
        }
    }
    for barred in [format!("TRUNCATE {table}"), format!("TRUNCATE {table} CASCADE")] {
        assert_eq!(
            refusal(met(role, &barred).await),
            SqlState::INSUFFICIENT_PRIVILEGE,
            "{barred}"
        );
    }
}

#[tokio::test]
async fn no_role_of_a_game_makes_a_row_of_another_or_hangs_one_on_it() {
    let games = TwoGames::start().await;
    let before = games.their_rows().await;
    let (mut forged, mut hung) = (0, 0);
    for role in games.roles().await {
        for table in &games.tables {
            if !may(&role, "INSERT", &table.name).await {
                continue;
            }
            for seed in [THEIR_SEED, NEW_SEED] {
                let refused = met(&role, &table.insert(THEIRS, seed)).await;
                assert_eq!(refusal(refused), SqlState::INSUFFICIENT_PRIVILEGE, "{}", table.name);
            }
            forged += 1;
            // A row of ours with their keys: free where nothing has to be there already, as nobody may even learn that
            // they have such a row; and an orphan where it would hang on theirs.
            match met(&role, &table.insert(OURS, THEIR_SEED)).await {
                Ok(inserted) => assert!(inserted == 1 && !table.has_parent, "{}", table.name),
                Err(fault) => {
                    assert!(table.has_parent, "{}: {fault:?}", table.name);
                    assert_eq!(fault.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION), "{}", table.name);
                    hung += 1;
                }
            }
            // Onto a row that both sides would have to share.
            let keys = "ON CONFLICT DO NOTHING";
            let refused = met(&role, &format!("{} {keys}", table.insert(THEIRS, THEIR_SEED))).await;
            assert_eq!(refusal(refused), SqlState::INSUFFICIENT_PRIVILEGE, "{}", table.name);
        }
    }
    assert_eq!(forged, games.tables.len());
    assert_eq!(hung, games.tables.iter().filter(|table| table.has_parent).count());
    assert_eq!(games.their_rows().await, before);
}

#[tokio::test]
async fn no_role_of_a_game_becomes_another_or_sets_its_filter_aside() {
    let games = TwoGames::start().await;
    let them = postgres(&games.theirs.postgres[&Service::Chat]).await.unwrap();
    let their_process = texts(&them, "SELECT pg_backend_pid()::text").await.remove(0);
    let all = "SELECT rolname::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'";
    let roles = texts(&games.owner, all).await;
    assert!(roles.len() >= 8, "{roles:?}");
    for client in games.roles().await {
        let own = texts(&client, "SELECT current_user::text").await.remove(0);
        let group = format!("gaia_{}", own.split_once('/').unwrap().1);
        for other in roles.iter().filter(|other| **other != own && **other != group) {
            for statement in ["SET ROLE", "SET SESSION AUTHORIZATION", "GRANT"] {
                let barred = match statement {
                    "GRANT" => format!("GRANT \"{other}\" TO \"{own}\""),
                    _ => format!("{statement} \"{other}\""),
                };
                assert_eq!(
                    refusal(client.batch_execute(&barred).await),
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    "{own}: {barred}"
                );
            }
        }
        for barred in [
            format!("ALTER ROLE \"{own}\" BYPASSRLS"),
            format!("ALTER ROLE \"{THEIRS}/chat\" RENAME TO \"{OURS}/more\""),
            format!("CREATE ROLE \"{THEIRS}/more\""),
            format!("SELECT pg_terminate_backend({their_process})"),
            format!("SELECT pg_cancel_backend({their_process})"),
            "SET session_replication_role = replica".to_owned(),
            "LOAD 'auto_explain'".to_owned(),
        ] {
            let refused = refusal(client.batch_execute(&barred).await);
            assert_eq!(refused, SqlState::INSUFFICIENT_PRIVILEGE, "{own}: {barred}");
        }
        let other_words = format!("SELECT query FROM pg_stat_activity WHERE pid = {their_process}");
        assert_eq!(texts(&client, &other_words).await, ["<insufficient privilege>"]);
        without_the_filter(&client, &games.tables, &group).await;
    }
}

/// Whoever sets the filter aside gets an error in the place of rows, and a service's group has none.
async fn without_the_filter(client: &Client, tables: &[Table], group: &str) {
    for Table { name, .. } in tables {
        if !may(client, "SELECT", name).await {
            continue;
        }
        client.batch_execute("SET row_security = off").await.unwrap();
        let refused = client.query(&format!("SELECT game_id FROM {name}"), &[]).await;
        assert_eq!(refusal(refused), SqlState::INSUFFICIENT_PRIVILEGE, "{name}");
        client.batch_execute("RESET row_security").await.unwrap();
        client.batch_execute(&format!("SET ROLE {group}")).await.unwrap();
        assert!(
            texts(client, &format!("SELECT game_id FROM {name}")).await.is_empty(),
            "{name}"
        );
        client.batch_execute("RESET ROLE").await.unwrap();
        assert_eq!(
            texts(client, &format!("SELECT game_id FROM {name}")).await,
            [OURS],
            "{name}"
        );
    }
}

/// What must not be in the catalog, each with a query that finds it.
const FAULTS: &[(&str, &str)] = &[
    (
        "a table without forced row-level security",
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace IN ('auth'::regnamespace, \
         'chat'::regnamespace) AND NOT (relrowsecurity AND relforcerowsecurity)",
    ),
    (
        "a policy that is not for all and everybody, or lets another game in",
        "SELECT c.oid::regclass::text FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid WHERE c.relkind IN ('r', 'p') \
         AND c.relnamespace IN ('auth'::regnamespace, 'chat'::regnamespace) AND (p.polcmd <> '*' OR p.polroles <> '{0}' OR \
         pg_get_expr(p.polqual, c.oid) <> '(game_id = gaia.current_game())' OR pg_get_expr(p.polwithcheck, c.oid) <> \
         '(game_id = gaia.current_game())') IS NOT FALSE",
    ),
    (
        "a primary or unique key without the game",
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace IN \
         ('auth'::regnamespace, 'chat'::regnamespace) AND i.indisunique AND NOT EXISTS (SELECT FROM \
         generate_series(1, i.indnkeyatts) k WHERE pg_get_indexdef(i.indexrelid, k, true) = 'game_id')",
    ),
    (
        "a foreign key that does not tie the game to the game",
        "SELECT f.conname::text FROM pg_constraint f WHERE f.contype = 'f' AND pg_get_constraintdef(f.oid) NOT LIKE \
         'FOREIGN KEY (game_id, %) REFERENCES %(game_id, %)%'",
    ),
    (
        "an index that does not begin with the game",
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace IN \
         ('auth'::regnamespace, 'chat'::regnamespace) AND pg_get_indexdef(i.indexrelid, 1, true) <> 'game_id'",
    ),
    (
        "a role of a service that may more than its part",
        "SELECT rolname::text FROM pg_roles WHERE (rolname LIKE '%/%' OR rolname IN ('gaia_auth', 'gaia_chat')) AND (rolsuper OR \
         rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)",
    ),
    (
        "something that a service's role owns",
        "SELECT r.rolname::text FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid WHERE d.refclassid = 'pg_authid'::regclass \
         AND d.deptype = 'o' AND (r.rolname LIKE '%/%' OR r.rolname IN ('gaia_auth', 'gaia_chat'))",
    ),
    (
        "a role that is more than its own service",
        "SELECT m.rolname::text FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid \
         WHERE m.rolname NOT LIKE 'pg\\_%' AND (g.rolname <> 'gaia_' || split_part(m.rolname, '/', 2) OR a.admin_option)",
    ),
    (
        "a view, a sequence or a table without a filter that a service may use",
        "SELECT c.oid::regclass::text FROM pg_class c, unnest(ARRAY['gaia_auth', 'gaia_chat', 'ours/auth', 'ours/chat']) r WHERE \
         c.relnamespace IN ('auth'::regnamespace, 'chat'::regnamespace, 'gaia'::regnamespace) AND (c.relkind = 'S' AND \
         has_sequence_privilege(r, c.oid, 'USAGE, SELECT, UPDATE') OR c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT \
         c.relforcerowsecurity AND has_table_privilege(r, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'))",
    ),
    (
        "a table that a service may truncate, refer to or put triggers on",
        "SELECT c.oid::regclass::text FROM pg_class c, unnest(ARRAY['gaia_auth', 'gaia_chat', 'ours/auth', 'ours/chat']) r WHERE \
         c.relnamespace IN ('auth'::regnamespace, 'chat'::regnamespace) AND c.relkind IN ('r', 'p') AND \
         has_table_privilege(r, c.oid, 'TRUNCATE, REFERENCES, TRIGGER')",
    ),
    (
        "a function that runs as somebody else",
        "SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND pronamespace IN ('auth'::regnamespace, \
         'chat'::regnamespace, 'gaia'::regnamespace)",
    ),
];

#[tokio::test]
async fn the_catalog_holds_nothing_that_lets_one_game_near_another() {
    let games = TwoGames::start().await;
    for (what, query) in FAULTS {
        let found = texts(&games.owner, query).await;
        assert!(found.is_empty(), "{what}: {found:?}");
    }
    // Each query finds what it looks for, so that its silence means something.
    let superuser = postgres(&games.fixture.stores.superuser()).await.unwrap();
    superuser.batch_execute(SPOILED).await.unwrap();
    for (what, query) in FAULTS {
        assert!(!texts(&superuser, query).await.is_empty(), "nothing finds {what}");
    }
}

/// One of each fault.
const SPOILED: &str = "
    CREATE TABLE chat.open (game_id text NOT NULL, id int PRIMARY KEY, other int REFERENCES chat.open (id));
    CREATE SEQUENCE chat.numbers;
    GRANT SELECT ON chat.open TO \"ours/chat\";
    GRANT TRUNCATE ON chat.turns TO gaia_chat;
    ALTER ROLE \"ours/chat\" CREATEDB;
    ALTER TABLE chat.open OWNER TO \"ours/chat\";
    GRANT gaia_auth TO \"ours/chat\";
    CREATE FUNCTION gaia.as_owner() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';";
