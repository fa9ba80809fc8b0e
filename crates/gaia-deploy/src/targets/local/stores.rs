//! The three stores of a cluster without a supervisor, for tests that run services in their own process.

use std::{collections::BTreeMap, path::Path};

use gaia_names::{GameId, Service, Store};
use gaia_protocol::settings::{NatsAccess, PostgresAccess, RedisAccess};

use crate::DeployError;

/// What the services of one game need to reach its stores.
#[derive(Clone, Debug)]
pub struct GameAccess {
    /// The game.
    pub game: GameId,
    /// Postgres as `<game>/auth` and `<game>/chat`. The gateway has none.
    pub postgres: BTreeMap<Service, PostgresAccess>,
    /// Redis as `<game>`.
    pub redis: RedisAccess,
    /// NATS as `<game>/<service>`, for each service.
    pub nats: BTreeMap<Service, NatsAccess>,
}

/// Postgres, Redis and NATS in a folder of their own, migrated, killed when dropped. The folder stays.
#[derive(Debug)]
pub struct Stores {}

impl Stores {
    /// Prepares the folder (made if missing; its path short enough for Unix sockets), starts the three stores, waits
    /// until they answer and migrates.
    ///
    /// # Errors
    ///
    /// If a program is missing or a store does not start.
    pub async fn start(folder: &Path) -> Result<Self, DeployError> {
        let _ = folder;
        todo!()
    }

    /// Makes users, roles and accounts for one more game. The same game twice gives the same credentials.
    ///
    /// # Errors
    ///
    /// If a store refuses.
    pub async fn provision_game(&mut self, game: &GameId) -> Result<GameAccess, DeployError> {
        let _ = game;
        todo!()
    }

    /// The superuser, for tests that look behind row-level security.
    #[must_use]
    pub fn superuser(&self) -> PostgresAccess {
        todo!()
    }

    /// The owner of the tables, which bypasses row-level security.
    #[must_use]
    pub fn owner(&self) -> PostgresAccess {
        todo!()
    }

    /// The Redis user that may do everything.
    #[must_use]
    pub fn redis_owner(&self) -> RedisAccess {
        todo!()
    }

    /// Kills one store with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If it cannot be killed.
    pub async fn kill(&mut self, store: Store) -> Result<(), DeployError> {
        let _ = store;
        todo!()
    }

    /// Starts a killed store again, on the same data and address, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub async fn start_again(&mut self, store: Store) -> Result<(), DeployError> {
        let _ = store;
        todo!()
    }

    /// The process id of a store, if it runs.
    #[must_use]
    pub fn pid(&self, store: Store) -> Option<u32> {
        let _ = store;
        todo!()
    }

    /// Stops all three.
    ///
    /// # Errors
    ///
    /// If one does not end.
    pub async fn stop(self) -> Result<(), DeployError> {
        todo!()
    }
}
