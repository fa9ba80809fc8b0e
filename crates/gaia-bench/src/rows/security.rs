//! What row-level security costs on the hot path.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use gaia_names::Service;
use gaia_protocol::settings::PostgresAccess;
use gaia_testkit::TestGame;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{client::spawn, table::Measured};

const PLAYERS: u128 = 10_000;
const CLIENTS: u128 = 4;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 4;

/// Reads a player's newest conversations as the service does, and as an owner who is bound by no policy and names the
/// game in the query. Rounds alternate, so that a change of the machine's mood hits both.
pub(crate) async fn row_level() -> Result<Measured> {
    let game = TestGame::start_alone().await;
    let owner = game.owner().await;
    fill(&owner, game.id.as_str()).await?;
    let bound = connect_all(&game.access.postgres[&Service::Chat]).await?;
    let free = connect_all(&game.owner_access().await).await?;
    let (mut with, mut without) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        without += round(&free, Some(game.id.as_str())).await?;
        with += round(&bound, None).await?;
    }
    let cost = (1.0 - with / without) * 100.0;
    Ok(Measured {
        target: "< 8 %",
        seen: format!(
            "{cost:.1} % ({:.0}/s with the policy, {:.0}/s without)",
            with / 4.0,
            without / 4.0
        ),
        reached: Some(cost < 8.0),
    })
}

/// A neighbour's rows lie among the game's own: the policy must have something to keep apart.
async fn fill(owner: &Client, game: &str) -> Result<()> {
    let rows = "
        INSERT INTO chat.conversations (game_id, id, player_id, persona, updated_at)
        SELECT CASE WHEN n % 2 = 0 THEN $1 ELSE 'neighbour' END, gen_random_uuid(),
            lpad(to_hex(n / 2 % $2::int), 32, '0')::uuid, 'guide', now() - n * interval '1 s'
        FROM generate_series(1, 400000) AS n";
    owner.execute(rows, &[&game, &i32::try_from(PLAYERS)?]).await?;
    owner.batch_execute("VACUUM ANALYZE chat.conversations").await?;
    Ok(())
}

async fn connect_all(access: &PostgresAccess) -> Result<Vec<Client>> {
    try_join_all((0..CLIENTS).map(|_| connect(access))).await
}

async fn connect(access: &PostgresAccess) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&access.host)
        .port(access.port)
        .dbname(&access.database)
        .user(&access.user);
    let (client, connection) = config.password(access.password.expose()).connect(NoTls).await?;
    spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

/// Queries per second of all clients together.
async fn round(clients: &[Client], game: Option<&str>) -> Result<f64> {
    let named = if game.is_some() { "game_id = $2 AND" } else { "" };
    let query = format!(
        "SELECT id, persona, title, turns, created_at, updated_at FROM chat.conversations
         WHERE {named} player_id = $1 ORDER BY updated_at DESC, id DESC LIMIT 20"
    );
    let began = Instant::now();
    let counts = clients.iter().enumerate().map(async |(client_number, client)| {
        let statement = client.prepare(&query).await?;
        let mut count = 0_u32;
        while began.elapsed() < ROUND {
            let player = Uuid::from_u128((u128::from(count) * CLIENTS + client_number as u128) % PLAYERS);
            let rows = match game {
                Some(game) => client.query(&statement, &[&player, &game]).await?,
                None => client.query(&statement, &[&player]).await?,
            };
            rows.first().context("a player without conversations")?;
            count += 1;
        }
        anyhow::Ok(f64::from(count))
    });
    let counts = try_join_all(counts).await?;
    Ok(counts.iter().sum::<f64>() / began.elapsed().as_secs_f64())
}
