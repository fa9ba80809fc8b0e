//! The complete, target-neutral description of one cluster. Immutable and numbered, with a parent.

use std::collections::{BTreeMap, BTreeSet};

use gaia_names::{ClusterName, GameId, Secret, Service, Store, Target};
use gaia_protocol::{bundle::Bundle, settings::InferenceAccess};
use gaia_spec::{Autoscaler, Game, Images, Size, Sizing};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::DeployError;

/// The most instances of one service that one machine is asked to run.
pub(crate) const MOST_REPLICAS: u16 = 32;
/// The most instances of one service that Kubernetes is asked to run.
const MOST_PODS: u16 = 1_000;

/// How large a cluster is to be, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// How many players it is for.
    pub size: Size,
    /// The regions, home first.
    pub regions: Vec<String>,
    /// Container images in place of the usual ones.
    pub images: Images,
    /// How many of each service, and what one may use.
    pub services: BTreeMap<Service, Sizing>,
    /// How many of each store, and what one may use.
    pub stores: BTreeMap<Store, Sizing>,
    /// Whether and how the number of replicas follows the load.
    pub autoscaler: Option<Autoscaler>,
}

impl Needs {
    /// Those of a game that only says how large it is.
    #[must_use]
    pub fn of_size(size: Size) -> Self {
        Self {
            size,
            regions: vec!["us-east".to_owned()],
            images: Images::default(),
            services: size.services(),
            stores: size.stores(),
            autoscaler: None,
        }
    }

    /// Those of a game.
    #[must_use]
    pub fn of(game: &Game) -> Self {
        Self {
            size: game.size,
            regions: game.regions.clone(),
            images: game.images.clone(),
            services: game.services.clone(),
            stores: game.stores.clone(),
            autoscaler: game.autoscaler,
        }
    }
}

/// A checked game, ready to be hosted.
#[derive(Clone, Debug)]
pub struct GameInput {
    /// The game as services read it. Its generation is given when the blueprint is drawn up.
    pub bundle: Bundle,
    /// The keys that the bundle's routes name, each under its name.
    pub route_keys: BTreeMap<String, Secret>,
    /// The secrets that the bundle's tool servers name, each under its name.
    pub tool_secrets: BTreeMap<String, Secret>,
}

/// What a blueprint is drawn up from.
#[derive(Clone, Debug)]
pub struct ClusterInput {
    /// The cluster's name. A dedicated one is called like its game.
    pub name: ClusterName,
    /// Where it runs.
    pub target: Target,
    /// How large it is to be: as the largest of its games asks.
    pub needs: Needs,
    /// The games that it hosts; at least one.
    pub games: Vec<GameInput>,
    /// How many instances of a service are wanted, where it is not one.
    pub replicas: BTreeMap<Service, u16>,
    /// Where embeddings come from; none where there is no model.
    pub inference: Option<InferenceAccess>,
}

impl ClusterInput {
    /// A cluster of its own for one small game, on this machine, with one instance of each service.
    #[must_use]
    pub fn dedicated(game: GameInput) -> Self {
        let name = ClusterName::from(&game.bundle.game);
        Self {
            name,
            target: Target::Local,
            needs: Needs::of_size(Size::Small),
            games: vec![game],
            replicas: BTreeMap::new(),
            inference: None,
        }
    }
}

/// One game of a blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameBlueprint {
    /// The game, numbered.
    pub bundle: Bundle,
    /// The digest of the bundle without its number.
    pub bundle_digest: String,
}

/// What a blueprint needs and must not show. It is no part of the blueprint's JSON.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The keys of each game's routes.
    pub route_keys: BTreeMap<GameId, BTreeMap<String, Secret>>,
    /// The secrets of each game's tool servers.
    pub tool_secrets: BTreeMap<GameId, BTreeMap<String, Secret>>,
    /// Where embeddings come from.
    pub inference: Option<InferenceAccess>,
}

/// The complete description of one cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blueprint {
    /// The cluster.
    pub cluster: ClusterName,
    /// Where it runs.
    pub target: Target,
    /// How large it is to be.
    pub needs: Needs,
    /// Counts up with every change of what is below; 1 is the first.
    pub generation: u64,
    /// The generation that this one follows; 0 for the first.
    pub parent: u64,
    /// The games, by id.
    pub games: BTreeMap<GameId, GameBlueprint>,
    /// How many instances of each service.
    pub replicas: BTreeMap<Service, u16>,
    /// The digest of all of the above but the numbers.
    pub digest: String,
    /// What it needs and must not show.
    #[serde(skip)]
    pub credentials: Credentials,
}

/// What a new blueprint follows, as observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// The generation that was last applied, or begun; 0 if none was.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// The number and digest of each game's newest bundle.
    pub bundles: BTreeMap<GameId, (u64, String)>,
}

impl Blueprint {
    /// Draws up what the input asks for, as the successor of what is there. The same input as the parent's gives the
    /// parent's numbers again.
    ///
    /// # Errors
    ///
    /// If there is no game, a game twice, or a number of instances that cannot be.
    pub fn draw_up(input: ClusterInput, parent: &Parent) -> Result<Self, DeployError> {
        let replicas = replicas(input.target, &input.needs, &input.replicas)?;
        let mut blueprint = Self {
            cluster: input.name,
            target: input.target,
            needs: input.needs,
            generation: 0,
            parent: 0,
            games: BTreeMap::new(),
            replicas,
            digest: String::new(),
            credentials: Credentials {
                route_keys: BTreeMap::new(),
                tool_secrets: BTreeMap::new(),
                inference: input.inference,
            },
        };
        for game in input.games {
            let id = game.bundle.game.clone();
            let numbered = number(game.bundle, parent.bundles.get(&id));
            if blueprint.games.insert(id.clone(), numbered).is_some() {
                return Err(DeployError::Input(format!(
                    "game `{id}` is in cluster `{}` twice",
                    blueprint.cluster
                )));
            }
            blueprint.credentials.tool_secrets.insert(id.clone(), game.tool_secrets);
            blueprint.credentials.route_keys.insert(id, game.route_keys);
        }
        if blueprint.games.is_empty() {
            return Err(DeployError::Input(format!(
                "cluster `{}` has no game",
                blueprint.cluster
            )));
        }
        blueprint.digest = blueprint.content_digest();
        let is_same = parent.generation > 0 && parent.digest == blueprint.digest;
        blueprint.generation = if is_same {
            parent.generation
        } else {
            parent.generation + 1
        };
        blueprint.parent = if is_same {
            parent.generation.saturating_sub(1)
        } else {
            parent.generation
        };
        Ok(blueprint)
    }

    /// The instances of all services: `gateway-1`, `auth-1`, `chat-1`, `chat-2`.
    pub fn instances(&self) -> impl Iterator<Item = (Service, u16, String)> {
        self.replicas
            .iter()
            .flat_map(|(service, count)| (1..=*count).map(move |n| (*service, n, instance_name(*service, n))))
    }

    /// Whether a store is a cluster of several nodes. On the local target each store is one process.
    #[must_use]
    pub fn is_clustered(&self, store: Store) -> bool {
        let is_asked = self
            .needs
            .stores
            .get(&store)
            .is_some_and(|sizing| sizing.replicas.is_clustered);
        is_asked && self.target != Target::Local
    }

    /// The games' ids.
    #[must_use]
    pub fn game_ids(&self) -> BTreeSet<GameId> {
        self.games.keys().cloned().collect()
    }

    fn content_digest(&self) -> String {
        let bundles: BTreeMap<_, _> = self.games.iter().map(|(id, game)| (id, &game.bundle_digest)).collect();
        match self.target {
            // Here a process may use what the machine has.
            Target::Local => digest(&(&self.cluster, bundles, &self.replicas)),
            Target::Compose | Target::Kubernetes => {
                digest(&(&self.cluster, bundles, &self.replicas, self.target, &self.needs))
            }
        }
    }
}

/// The name of one instance of a service: `chat-2`.
pub(crate) fn instance_name(service: Service, number: u16) -> String {
    format!("{service}-{number}")
}

/// The first 32 hexadecimal digits of the SHA-256 of a value's JSON.
pub(crate) fn digest(value: &impl Serialize) -> String {
    // Maps with text keys and plain structs always serialise; the digest of nothing would still differ from all others.
    digest_bytes(&serde_json::to_vec(value).unwrap_or_default())
}

/// The first 32 hexadecimal digits of the SHA-256 of bytes.
pub(crate) fn digest_bytes(bytes: &[u8]) -> String {
    let whole = Sha256::digest(bytes);
    whole.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn number(mut bundle: Bundle, newest: Option<&(u64, String)>) -> GameBlueprint {
    bundle.generation = 0;
    let bundle_digest = digest(&bundle);
    bundle.generation = match newest {
        Some((generation, digest)) if *digest == bundle_digest => *generation,
        Some((generation, _)) => generation + 1,
        None => 1,
    };
    GameBlueprint { bundle, bundle_digest }
}

fn replicas(
    target: Target,
    needs: &Needs,
    asked: &BTreeMap<Service, u16>,
) -> Result<BTreeMap<Service, u16>, DeployError> {
    let mut replicas = BTreeMap::new();
    for service in Service::ALL {
        let (usual, most) = match target {
            // One machine gains nothing by several of a service, unless somebody wants to see it.
            Target::Local | Target::Compose => (1, MOST_REPLICAS),
            Target::Kubernetes => {
                let sized = needs.services.get(service).map_or(1, |sizing| sizing.replicas.count);
                (u16::try_from(sized).unwrap_or(u16::MAX), MOST_PODS)
            }
        };
        let count = asked.get(service).copied().unwrap_or(usual);
        if !(1..=most).contains(&count) {
            return Err(DeployError::Input(format!(
                "{count} instances of {service} cannot be run here; ask for 1 to {most}"
            )));
        }
        if target == Target::Compose && *service == Service::Gateway && count > 1 {
            return Err(DeployError::Input(
                "on Compose one port is published, and one gateway has it; ask for more of chat or auth, or use \
                 `--target kubernetes`"
                    .to_owned(),
            ));
        }
        replicas.insert(*service, count);
    }
    Ok(replicas)
}
