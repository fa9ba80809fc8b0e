//! Where the three stores answer, and as whom each service comes to them.

use std::collections::BTreeMap;

use gaia_names::{GameId, Secret, Service};
use gaia_protocol::settings::{NatsAccess, PostgresAccess, RedisAccess};
use serde::{Deserialize, Serialize};

use super::{postgres, redis};
use crate::secrets::Secrets;

/// What the services of one game need to reach its stores.
#[derive(Clone, Debug)]
pub struct GameAccess {
    /// The game.
    pub game: GameId,
    /// Postgres as `<game>/auth` and `<game>/chat`. The gateway has none.
    pub postgres: BTreeMap<Service, PostgresAccess>,
    /// Redis as `<game>`, or by another name in turn.
    pub redis: RedisAccess,
    /// NATS as `<game>/<service>`, for each service.
    pub nats: BTreeMap<Service, NatsAccess>,
}

/// As whom somebody comes who changes things.
#[derive(Clone, Debug)]
pub(crate) struct Admin<A> {
    pub(crate) access: A,
    /// What opened it before, while it may still do.
    pub(crate) former: Option<Secret>,
}

/// Where three stores answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// A host name, or the absolute path of the folder that holds the Unix socket.
    pub(crate) postgres: String,
    /// `unix:/path/to/socket` or `host:port`; several with commas between are a Redis in cluster mode.
    pub(crate) redis: String,
    /// `host:port`; several with commas between are the servers of one NATS cluster.
    pub(crate) nats: String,
}

impl Addresses {
    /// The superuser of Postgres.
    pub(crate) fn superuser(&self, secrets: &Secrets) -> Admin<PostgresAccess> {
        Admin {
            access: postgres::access(&self.postgres, postgres::SUPERUSER, &secrets.postgres_superuser),
            former: secrets.tried().nth(1).map(|former| former.postgres_superuser.clone()),
        }
    }

    /// The owner of Postgres' tables.
    pub(crate) fn owner(&self, secrets: &Secrets) -> Admin<PostgresAccess> {
        Admin {
            access: postgres::access(&self.postgres, postgres::APPLY_ROLE, &secrets.postgres_apply),
            former: secrets.tried().nth(1).map(|former| former.postgres_apply.clone()),
        }
    }

    /// The user of Redis that may do everything.
    pub(crate) fn redis_owner(&self, secrets: &Secrets) -> Admin<RedisAccess> {
        Admin {
            access: RedisAccess {
                address: self.redis.clone(),
                user: redis::APPLY_USER.to_owned(),
                password: secrets.redis_apply.clone(),
            },
            former: secrets.tried().nth(1).map(|former| former.redis_apply.clone()),
        }
    }

    /// What the services of a game need; none for a game without secrets.
    pub(crate) fn of_game(&self, secrets: &Secrets, game: &GameId) -> Option<GameAccess> {
        let own = secrets.games.get(game)?;
        let postgres = own.postgres.iter().map(|(service, password)| {
            let role = secrets.service_user(game, *service);
            (*service, postgres::access(&self.postgres, &role, password))
        });
        let nats = own.nats.iter().map(|(service, password)| {
            let access = NatsAccess {
                address: self.nats.clone(),
                user: secrets.service_user(game, *service),
                password: password.clone(),
            };
            (*service, access)
        });
        Some(GameAccess {
            game: game.clone(),
            postgres: postgres.collect(),
            redis: RedisAccess {
                address: self.redis.clone(),
                user: secrets.redis_user(game),
                password: own.redis.clone(),
            },
            nats: nats.collect(),
        })
    }
}
