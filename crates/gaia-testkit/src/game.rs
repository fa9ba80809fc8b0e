//! A game of a test's own on real stores.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use gaia_deploy::{DeployError, GameAccess, local::private_stores::Stores, secrets::signing_key_pem};
use gaia_names::{GameId, InstanceId, Secret, Service, Store};
use gaia_protocol::{
    bundle::Bundle,
    settings::{AuthGame, ChatGame, GatewayGame, InferenceAccess, NatsAccess, PostgresAccess, Settings},
};
use gaia_service::{Bus, Postgres, Redis, Tasks};
use rand::RngExt;
use tokio::{runtime::Runtime, sync::Mutex};

use crate::reaper::scratch_folder;

type SharedStores = Arc<Mutex<Stores>>;

/// A game with its stores and credentials.
#[derive(Clone)]
pub struct TestGame {
    /// The game's id, new for each test.
    pub id: GameId,
    /// What its services hold.
    pub access: GameAccess,
    stores: SharedStores,
    folder: PathBuf,
    signing_key: Secret,
}

/// Another key to sign access tokens with.
///
/// # Panics
///
/// If the system gives no randomness.
#[must_use]
pub fn signing_key() -> Secret {
    signing_key_pem().expect("the system gives randomness")
}

const STARTS: &str = "the stores start: `cargo xtask setup` installs them";
/// Nobody asks for it on loopback ports that only a test knows, but the services insist.
const ADMIN_TOKEN: &str = "the-admin-token-of-a-test-cluster";

impl TestGame {
    /// A game in the stores that all tests of this process share.
    pub async fn start() -> Self {
        let (stores, folder) = shared_stores().await;
        Self::within(stores, folder, fresh_id()).await
    }

    /// A game in stores of its own, which the test may kill. Takes about a second.
    pub async fn start_alone() -> Self {
        let (stores, folder) = on_store_runtime(new_stores(has_redis_cluster())).await.expect(STARTS);
        Self::within(stores, folder, fresh_id()).await
    }

    /// The same with a Redis in cluster mode.
    pub async fn start_alone_with_redis_cluster() -> Self {
        let (stores, folder) = on_store_runtime(new_stores(true)).await.expect(STARTS);
        Self::within(stores, folder, fresh_id()).await
    }

    /// A second game in the same stores.
    pub async fn neighbour(&self) -> Self {
        Self::within(Arc::clone(&self.stores), self.folder.clone(), fresh_id()).await
    }

    async fn within(stores: SharedStores, folder: PathBuf, id: GameId) -> Self {
        let (asked, game) = (Arc::clone(&stores), id.clone());
        let provision = async move { asked.lock().await.provision_game(&game).await };
        let access = on_store_runtime(provision).await.expect("a game can be provisioned");
        Self {
            id,
            access,
            stores,
            folder,
            signing_key: signing_key(),
        }
    }

    /// Kills a store, as `kill -9` does.
    pub async fn kill(&self, store: Store) {
        let stores = Arc::clone(&self.stores);
        on_store_runtime(async move { stores.lock().await.kill(store).await })
            .await
            .expect("a store can be killed");
    }

    /// Starts a killed store again.
    pub async fn start_again(&self, store: Store) {
        let stores = Arc::clone(&self.stores);
        on_store_runtime(async move { stores.lock().await.start_again(store).await })
            .await
            .expect("a store starts again");
    }

    /// A connection as one of the game's services.
    pub async fn bus(&self, service: Service) -> Bus {
        let nats = &self.access.nats[&service];
        Bus::connect(nats, &self.id, service, InstanceId::fresh())
            .await
            .expect("nats takes the service's user")
    }

    /// The game's Redis.
    #[must_use]
    pub fn redis(&self) -> Redis {
        Redis::new(&self.access.redis, &self.id).expect("the address is one")
    }

    /// Postgres as one of the game's services.
    #[must_use]
    pub fn postgres(&self, service: Service, tasks: &Tasks) -> Postgres {
        Postgres::new(&self.access.postgres[&service], tasks)
    }

    /// Postgres as the owner of everything, who is not bound by row-level security.
    pub async fn owner(&self) -> tokio_postgres::Client {
        connect(&self.owner_access().await).await
    }

    /// How to reach Postgres as its owner.
    pub async fn owner_access(&self) -> PostgresAccess {
        self.stores.lock().await.owner()
    }

    /// How to reach Postgres as its superuser, who may have it say how it works.
    pub async fn superuser_access(&self) -> PostgresAccess {
        self.stores.lock().await.superuser()
    }

    /// What a store has written since it was first started.
    #[must_use]
    pub fn log_of(&self, store: Store) -> PathBuf {
        self.folder.join("logs").join(format!("{store}.log"))
    }

    /// Has Redis forget all that it holds.
    pub async fn empty_redis(&self) {
        self.stores
            .lock()
            .await
            .empty_redis()
            .await
            .expect("redis can be emptied");
    }

    /// Kills the node that has a key of the game, of a Redis in cluster mode, as `kill -9` does.
    pub async fn kill_redis_node_of(&self, rest: impl std::fmt::Display) {
        let key = self.redis().key(rest);
        let mut stores = self.stores.lock().await;
        stores.kill_redis_node_of(&key).await.expect("a node can be killed");
    }

    /// What `auth` is told for this game alone.
    #[must_use]
    pub fn auth_settings(&self) -> Settings<AuthGame> {
        settings(self.auth_game())
    }

    /// What `chat` is told for this game alone.
    #[must_use]
    pub fn chat_settings(&self, bundle: &Bundle) -> Settings<ChatGame> {
        settings(self.chat_game(bundle, BTreeMap::new(), None))
    }

    /// What the gateway is told for this game alone.
    #[must_use]
    pub fn gateway_settings(&self) -> Settings<GatewayGame> {
        settings(self.gateway_game())
    }

    pub(crate) fn auth_game(&self) -> AuthGame {
        AuthGame {
            game: self.id.clone(),
            postgres: self.access.postgres[&Service::Auth].clone(),
            redis: self.access.redis.clone(),
            nats: self.nats(Service::Auth),
            signing_key: self.signing_key.clone(),
        }
    }

    pub(crate) fn chat_game(
        &self,
        bundle: &Bundle,
        route_keys: BTreeMap<String, Secret>,
        inference: Option<InferenceAccess>,
    ) -> ChatGame {
        let path = self.folder.join(format!("{}-{}.json", self.id, uuid::Uuid::now_v7()));
        std::fs::write(&path, serde_json::to_vec(bundle).expect("a bundle is JSON")).expect("the folder is writable");
        ChatGame {
            game: self.id.clone(),
            postgres: self.access.postgres[&Service::Chat].clone(),
            redis: self.access.redis.clone(),
            nats: self.nats(Service::Chat),
            bundle: path,
            route_keys,
            tools_folder: None,
            tool_secrets: BTreeMap::new(),
            inference,
        }
    }

    pub(crate) fn gateway_game(&self) -> GatewayGame {
        GatewayGame {
            game: self.id.clone(),
            listen: any_port(),
            shares_port: false,
            redis: self.access.redis.clone(),
            nats: self.nats(Service::Gateway),
            admin_token: Secret::new(ADMIN_TOKEN),
            cors_origins: vec!["https://play.example".to_owned()],
            // High, so that only the tests of limits meet them.
            requests_per_minute: 1_000_000,
            sign_ins_per_minute: 1_000_000,
        }
    }

    fn nats(&self, service: Service) -> NatsAccess {
        self.access.nats[&service].clone()
    }
}

pub(crate) fn settings<G>(game: G) -> Settings<G> {
    Settings {
        instance: InstanceId::fresh(),
        ops_listen: any_port(),
        games: vec![game],
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn fresh_id() -> GameId {
    let number: u64 = rand::rng().random();
    format!("t-{number:016x}").parse().expect("a test's game id is one")
}

async fn connect(access: &PostgresAccess) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::Config::new()
        .host(&access.host)
        .port(access.port)
        .dbname(&access.database)
        .user(&access.user)
        .password(access.password.expose())
        .connect(tokio_postgres::NoTls)
        .await
        .expect("postgres takes its owner");
    crate::spawn(async move {
        // The connection ends with the client or with the store; both are the test's doing.
        let _ = connection.await;
    });
    client
}

async fn new_stores(has_redis_cluster: bool) -> Result<(SharedStores, PathBuf), DeployError> {
    let folder = scratch_folder();
    let started = if has_redis_cluster {
        Stores::start_with_redis_cluster(&folder).await
    } else {
        Stores::start(&folder).await
    };
    started.map(|stores| (Arc::new(Mutex::new(stores)), folder))
}

/// With `GAIA_TEST_REDIS=cluster` in the environment all tests run on a Redis in cluster mode.
fn has_redis_cluster() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a test's own switch, read nowhere else"
    )]
    std::env::var("GAIA_TEST_REDIS").is_ok_and(|mode| mode == "cluster")
}

async fn shared_stores() -> (SharedStores, PathBuf) {
    static SHARED: tokio::sync::OnceCell<(SharedStores, PathBuf)> = tokio::sync::OnceCell::const_new();
    SHARED
        .get_or_try_init(|| on_store_runtime(new_stores(has_redis_cluster())))
        .await
        .expect(STARTS)
        .clone()
}

/// Runs what belongs to stores on a runtime that outlives the tests: what it holds must not die with the runtime of the
/// test that happened to come first. What fails is told, not thrown: what is thrown on that runtime is printed with the
/// output of the test that came first, which nobody sees.
async fn on_store_runtime<T: Send + 'static>(
    work: impl Future<Output = Result<T, DeployError>> + Send + 'static,
) -> Result<T, DeployError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be started")
    });
    match runtime.handle().spawn(work).await {
        Ok(answer) => answer,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
