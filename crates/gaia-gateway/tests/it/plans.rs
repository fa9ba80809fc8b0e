//! How Postgres carries out what the services ask: under row-level security every statement must find its rows by an
//! index on the game, also where one game has most of the rows and where many games share the tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use gaia_names::Store;
use gaia_protocol::settings::PostgresAccess;
use gaia_testkit::{ClusterOptions, TestCluster, Visitor, eventually_within};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::support::{admin, id, program};

/// More rows than this are not read to be thrown away.
const MOST_WASTED: u64 = 100;

/// What nobody waits for: `auth` goes through all sessions in the order of their ids, page by page, after Redis was lost.
const WALKS: [&str; 1] = ["SELECT id FROM auth.sessions WHERE ended_at > now()"];

/// Rows of a game with many players and of ten with fewer: what the planner knows of a grown cluster.
const GROWN: &str = "
    INSERT INTO auth.players (game_id, id, display_name)
        SELECT '{game}', gen_random_uuid(), 'Ada' FROM generate_series(1, 1000)
        UNION ALL SELECT 'game-' || g, gen_random_uuid(), 'Ada' FROM generate_series(1, 10) g, generate_series(1, 100);
    UPDATE auth.players SET email = id || '@example.org', email_key = id || '@example.org', password_hash = 'x'
        WHERE get_byte(uuid_send(id), 0) < 128;
    INSERT INTO auth.devices (game_id, device_hash, player_id) SELECT game_id, sha256(uuid_send(id)), id FROM auth.players;
    INSERT INTO auth.sessions (game_id, id, player_id, expires_at, ended_at)
        SELECT game_id, gen_random_uuid(), id, now() + random() * interval '30 days',
            CASE WHEN random() < 0.1 THEN now() - random() * interval '2 hours' END
        FROM auth.players, generate_series(1, 2);
    INSERT INTO auth.refresh_tokens (game_id, token_hash, session_id, used_at)
        SELECT game_id, sha256(uuid_send(id)), id, CASE WHEN random() < 0.5 THEN now() END FROM auth.sessions;
    INSERT INTO auth.deletions (game_id, player_id, next_try_at)
        SELECT game_id, gen_random_uuid(), now() + interval '1 day' FROM auth.players LIMIT 1000;
    INSERT INTO auth.api_keys (game_id, id, key_hash, hint, name, scopes, requests_per_minute)
        SELECT 'game-' || g, gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), 'gaia_', 'site', '{chat}', 60
        FROM generate_series(1, 10) g, generate_series(1, 40);
    INSERT INTO chat.conversations (game_id, id, player_id, persona, turns)
        SELECT game_id, gen_random_uuid(), id, 'guide', 5 FROM auth.players;
    INSERT INTO chat.turns (game_id, id, conversation_id, sequence, text, state, reply_text, reply_source, finished_at)
        SELECT game_id, gen_random_uuid(), id, n, 'Good evening', 'done', 'Welcome.', 'authored', now()
        FROM chat.conversations, generate_series(1, 5) n;
    INSERT INTO chat.usage (game_id, id, turn_id, player_id, persona, route, provider, model, input_tokens, output_tokens,
            is_estimated, milliseconds)
        SELECT t.game_id, gen_random_uuid(), t.id, c.player_id, 'guide', 'r', 'p', 'm', 1, 1, true, 1
        FROM chat.turns t JOIN chat.conversations c ON c.id = t.conversation_id AND c.game_id = t.game_id;
    INSERT INTO chat.reservations (game_id, id, turn_id, persona, route, provider, model, day, worst_micros, expires_at)
        SELECT 'game-' || g, gen_random_uuid(), gen_random_uuid(), 'guide', 'r', 'p', 'm', current_date, 1, now() + interval '1 h'
        FROM generate_series(1, 10) g, generate_series(1, 100);
    INSERT INTO chat.events (game_id, id, kind, key, data)
        SELECT 'game-' || g, gen_random_uuid(), 'k', n::text, '{}' FROM generate_series(1, 10) g, generate_series(1, 40) n;
    INSERT INTO chat.bundles (game_id, generation, bundle)
        SELECT 'game-' || g, n, '{}' FROM generate_series(1, 10) g, generate_series(0, 40) n;
    ANALYZE;";

/// Has Postgres write down the plan of every statement, and everybody connect anew to take note of it.
const EXPLAINED: &str = "
    LOAD 'auto_explain';
    ALTER SYSTEM SET session_preload_libraries = 'auto_explain';
    ALTER SYSTEM SET auto_explain.log_min_duration = 0;
    ALTER SYSTEM SET auto_explain.log_analyze = on;
    ALTER SYSTEM SET auto_explain.log_timing = off;
    ALTER SYSTEM SET auto_explain.log_triggers = off;
    ALTER SYSTEM SET auto_explain.log_nested_statements = on;
    ALTER SYSTEM SET log_line_prefix = '%u ';
    SELECT pg_reload_conf();
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE '%/%';";

/// What one statement was and how it was carried out.
struct Carried {
    statement: String,
    plan: Vec<String>,
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index_on_the_game() {
    let options = ClusterOptions {
        alone: true,
        ..ClusterOptions::default()
    };
    let cluster = TestCluster::start_with(options).await;
    let game = cluster.game.id.to_string();
    cluster
        .game
        .owner()
        .await
        .batch_execute(&GROWN.replace("{game}", &game))
        .await
        .unwrap();
    let superuser = superuser(&cluster.game.superuser_access().await).await;
    for one in EXPLAINED.split(';') {
        superuser.batch_execute(one).await.unwrap();
    }
    eventually_within(Duration::from_secs(20), "services have connected anew", async || {
        // What asks first on a connection that was ended may be refused.
        let mut visitor = Visitor::new(&cluster.gateway);
        let device = json!({ "device_id": "somebody-who-connects-anew" });
        let entered = visitor.post("/v1/players/guest", device).await;
        visitor.take_tokens(&entered.body);
        (visitor.get("/v1/conversations").await.status == 200).then_some(())
    })
    .await;
    everything_a_player_does(&cluster).await;
    everything_an_operator_does(&cluster).await;

    let carried = carried_out(
        &fs::read_to_string(cluster.game.log_of(Store::Postgres)).unwrap(),
        &game,
    );
    let mut read = BTreeSet::new();
    for (statement, plans) in &carried {
        for plan in plans {
            judge(statement, plan, &mut read);
        }
    }
    assert!(
        carried.len() >= 25,
        "only {} statements: {:#?}",
        carried.len(),
        carried.keys()
    );
    let tables = [
        "players",
        "devices",
        "sessions",
        "refresh_tokens",
        "api_keys",
        "conversations",
        "turns",
        "bundles",
    ];
    let missing: Vec<_> = tables.iter().filter(|table| !read.contains(**table)).collect();
    assert!(missing.is_empty(), "nothing was read of {missing:?}");
}

async fn everything_a_player_does(cluster: &TestCluster) {
    for _ in 0..3 {
        let mut player = cluster.visitor().await;
        drop(player.get("/v1/players/me").await.ok());
        drop(
            player
                .patch("/v1/players/me", json!({ "display_name": "Zoë" }))
                .await
                .ok(),
        );
        let conversation = player.start_conversation("guide").await;
        let path = format!("/v1/conversations/{conversation}");
        // More than chat keeps at hand, and as often as makes a prepared statement's plan a general one.
        for _ in 0..8 {
            let turn = player.say(&conversation, "Good evening, my name is Zoë").await.ok();
            drop(
                player
                    .get(&format!("{path}/turns/{}", turn["id"].as_str().unwrap()))
                    .await
                    .ok(),
            );
            drop(player.get(&format!("{path}/turns?limit=3")).await.ok());
            drop(player.get("/v1/conversations?limit=2").await.ok());
            drop(player.get(&path).await.ok());
        }
        cluster.game.empty_redis().await;
        drop(player.say(&conversation, "Good evening").await.ok());
        let email = format!("{}@example.org", id());
        let credentials = json!({ "email": email, "password": "lantern oil and beech" });
        let signed_up = player.post("/v1/players", credentials.clone()).await.ok();
        player.take_tokens(&signed_up);
        let mut elsewhere = cluster.stranger();
        elsewhere.take_tokens(&elsewhere.post("/v1/sessions", credentials).await.ok());
        let refresh = json!({ "refresh_token": elsewhere.refresh_token });
        elsewhere.take_tokens(&elsewhere.post("/v1/sessions/refresh", refresh).await.ok());
        assert_eq!(elsewhere.delete("/v1/sessions/current").await.status, 204);
        assert_eq!(player.delete(&path).await.status, 204);
        assert_eq!(player.delete("/v1/players/me").await.status, 204);
    }
}

async fn everything_an_operator_does(cluster: &TestCluster) {
    let (admin, game) = (admin(cluster), &cluster.game.id);
    drop(admin.get(&format!("/admin/v1/bundles/{game}")).await.ok());
    for name in ["website", "kiosk", "phone"] {
        let (program, key) = program(cluster, json!({ "name": name })).await;
        drop(program.get("/openai/v1/models").await.ok());
        drop(admin.get(&format!("/admin/v1/keys/{game}")).await.ok());
        assert_eq!(admin.delete(&format!("/admin/v1/keys/{game}/{key}")).await.status, 200);
    }
}

/// The plans that a game's services caused, by statement.
fn carried_out(log: &str, game: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut carried: Vec<Carried> = Vec::new();
    let mut is_ours = false;
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix('\t').filter(|_| is_ours) {
            let last = carried.last_mut().expect("an entry has begun");
            match rest.strip_prefix("Query Text: ") {
                Some(text) => last.statement = text.to_owned(),
                None if last.plan.is_empty() && !rest.contains("(cost=") => last.statement += rest,
                None => last.plan.push(rest.trim().to_owned()),
            }
        } else {
            is_ours = line.starts_with(&format!("{game}/")) && line.ends_with("plan:");
            if is_ours {
                carried.push(Carried {
                    statement: String::new(),
                    plan: Vec::new(),
                });
            }
        }
    }
    let mut by_statement: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for one in carried {
        let statement = one.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        by_statement.entry(statement).or_default().push(one.plan);
    }
    by_statement
}

/// Every table is reached by an index whose condition names the game, and hardly a row is read in vain.
fn judge(statement: &str, plan: &[String], read: &mut BTreeSet<String>) {
    let may_waste = WALKS.iter().any(|walk| statement.starts_with(walk));
    let whole = || format!("{statement}\n{}", plan.join("\n"));
    for (number, line) in plan.iter().enumerate() {
        let node = line.trim_start_matches("->").trim_start();
        assert!(!node.starts_with("Seq Scan"), "{}", whole());
        if node.starts_with("Index ") && node.contains(" Scan ") || node.starts_with("Bitmap Index Scan") {
            // What belongs to a node stands below it, up to the next one.
            let mut own = plan[number + 1..].iter().take_while(|line| !line.contains("(cost="));
            let condition = own.find(|line| line.starts_with("Index Cond: "));
            assert!(
                condition.is_some_and(|condition| condition.contains("(game_id = ")),
                "{line} in {}",
                whole()
            );
        }
        if node.contains("Scan") {
            let name = node.split(" on ").nth(1).and_then(|rest| rest.split(' ').next());
            read.extend(name.map(str::to_owned));
        }
        if let Some(wasted) = line.strip_prefix("Rows Removed by Filter: ").filter(|_| !may_waste) {
            assert!(wasted.parse::<u64>().unwrap() <= MOST_WASTED, "{}", whole());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no tasks to wait for")]
async fn superuser(access: &PostgresAccess) -> Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&access.host)
        .port(access.port)
        .dbname(&access.database);
    config.user(&access.user).password(access.password.expose());
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
