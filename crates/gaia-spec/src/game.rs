//! A checked game: what its folder asks for, complete and typed.

mod tools;

use std::{collections::BTreeMap, path::PathBuf};

use gaia_names::{GameId, Service, Store};
use gaia_protocol::{
    bundle::{self, Budget, Bundle, Persona, Provider, Rates},
    money::Price,
};
use serde::{Deserialize, Serialize};

pub use self::tools::{OAuth, Setting, ToolSecretReference, ToolServer, Transport};
use crate::Fault;

/// A game that passed the check, and what its maker should know all the same.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The game.
    pub game: Game,
    /// By place.
    pub warnings: Vec<Fault>,
}

impl Checked {
    /// The game as its services get it, with generation 0.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let game = &self.game;
        Bundle {
            game: game.id.clone(),
            generation: 0,
            name: game.name.clone(),
            theme: game.theme.clone(),
            personality: game.personality.clone(),
            response_time_target_ms: game.response_time_target_ms,
            context_window: game.context_window,
            personas: game.personas.clone(),
            routes: game.routes.iter().map(Route::in_bundle).collect(),
            tool_servers: game.tool_servers.iter().map(ToolServer::in_bundle).collect(),
            features: game.features.clone(),
            rates: game.rates,
            budget: game.budget,
        }
    }

    /// Where the keys of the routes are found, for those that have one. A route's name is the key's name in the
    /// bundle and in the settings.
    #[must_use]
    pub fn key_references(&self) -> Vec<KeyReference> {
        let reference_of = |route: &Route| {
            let reference = route.key.clone()?;
            Some(KeyReference {
                route: route.name.clone(),
                reference,
            })
        };
        self.game.routes.iter().filter_map(reference_of).collect()
    }

    /// Where the secrets of the tool servers are found.
    #[must_use]
    pub fn tool_secret_references(&self) -> Vec<ToolSecretReference> {
        let of_server = |server: &ToolServer| {
            let name = server.name.clone();
            let named = move |(end, reference): (String, &Reference)| ToolSecretReference {
                server: name.clone(),
                name: format!("{name}.{end}"),
                reference: reference.clone(),
            };
            server.transport.secrets().into_iter().map(named).collect::<Vec<_>>()
        };
        self.game.tool_servers.iter().flat_map(of_server).collect()
    }
}

/// What a game asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Game {
    /// Its folder's name.
    pub id: GameId,
    /// Its name for people.
    pub name: String,
    /// Whose it is; a label.
    pub studio: Option<String>,
    /// What kind of world it is.
    pub theme: String,
    /// How all its characters are.
    pub personality: Option<String>,
    /// The promise about the first useful output, in milliseconds.
    pub response_time_target_ms: u32,
    /// How many recent messages go into a prompt.
    pub context_window: u16,
    /// Its characters, at least one, in the order of the config.
    pub personas: Vec<Persona>,
    /// Where replies may come from, best first, without the offline route.
    pub routes: Vec<Route>,
    /// The servers of tools.
    pub tool_servers: Vec<ToolServer>,
    /// The features that the config speaks of.
    pub features: BTreeMap<String, bool>,
    /// How much a player may ask for.
    pub rates: Rates,
    /// How much its models may cost.
    pub budget: Budget,
    /// How large it is.
    pub size: Size,
    /// Where it runs, home first; at least one.
    pub regions: Vec<String>,
    /// Container images in place of the usual ones.
    pub images: Images,
    /// How many of each service, and what one may use.
    pub services: BTreeMap<Service, Sizing>,
    /// How many of each store, and what one may use.
    pub stores: BTreeMap<Store, Sizing>,
    /// Whether and how the number of replicas follows the load.
    pub autoscaler: Option<Autoscaler>,
    /// When nothing but the stores runs.
    pub off_hours: Option<OffHours>,
    /// How players come in from outside of its Kubernetes.
    pub entrance: Option<Entrance>,
}

/// A part of each day at which a game is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffHours {
    /// When it closes: `23:30`.
    pub from: String,
    /// When it opens: `06:30`.
    pub until: String,
    /// Where it is that time, as the IANA database calls it.
    pub timezone: String,
}

/// How players come in from outside of a game's Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrance {
    /// The name at which they find the game.
    pub hostname: String,
    /// What takes them in.
    pub through: Through,
}

/// What takes players in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// A Gateway of the Gateway API.
    Gateway {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// One of its listeners; all that take the hostname if none is named.
        listener: Option<String>,
    },
    /// An ingress controller.
    Ingress {
        /// Its class.
        class: String,
        /// The secret that holds the certificate.
        tls_secret: Option<String>,
    },
}

/// Container images in place of the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// Gaia itself.
    pub gaia: Option<String>,
    /// The stores.
    pub stores: BTreeMap<Store, String>,
}

/// How many players a cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Fewer than 1,000 at once.
    Small,
    /// 1,000 to 10,000 at once.
    Medium,
    /// More than 10,000 at once.
    Large,
}

/// How many of a part, and what one of them may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizing {
    /// How many run at first.
    pub replicas: Replicas,
    /// What one may use.
    pub resources: Resources,
}

/// How many of a part run at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// The number, at least 1.
    pub count: u32,
    /// Whether the config says that it may be more: `10+`.
    pub or_more: bool,
    /// Whether they form a cluster of a store (Redis, NATS).
    pub is_clustered: bool,
}

/// What one replica may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millicores: u32,
}

/// How the number of replicas of a service follows the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscaler {
    /// The fewest replicas; 0 lets a quiet game end.
    pub min_replicas: u32,
    /// The most replicas, not less than the fewest.
    pub max_replicas: u32,
    /// The load at which more start, in percent of the CPU.
    pub target_cpu_percent: u32,
}

/// A place that replies come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which wire format it speaks.
    pub provider: Provider,
    /// Where, without a `/` at the end.
    pub base_url: String,
    /// Which model.
    pub model: String,
    /// Where its key is found; absent for an endpoint without one.
    pub key: Option<Reference>,
    /// How long the first token may take, in milliseconds.
    pub first_token_ms: u32,
    /// How long the stream may be silent after that, in milliseconds.
    pub silence_ms: u32,
    /// What its tokens cost, from which day on. Without any it costs nothing.
    pub prices: Vec<Price>,
}

impl Route {
    fn in_bundle(&self) -> bundle::Route {
        bundle::Route {
            name: self.name.clone(),
            provider: self.provider,
            base_url: self.base_url.clone(),
            model: self.model.clone(),
            key: self.key.as_ref().map(|_| self.name.clone()),
            first_token_ms: self.first_token_ms,
            silence_ms: self.silence_ms,
            prices: self.prices.clone(),
        }
    }
}

/// Where a secret is found. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// In this environment variable of whoever brings the game up.
    Env(String),
    /// In the file at this absolute path.
    File(PathBuf),
}

/// Where the key of a route is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyReference {
    /// The route, and the key's name in the bundle and in the settings.
    pub route: String,
    /// Where to look.
    pub reference: Reference,
}
