//! Players, sessions, tokens and keys.
//!
//! One process serves the games of its settings. Each game has its own connections and its own signing key, and nothing
//! below the loop in [`start`] knows that there is more than one.

mod api_keys;
mod cleaning;
mod deletions;
mod email;
mod enter;
mod game;
mod keys;
mod names;
mod passwords;
mod players;
mod refresh_token;
mod revocations;
mod router;
mod sessions;
mod store;
mod throttle;

use std::{net::SocketAddr, path::Path, process::ExitCode};

use gaia_names::{GameId, Service};
use gaia_protocol::settings::{AuthGame, Settings};
use gaia_service::{
    Health, Tasks,
    bus::BusFault,
    ops,
    redis::RedisAddressFault,
    run::{self, Stopped},
};

use self::{game::Game, keys::KeyFault, passwords::Passwords};

/// Why `auth` cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AuthFault {
    /// The key that signs access tokens cannot be used.
    #[error("the signing key of `{game}` cannot be used: give an Ed25519 key as PKCS #8 in PEM")]
    SigningKey {
        /// Whose key.
        game: GameId,
        /// What is wrong with it.
        #[source]
        source: KeyFault,
    },
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
    /// The second port cannot be had.
    #[error("cannot listen on {listen} for health and metrics")]
    Ops {
        /// What the settings say.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Runs `auth` until the process is told to stop.
pub async fn main(settings: &Path) -> ExitCode {
    let start = async |settings, tasks: &Tasks| start(settings, tasks).await.map(drop);
    run::run(Service::Auth, settings, start).await
}

/// Starts `auth` and returns where health and metrics listen. Stores that are away are waited for in the background.
///
/// # Errors
///
/// [`AuthFault`], where the settings cannot be used or the port cannot be had.
pub async fn start(settings: Settings<AuthGame>, tasks: &Tasks) -> Result<SocketAddr, Stopped> {
    let passwords = Passwords::default();
    let mut health = Health::new(tasks);
    let mut games = Vec::new();
    // All settings are read before the first question is taken in.
    for access in settings.games {
        games.push(Game::open(access, settings.instance, &passwords, tasks).await?);
    }
    for game in games {
        game.report(&mut health);
        router::answer(&game, tasks).await.map_err(|source| AuthFault::Nats {
            game: game.id.clone(),
            source,
        })?;
        tasks.spawn(keys::show_early(game.clone(), tasks.clone()));
        tasks.spawn(revocations::keep(game.revocations.clone(), tasks.clone()));
        tasks.spawn(deletions::carry_out(game.clone(), tasks.clone()));
        tasks.spawn(cleaning::keep_clean(game, tasks.clone()));
    }
    let listen = settings.ops_listen;
    let served = ops::serve(listen, health, Default::default(), tasks).await;
    Ok(served.map_err(|source| AuthFault::Ops { listen, source })?)
}
