//! What `auth` holds for one game.

use std::sync::Arc;

use gaia_names::{GameId, InstanceId, Service};
use gaia_protocol::settings::AuthGame;
use gaia_service::{Bus, Health, Postgres, Redis, Tasks};
use tokio::sync::Notify;

use crate::{AuthFault, keys::Keys, passwords::Passwords, revocations::Revocations};

/// One game: its stores, its keys and nobody else's.
pub(crate) struct Game {
    pub(crate) id: GameId,
    pub(crate) bus: Bus,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    pub(crate) passwords: Passwords,
    pub(crate) revocations: Arc<Revocations>,
    /// Rung when a player was deleted, so that chat is asked at once.
    pub(crate) deleted: Notify,
}

impl Game {
    pub(crate) async fn open(
        access: AuthGame,
        instance: InstanceId,
        passwords: &Passwords,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, AuthFault> {
        let id = access.game;
        let keys = Keys::read(&access.signing_key).map_err(|source| AuthFault::SigningKey {
            game: id.clone(),
            source,
        })?;
        let redis = Redis::new(&access.redis, &id).map_err(|source| AuthFault::Redis {
            game: id.clone(),
            source,
        })?;
        let bus = Bus::connect(&access.nats, &id, Service::Auth, instance)
            .await
            .map_err(|source| AuthFault::Nats {
                game: id.clone(),
                source,
            })?;
        let postgres = Postgres::new(&access.postgres, tasks);
        let revocations = Arc::new(Revocations::new(&id, instance, &postgres, &redis));
        Ok(Arc::new(Self {
            id,
            bus,
            postgres,
            redis,
            keys,
            passwords: passwords.clone(),
            revocations,
            deleted: Notify::new(),
        }))
    }

    /// Redis is not among the parts: without it every question is still answered, only slower. Whether it is there
    /// says the gauge `gaia_auth_redis_up`.
    pub(crate) fn report(self: &Arc<Self>, health: &mut Health) {
        let postgres = self.postgres.clone();
        health.needs(format!("{}/postgres", self.id), move || {
            let postgres = postgres.clone();
            async move { postgres.check().await }
        });
        let bus = self.bus.clone();
        health.needs(format!("{}/nats", self.id), move || {
            let bus = bus.clone();
            async move { bus.check() }
        });
    }
}
