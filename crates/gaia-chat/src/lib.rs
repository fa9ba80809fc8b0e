//! Conversations with personas.
//!
//! Each turn is claimed in one statement, answered by the first route that can, streamed as it comes, and kept in one
//! statement. [`router`] is the contents page.

mod authored;
mod budget;
mod bundles;
mod context;
mod conversations;
mod costs;
mod cursor;
mod game;
mod replies;
mod router;
mod store;
mod turns;

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use gaia_names::Service;
use gaia_protocol::settings::{ChatGame, Settings};
use gaia_service::{
    Health, Tasks, ops,
    run::{self, Stopped},
};

pub use crate::budget::{BudgetOptions, Clock};
use crate::game::Game;

/// Runs the service until the process is told to stop.
pub async fn main(settings: &Path) -> ExitCode {
    run::run(
        Service::Chat,
        settings,
        async |settings: Settings<ChatGame>, tasks: &Tasks| start(settings, tasks).await.map(drop),
    )
    .await
}

/// Starts the service beside whatever else runs in the process. Returns where its ops port listens.
///
/// # Errors
///
/// Where an address, a credential or a mounted bundle cannot be used, or a port cannot be had.
pub async fn start(settings: Settings<ChatGame>, tasks: &Tasks) -> Result<SocketAddr, Stopped> {
    start_with(settings, tasks, BudgetOptions::default()).await
}

/// The same, with budgets kept in another way.
///
/// # Errors
///
/// As [`start`].
pub async fn start_with(
    settings: Settings<ChatGame>,
    tasks: &Tasks,
    options: BudgetOptions,
) -> Result<SocketAddr, Stopped> {
    let mut health = Health::new(tasks);
    for settings_of_game in settings.games {
        let game = Arc::new(Game::open(settings_of_game, settings.instance, tasks, options.clone()).await?);
        let (postgres, bus) = (game.postgres.clone(), game.bus.clone());
        health.needs(format!("{}/postgres", game.id), move || {
            let postgres = postgres.clone();
            async move { postgres.check().await }
        });
        health.needs(format!("{}/nats", game.id), move || {
            let bus = bus.clone();
            async move { bus.check() }
        });
        bundles::keep_current(&game).await?;
        budget::keep(&game).await;
        turns::hear_commands(&game).await?;
        router::answer(&game).await?;
    }
    Ok(ops::serve(settings.ops_listen, health, axum::Router::new(), tasks).await?)
}
