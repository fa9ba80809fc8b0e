//! Private stores: who may do what in them, and who may not.

use std::time::Duration;

use futures::StreamExt;
use gaia_deploy::{DeployError, GameAccess, local::private_stores::Stores};
use gaia_names::{GameId, Secret, Service, Store};
use gaia_protocol::settings::{NatsAccess, PostgresAccess, RedisAccess};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, error::SqlState};

pub(crate) struct Fixture {
    pub(crate) stores: Stores,
    _folder: TempDir,
}

pub(crate) async fn start() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::start(folder.path()).await.unwrap();
    Fixture {
        stores,
        _folder: folder,
    }
}

pub(crate) fn game(name: &str) -> GameId {
    name.parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test has no tasks to wait for")]
pub(crate) async fn postgres(access: &PostgresAccess) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&access.host)
        .port(access.port)
        .dbname(&access.database);
    config.user(&access.user).password(access.password.expose());
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn redis(access: &RedisAccess) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let socket = access.address.strip_prefix("unix:").unwrap();
    let url = format!(
        "redis+unix://{socket}?user={}&pass={}",
        access.user,
        access.password.expose()
    );
    redis::Client::open(url)?.get_multiplexed_async_connection().await
}

async fn nats(access: &NatsAccess, service: Service) -> Result<async_nats::Client, async_nats::ConnectError> {
    async_nats::ConnectOptions::with_user_and_password(access.user.clone(), access.password.expose().to_owned())
        .custom_inbox_prefix(gaia_protocol::subjects::inbox_prefix(service))
        .connect(&access.address)
        .await
}

pub(crate) fn refusal(outcome: Result<impl Sized, tokio_postgres::Error>) -> SqlState {
    outcome
        .err()
        .expect("it was allowed")
        .code()
        .expect("Postgres did not refuse")
        .clone()
}

#[tokio::test]
async fn stores_survive_a_kill_and_leave_nothing_running() {
    let mut fixture = start().await;
    let access = fixture.stores.provision_game(&game("kos")).await.unwrap();
    let pids: Vec<u32> = Store::ALL
        .iter()
        .map(|store| fixture.stores.pid(*store).unwrap())
        .collect();
    for store in Store::ALL {
        fixture.stores.kill(*store).await.unwrap();
        fixture.stores.start_again(*store).await.unwrap();
    }
    assert!(postgres(&access.postgres[&Service::Chat]).await.is_ok());
    assert!(redis(&access.redis).await.is_ok());
    assert!(nats(&access.nats[&Service::Chat], Service::Chat).await.is_ok());
    let later: Vec<u32> = Store::ALL
        .iter()
        .map(|store| fixture.stores.pid(*store).unwrap())
        .collect();
    assert!(pids.iter().all(|pid| !later.contains(pid)));
    fixture.stores.stop().await.unwrap();
    for pid in later {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}/exe")).exists(),
            "{pid} still runs"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_too_deep_for_a_socket_is_refused_and_names_gaia_home() {
    let folder = tempfile::tempdir().unwrap();
    let fault = Stores::start(&folder.path().join("d".repeat(90))).await.unwrap_err();
    assert!(
        matches!(fault, DeployError::SocketPath { .. }) && fault.to_string().contains("GAIA_HOME"),
        "{fault}"
    );
}

#[tokio::test]
async fn no_credential_of_one_game_opens_anything_of_another() {
    let mut fixture = start().await;
    let ours = fixture.stores.provision_game(&game("ours")).await.unwrap();
    let theirs = fixture.stores.provision_game(&game("theirs")).await.unwrap();
    let mut secrets: Vec<Secret> = all_secrets(&ours);
    secrets.push(Secret::new(""));
    secrets.push(Secret::new("postgres"));
    for secret in secrets {
        for access in theirs
            .postgres
            .values()
            .chain([&fixture.stores.superuser(), &fixture.stores.owner()])
        {
            let tried = postgres(&PostgresAccess {
                password: secret.clone(),
                ..access.clone()
            })
            .await;
            assert!(tried.is_err(), "{} was opened", access.user);
        }
        for access in [&theirs.redis, &fixture.stores.redis_owner()] {
            let tried = redis(&RedisAccess {
                password: secret.clone(),
                ..access.clone()
            })
            .await;
            assert!(tried.is_err(), "{} was opened", access.user);
        }
        for (service, access) in &theirs.nats {
            let tried = nats(
                &NatsAccess {
                    password: secret.clone(),
                    ..access.clone()
                },
                *service,
            )
            .await;
            assert!(tried.is_err(), "{} was opened", access.user);
        }
    }
    // And each opens what it is for, so that the refusals above mean something.
    for (service, access) in &ours.nats {
        assert!(nats(access, *service).await.is_ok());
    }
    for access in ours.postgres.values() {
        assert!(postgres(access).await.is_ok());
    }
    assert!(redis(&ours.redis).await.is_ok());
}

fn all_secrets(access: &GameAccess) -> Vec<Secret> {
    let postgres = access.postgres.values().map(|access| access.password.clone());
    let nats = access.nats.values().map(|access| access.password.clone());
    postgres.chain(nats).chain([access.redis.password.clone()]).collect()
}

#[tokio::test]
async fn redis_gives_a_game_its_own_keys_and_nothing_that_names_none() {
    let mut fixture = start().await;
    let ours = fixture.stores.provision_game(&game("ours")).await.unwrap();
    fixture.stores.provision_game(&game("ours-two")).await.unwrap();
    let mut connection = redis(&ours.redis).await.unwrap();
    let mut ask = async |words: &str| {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command
            .query_async::<redis::Value>(&mut connection)
            .await
            .map_err(|fault| fault.code().map(str::to_owned))
    };
    for fine in [
        "SET game:ours:a 1",
        "RPUSH game:ours:l x",
        "EVAL return{redis.call('incr',KEYS[1])} 1 game:ours:n",
    ] {
        assert!(ask(fine).await.is_ok(), "{fine}");
    }
    let barred = "GET game:ours-two:a|SET game:oursx 1|KEYS *|SCAN 0|RANDOMKEY|FLUSHALL|FLUSHDB|SWAPDB 0 1|CONFIG GET *|\
         ACL LIST|ACL WHOAMI|MONITOR|CLIENT LIST|CLIENT KILL ID 3|DEBUG SLEEP 0|SAVE|SHUTDOWN|REPLICAOF NO ONE|SCRIPT FLUSH|\
         FUNCTION LIST|PUBLISH game:ours-two:x y|RENAME game:ours:a game:ours-two:a|COPY game:ours:a game:ours-two:a|INFO|\
         DBSIZE|MOVE game:ours:a 1|SELECT 1|OBJECT HELP|EVAL return{redis.call('get','game:ours-two:a')} 0|\
         EVAL return{redis.call('keys','*')} 0";
    for barred in barred.split('|') {
        let outcome = ask(barred).await;
        assert!(outcome.is_err(), "{barred} was allowed: {outcome:?}");
    }
}

#[tokio::test]
async fn nats_lets_a_service_say_and_hear_only_its_part() {
    let mut fixture = start().await;
    let ours = fixture.stores.provision_game(&game("ours")).await.unwrap();
    let theirs = fixture.stores.provision_game(&game("theirs")).await.unwrap();
    let gateway = User::connect(&ours, Service::Gateway).await;
    let auth = User::connect(&ours, Service::Auth).await;
    let chat = User::connect(&ours, Service::Chat).await;
    let foreign = User::connect(&theirs, Service::Chat).await;

    let heard = hears(&auth, "gaia.ours.auth.>", &gateway, "gaia.ours.auth.x.v1").await;
    assert!(heard, "auth did not hear the gateway");
    assert!(
        hears(&gateway, "_INBOX.gateway.>", &chat, "_INBOX.gateway.a.b").await,
        "chat could not answer"
    );
    assert!(hears(&chat, "gaia.ours.chat.>", &auth, "gaia.ours.chat.player.forget.v1").await);
    assert!(hears(&chat, "gaia.ours.chat.>", &chat, "gaia.ours.chat.bundles").await);

    assert!(
        !hears(&chat, "_INBOX.gateway.>", &auth, "_INBOX.gateway.a.b").await,
        "chat read the gateway's inbox"
    );
    assert!(
        !hears(&auth, "gaia.ours.chat.>", &gateway, "gaia.ours.chat.x.v1").await,
        "auth heard chat's questions"
    );
    assert!(
        !hears(&chat, "gaia.ours.chat.>", &auth, "gaia.ours.chat.x.v1").await,
        "auth asked chat"
    );
    assert!(
        !hears(&chat, ">", &gateway, "gaia.ours.chat.x.v1").await,
        "chat heard everything"
    );
    assert!(
        !hears(&foreign, "gaia.ours.chat.>", &gateway, "gaia.ours.chat.x.v1").await,
        "another game heard ours"
    );
    assert!(
        !hears(&chat, "gaia.ours.chat.>", &foreign, "gaia.ours.chat.bundles").await,
        "another game spoke in ours"
    );
    assert!(
        async_nats::connect(&ours.nats[&Service::Chat].address).await.is_err(),
        "nobody in particular was let in"
    );
}

/// Whether what one publishes reaches the other's subscription. Silence counts only after the server has answered
/// both to something that they sent later.
async fn hears(listener: &User, on: &str, speaker: &User, to: &str) -> bool {
    let mut subscription = listener.client.subscribe(on.to_owned()).await.unwrap();
    settle(listener).await;
    speaker.client.publish(to.to_owned(), "x".into()).await.unwrap();
    settle(speaker).await;
    let listen = async {
        while let Some(message) = subscription.next().await {
            if message.payload == "x" {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(Duration::from_millis(300), listen)
        .await
        .unwrap_or(false)
}

/// A round trip to the server: it says at once that nobody listens, to whoever may ask there.
async fn settle(user: &User) {
    let ask = user.client.request(user.may_ask.clone(), "settle".into());
    // Where somebody listens after all there is no answer, but the question has arrived.
    let _ = tokio::time::timeout(Duration::from_secs(1), ask).await;
}

/// Somebody on NATS, and a subject on which they may ask.
struct User {
    client: async_nats::Client,
    may_ask: String,
}

impl User {
    async fn connect(access: &GameAccess, service: Service) -> Self {
        let client = nats(&access.nats[&service], service).await.unwrap();
        let may_ask = match service {
            Service::Gateway => format!("gaia.{}.auth.nobody", access.game),
            Service::Auth => "_INBOX.chat.nobody".to_owned(),
            Service::Chat => "_INBOX.auth.nobody".to_owned(),
        };
        Self { client, may_ask }
    }
}

const TABLES: &str = "
    CREATE TABLE chat.lamps (game_id text NOT NULL DEFAULT gaia.current_game(), room int, id int, light text,
        PRIMARY KEY (game_id, room, id));
    CALL gaia.keep_apart('chat.lamps');
    GRANT SELECT, INSERT, UPDATE, DELETE ON chat.lamps TO gaia_chat;";

/// What would lead past row-level security, were it allowed.
const BARRED: &[&str] = &[
    "SET ROLE gaia_apply",
    "SET ROLE \"theirs/chat\"",
    "SET SESSION AUTHORIZATION \"theirs/chat\"",
    "ALTER TABLE chat.lamps DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE chat.lamps NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY keep_apart ON chat.lamps",
    "TRUNCATE chat.lamps",
    "CREATE TABLE chat.mine (a int)",
    "CREATE TABLE public.mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE OR REPLACE FUNCTION gaia.current_game() RETURNS text LANGUAGE sql AS $$ SELECT 'theirs' $$",
    "SELECT * FROM gaia.migrations",
    "SELECT * FROM auth.players",
    "COPY chat.lamps TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT passwd FROM pg_shadow",
];

#[tokio::test]
async fn rows_of_two_games_are_apart_whatever_is_asked() {
    let mut fixture = start().await;
    let ours = fixture.stores.provision_game(&game("ours")).await.unwrap();
    let theirs = fixture.stores.provision_game(&game("theirs")).await.unwrap();
    postgres(&fixture.stores.owner())
        .await
        .unwrap()
        .batch_execute(TABLES)
        .await
        .unwrap();
    let us = postgres(&ours.postgres[&Service::Chat]).await.unwrap();
    let them = postgres(&theirs.postgres[&Service::Chat]).await.unwrap();
    for (client, light) in [(&us, "red"), (&them, "green")] {
        client
            .batch_execute(&format!("INSERT INTO lamps (room, id, light) VALUES (1, 1, '{light}')"))
            .await
            .unwrap();
    }
    let rows = us.query("SELECT game_id, light FROM lamps", &[]).await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].get::<_, String>(0), rows[0].get::<_, String>(1)),
        (1, "ours".into(), "red".into())
    );
    assert_eq!(
        us.execute("DELETE FROM lamps WHERE light = 'green'", &[])
            .await
            .unwrap(),
        0
    );
    let forged = "INSERT INTO lamps (game_id, room, id) VALUES ('theirs', 2, 2)";
    assert_eq!(refusal(us.execute(forged, &[]).await), SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(
        refusal(us.execute("UPDATE lamps SET game_id = 'theirs'", &[]).await),
        SqlState::INSUFFICIENT_PRIVILEGE
    );
    for barred in BARRED {
        let outcome = us.batch_execute(barred).await;
        assert!(outcome.is_err(), "{barred} was allowed");
    }
    us.batch_execute("SET ROLE gaia_chat").await.unwrap();
    assert!(
        us.query("SELECT * FROM lamps", &[]).await.unwrap().is_empty(),
        "the group role saw a row"
    );
    let auth = postgres(&ours.postgres[&Service::Auth]).await.unwrap();
    assert_eq!(
        refusal(auth.query("SELECT * FROM chat.lamps", &[]).await),
        SqlState::INSUFFICIENT_PRIVILEGE
    );
}

#[tokio::test]
async fn the_row_filter_is_an_index_condition() {
    let mut fixture = start().await;
    let ours = fixture.stores.provision_game(&game("ours")).await.unwrap();
    let owner = postgres(&fixture.stores.owner()).await.unwrap();
    owner.batch_execute(TABLES).await.unwrap();
    let fill = "INSERT INTO chat.lamps (game_id, room, id) SELECT 'game-' || g, r, i
        FROM generate_series(1, 20) g, generate_series(1, 20) r, generate_series(1, 50) i; ANALYZE chat.lamps;";
    owner.batch_execute(fill).await.unwrap();
    let us = postgres(&ours.postgres[&Service::Chat]).await.unwrap();
    let rows = us
        .query(
            "EXPLAIN SELECT id FROM lamps WHERE room = 7 ORDER BY id DESC LIMIT 10",
            &[],
        )
        .await
        .unwrap();
    let plan = rows
        .iter()
        .map(|row| row.get::<_, String>(0))
        .collect::<Vec<_>>()
        .join("\n");
    let condition = plan
        .lines()
        .find(|line| line.contains("Index Cond"))
        .unwrap_or_default();
    assert!(
        condition.contains("game_id") && condition.contains("room") && !plan.contains("Filter"),
        "{plan}"
    );
}

#[tokio::test]
async fn a_table_whose_keys_lack_the_game_is_refused() {
    let fixture = start().await;
    let owner = postgres(&fixture.stores.owner()).await.unwrap();
    owner.batch_execute(TABLES).await.unwrap();
    let game_id = "game_id text NOT NULL DEFAULT gaia.current_game()";
    for (columns, says) in [
        ("id int PRIMARY KEY".to_owned(), "needs a column"),
        ("game_id text, id int".to_owned(), "needs a column"),
        (format!("{game_id}, id int PRIMARY KEY"), "t_pkey"),
        (
            format!("{game_id}, id int, name text UNIQUE, PRIMARY KEY (game_id, id)"),
            "t_name_key",
        ),
        (
            format!(
                "{game_id}, id int, other text, PRIMARY KEY (game_id, id), \
                 FOREIGN KEY (other, id, id) REFERENCES chat.lamps (game_id, room, id)"
            ),
            "fkey",
        ),
    ] {
        let sql = format!("BEGIN; CREATE TABLE chat.t ({columns}); CALL gaia.keep_apart('chat.t');");
        let fault = owner.batch_execute(&sql).await.unwrap_err();
        let message = fault.as_db_error().unwrap().message().to_owned();
        assert!(message.contains(says), "{columns}: {message}");
        owner.batch_execute("ROLLBACK").await.unwrap();
    }
    let open = owner.query("SELECT name FROM gaia.open_tables", &[]).await.unwrap();
    assert!(open.is_empty());
    owner
        .batch_execute("CREATE TABLE chat.forgotten (id int)")
        .await
        .unwrap();
    let open = owner.query("SELECT name FROM gaia.open_tables", &[]).await.unwrap();
    assert_eq!(open.len(), 1);
}
