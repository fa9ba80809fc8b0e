//! One game at this process: its stores, its bundle, its routes and the turns in hand.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use gaia_names::{GameId, InstanceId, Secret, Service};
use gaia_protocol::settings::ChatGame;
use gaia_service::{Bus, Postgres, Redis, Tasks, bus::BusFault, redis::RedisAddressFault};
use gaia_tools::{HostSettings, ToolHost};
use tokio::sync::Semaphore;

use crate::{
    authored::Inference,
    budget::{Budget, BudgetOptions},
    bundles::{BundleFault, Current},
    replies::RouteStates,
    store::{
        Batches,
        claims::{self, Claimed, Ended, Wanted},
        pins::Pins,
        sign_ins::SignIns,
    },
    turns::InHand,
};

/// How many turns wait for a later answer at once: an eighth of those that may run.
const LETTERS_AT_ONCE: usize = crate::router::TURNS_AT_ONCE / 8;

/// Everything that answering for one game takes.
pub(crate) struct Game {
    pub(crate) id: GameId,
    pub(crate) bus: Bus,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) bundle: Current,
    /// The connections to models' vendors.
    pub(crate) http: reqwest::Client,
    pub(crate) route_keys: BTreeMap<String, Secret>,
    pub(crate) route_states: RouteStates,
    pub(crate) inference: Option<Inference>,
    pub(crate) budget: Arc<Budget>,
    /// The tool servers of the bundle in use.
    pub(crate) tools: ToolHost,
    pub(crate) in_hand: InHand,
    /// Places for turns whose answer comes later.
    pub(crate) letters: Arc<Semaphore>,
    /// Turns that begin.
    pub(crate) claims: Batches<Wanted, Option<Claimed>>,
    /// Turns that end.
    pub(crate) ends: Batches<(Wanted, Ended), Option<DateTime<Utc>>>,
    pub(crate) tasks: Tasks,
}

/// Why a game cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GameFault {
    /// The bus.
    #[error("game `{game}` has no nats")]
    Nats {
        /// The game.
        game: GameId,
        /// What is wrong.
        #[source]
        source: BusFault,
    },
    /// The settings name no Redis.
    #[error("game `{game}` has no redis")]
    Redis {
        /// The game.
        game: GameId,
        /// What is wrong.
        #[source]
        source: RedisAddressFault,
    },
    /// The bundle cannot be used.
    #[error("game `{game}` cannot boot with the bundle {path}")]
    Bundle {
        /// The game.
        game: GameId,
        /// The mounted file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BundleFault,
    },
    /// The system's certificates or TLS cannot be used.
    #[error("game `{game}` cannot call models")]
    Http {
        /// The game.
        game: GameId,
        /// What is wrong.
        #[source]
        source: reqwest::Error,
    },
}

impl Game {
    /// Connects to what the settings name. Stores that are not there yet are waited for in the background.
    pub(crate) async fn open(
        settings: ChatGame,
        instance: InstanceId,
        tasks: &Tasks,
        options: BudgetOptions,
    ) -> Result<Self, GameFault> {
        let game = settings.game.clone();
        let bundle = Current::boot(&settings.bundle, &game).map_err(|source| GameFault::Bundle {
            game: game.clone(),
            path: settings.bundle.clone(),
            source,
        })?;
        let http = http_client().map_err(|source| GameFault::Http {
            game: game.clone(),
            source,
        })?;
        let postgres = Postgres::new(&settings.postgres, tasks);
        let redis = Redis::new(&settings.redis, &game).map_err(|source| GameFault::Redis {
            game: game.clone(),
            source,
        })?;
        let tools = ToolHost::start(
            HostSettings {
                game: game.clone(),
                secrets: settings.tool_secrets,
                sign_ins: Arc::new(SignIns::new(&postgres, tasks)),
                program: std::env::current_exe().unwrap_or_else(|_| "gaia".into()),
                scratch: match settings.tools_folder {
                    Some(folder) => folder,
                    None => settings.bundle.with_file_name(format!("tools-{instance}")),
                },
            },
            &bundle.now().bundle.servers_in_use(),
            Arc::new(Pins(postgres.clone())),
            tasks,
        );
        let bus = Bus::connect(&settings.nats, &game, Service::Chat, instance).await;
        Ok(Self {
            bus: bus.map_err(|source| GameFault::Nats {
                game: game.clone(),
                source,
            })?,
            budget: Arc::new(Budget::new((&game, instance), &postgres, &redis, tasks, options)),
            redis,
            claims: Batches::new(&postgres, tasks, |postgres, wanted| {
                claims::take(postgres, wanted).boxed()
            }),
            ends: Batches::new(&postgres, tasks, |postgres, ends| claims::end(postgres, ends).boxed()),
            postgres,
            bundle,
            tools,
            inference: settings.inference.map(|access| Inference::new(access, http.clone())),
            http,
            route_keys: settings.route_keys,
            route_states: RouteStates::default(),
            in_hand: InHand::default(),
            letters: Arc::new(Semaphore::new(LETTERS_AT_ONCE)),
            tasks: tasks.clone(),
            id: game,
        })
    }
}

/// No redirects, which could carry a key to somebody else, and no proxy from the environment.
fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("gaia/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_nodelay(true)
        .build()
}
