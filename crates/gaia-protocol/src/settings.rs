//! What a service is told when it starts: one JSON file, mode 0600, or a mounted secret. It holds addresses and
//! credentials; what the game is like comes in the bundle.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use gaia_names::{GameId, InstanceId, Secret, expose};
use serde::{Deserialize, Serialize};

/// The settings of one process of a service. A dedicated cluster has one game, a shared one several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings<G> {
    /// Which process this is, in logs, metrics and leases. Absent where several processes read one file: each is
    /// somebody else then, whenever it starts.
    #[serde(default = "InstanceId::fresh")]
    pub instance: InstanceId,
    /// Where health, metrics and (on the gateway) the admin API listen.
    pub ops_listen: SocketAddr,
    /// The games it serves. Each has its own credentials and connections.
    pub games: Vec<G>,
}

/// One game at the gateway. There is no database here: the gateway asks `auth` and `chat`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayGame {
    /// The game; what arrives on `listen` is this game's, before any token is read.
    pub game: GameId,
    /// Where players connect.
    pub listen: SocketAddr,
    /// Whether other instances of the gateway listen on the same address (`SO_REUSEPORT`).
    pub shares_port: bool,
    /// Redis.
    pub redis: RedisAccess,
    /// NATS.
    pub nats: NatsAccess,
    /// What the admin API asks for.
    #[serde(serialize_with = "expose")]
    pub admin_token: Secret,
    /// Origins that browsers may call from; `*` for any.
    pub cors_origins: Vec<String>,
    /// How many requests a player may make in a minute, evenly, with a burst of a sixth of it.
    pub requests_per_minute: u32,
    /// How many attempts to sign in, sign up or refresh one address may make in a minute.
    pub sign_ins_per_minute: u32,
}

/// One game at `auth`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthGame {
    /// The game.
    pub game: GameId,
    /// Postgres, as `<game>/auth`.
    pub postgres: PostgresAccess,
    /// Redis.
    pub redis: RedisAccess,
    /// NATS.
    pub nats: NatsAccess,
    /// The Ed25519 key that signs access tokens: PKCS #8, PEM.
    #[serde(serialize_with = "expose")]
    pub signing_key: Secret,
}

/// One game at `chat`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatGame {
    /// The game.
    pub game: GameId,
    /// Postgres, as `<game>/chat`.
    pub postgres: PostgresAccess,
    /// Redis.
    pub redis: RedisAccess,
    /// NATS.
    pub nats: NatsAccess,
    /// The bundle to boot with. Newer generations come in through the admin API and are kept in Postgres.
    pub bundle: PathBuf,
    /// The keys that the bundle's routes name.
    #[serde(serialize_with = "expose_all")]
    pub route_keys: BTreeMap<String, Secret>,
    /// The secrets that the bundle's tool servers name.
    #[serde(default, serialize_with = "expose_all")]
    pub tool_secrets: BTreeMap<String, Secret>,
    /// Where tool servers may write; beside the bundle where it is absent.
    #[serde(default)]
    pub tools_folder: Option<PathBuf>,
    /// Where embeddings come from; absent where the machine has no model.
    pub inference: Option<InferenceAccess>,
}

/// How to reach Postgres.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresAccess {
    /// A host name, or the absolute path of the folder that holds the Unix socket.
    pub host: String,
    /// The port; it is also part of a Unix socket's name.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The login role: `<game>/<service>`. Row-level security is keyed on it.
    pub user: String,
    /// Its password.
    #[serde(serialize_with = "expose")]
    pub password: Secret,
    /// The most connections that this process opens for this game.
    pub connections: usize,
}

/// How to reach Redis.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisAccess {
    /// `unix:/path/to/socket` or `host:port`; several `host:port` with commas between are a Redis in cluster mode.
    pub address: String,
    /// The ACL user: the game's id. It may touch only keys under `game:<id>:`.
    pub user: String,
    /// Its password.
    #[serde(serialize_with = "expose")]
    pub password: Secret,
}

/// How to reach NATS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsAccess {
    /// `host:port`; several with commas between are the servers of one NATS cluster.
    pub address: String,
    /// The user in the game's account: `<game>/<service>`.
    pub user: String,
    /// Its password.
    #[serde(serialize_with = "expose")]
    pub password: Secret,
}

/// How to reach the machine's inference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceAccess {
    /// `http://127.0.0.1:7411/v1`.
    pub base_url: String,
    /// Its bearer key.
    #[serde(serialize_with = "expose")]
    pub key: Secret,
}

fn expose_all<S: serde::Serializer>(keys: &BTreeMap<String, Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(keys.iter().map(|(name, key)| (name, key.expose())))
}
