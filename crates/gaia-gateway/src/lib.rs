//! Where clients end: HTTP, SSE and WebSocket.
//!
//! One process serves the games of its settings, each on a port of its own with its own connections, so that the game is
//! known before anything is read. It holds no database: it asks `auth` and `chat` over NATS.

mod accept;
mod admin;
mod admission;
mod api;
mod api_keys;
mod asked;
mod caller;
mod documents;
mod edge;
mod extract;
mod game;
mod inputs;
mod listen;
mod openai;
mod patient;
mod problem;
mod rate;
mod realtime;
mod router;
mod routes;
mod seats;
mod tokens;
mod turns;

use std::{collections::BTreeMap, future::ready, net::SocketAddr, path::Path, process::ExitCode};

use gaia_names::{GameId, Service};
use gaia_protocol::settings::{GatewayGame, Settings};
use gaia_service::{
    Health, Tasks,
    bus::BusFault,
    ops,
    redis::RedisAddressFault,
    run::{self, Stopped},
};

pub use documents::{asyncapi, openapi};

use self::game::Game;

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayFault {
    /// The settings name no Redis.
    #[error("the settings of `{game}` name no redis")]
    Redis {
        /// Whose settings.
        game: GameId,
        /// What is wrong with them.
        #[source]
        source: RedisAddressFault,
    },
    /// NATS cannot be used.
    #[error("`{game}` cannot use nats")]
    Nats {
        /// Whose connection.
        game: GameId,
        /// What is in the way.
        #[source]
        source: BusFault,
    },
    /// A port cannot be had.
    #[error("cannot listen on {listen}: stop what listens there, or give another address")]
    Listen {
        /// What the settings say.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Health, metrics and the admin API.
    pub ops: SocketAddr,
    /// Each game's players.
    pub games: BTreeMap<GameId, SocketAddr>,
}

/// Runs the gateway until the process is told to stop.
pub async fn main(settings: &Path) -> ExitCode {
    let start = async |settings, tasks: &Tasks| start(settings, tasks).await.map(drop);
    run::run(Service::Gateway, settings, start).await
}

/// Starts the gateway and returns where it listens. Stores that are away are waited for in the background.
///
/// # Errors
///
/// [`GatewayFault`], where the settings cannot be used or a port cannot be had.
pub async fn start(settings: Settings<GatewayGame>, tasks: &Tasks) -> Result<Listening, Stopped> {
    let mut health = Health::new(tasks);
    let mut opened = Vec::new();
    let mut administered = BTreeMap::new();
    // All settings are used before the first port is open.
    for access in settings.games {
        let game = Game::connect(&access, settings.instance, tasks).await?;
        let bus = game.bus.clone();
        health.needs(format!("{}/nats", game.id), move || ready(bus.check()));
        administered.insert(game.id.clone(), (game.clone(), access.admin_token.clone()));
        opened.push((access, game));
    }
    let mut games = BTreeMap::new();
    for (access, game) in opened {
        let router = router::router(&game);
        let bound = listen::serve(&game, router, access.listen, access.shares_port, &access.cors_origins);
        let bound = bound.map_err(|source| GatewayFault::Listen {
            listen: access.listen,
            source,
        })?;
        tracing::info!(game.name = %game.id, listen = %bound, "players of `{}` connect to {bound}", game.id);
        games.insert(game.id.clone(), bound);
    }
    let listen = settings.ops_listen;
    let ops = ops::serve(listen, health, admin::router(administered), tasks).await;
    let ops = ops.map_err(|source| GatewayFault::Listen { listen, source })?;
    Ok(Listening { ops, games })
}
