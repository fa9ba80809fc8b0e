//! The complete, target-neutral description of one cluster. Immutable and numbered, with a parent.

use std::collections::{BTreeMap, BTreeSet};

use gaia_names::{ClusterName, GameId, Secret, Service, Store, Target};
use gaia_protocol::{bundle::Bundle, settings::InferenceAccess};
use gaia_spec::{Autoscaler, Entrance, Game, Images, OffHours, Size, Sizing};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{DeployError, Observed};

/// The most instances of one service that one machine is asked to run.
pub(crate) const MOST_REPLICAS: u16 = 32;
/// The most instances of one service that Kubernetes is asked to run.
const MOST_PODS: u16 = 1_000;

/// How large a cluster is to be, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Whose it is, as a label; none where several games of different studios share it, or nobody says.
    #[serde(default)]
    pub studio: Option<String>,
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
    /// When nothing but the stores runs.
    #[serde(default)]
    pub off_hours: Option<OffHours>,
    /// How players of each game come in from outside of its Kubernetes.
    #[serde(default)]
    pub entrances: BTreeMap<GameId, Entrance>,
}

impl Needs {
    /// Those of a game that only says how large it is.
    #[must_use]
    pub fn of_size(size: Size) -> Self {
        Self {
            studio: None,
            size,
            regions: vec!["us-east".to_owned()],
            images: Images::default(),
            services: size.services(),
            stores: size.stores(),
            autoscaler: None,
            off_hours: None,
            entrances: BTreeMap::new(),
        }
    }

    /// Those of a game.
    #[must_use]
    pub fn of(game: &Game) -> Self {
        Self {
            studio: game.studio.clone(),
            size: game.size,
            regions: game.regions.clone(),
            images: game.images.clone(),
            services: game.services.clone(),
            stores: game.stores.clone(),
            autoscaler: game.autoscaler,
            off_hours: game.off_hours.clone(),
            entrances: game
                .entrance
                .clone()
                .map(|own| (game.id.clone(), own))
                .into_iter()
                .collect(),
        }
    }

    /// Those of a cluster for games with these needs and others: what the larger ones are, all ways in, and a studio
    /// and off-hours only where all have the same.
    #[must_use]
    pub fn with(mut self, mut other: Self) -> Self {
        let off_hours = self
            .off_hours
            .take()
            .filter(|hours| other.off_hours.as_ref() == Some(hours));
        let studio = self
            .studio
            .take()
            .filter(|studio| other.studio.as_ref() == Some(studio));
        let mut entrances = std::mem::take(&mut self.entrances);
        entrances.append(&mut other.entrances);
        let larger = if self.size >= other.size { self } else { other };
        Self {
            studio,
            off_hours,
            entrances,
            ..larger
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
    /// How many instances of a service are asked for, where it is not the usual number.
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
    /// Those of them that somebody asked for; the others are the usual ones.
    #[serde(default)]
    pub asked: BTreeMap<Service, u16>,
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

impl Credentials {
    /// Whether they are what was told to chat. Where embeddings come from is asked for on this machine alone.
    pub(crate) fn are_told(&self, told: &Self, target: Target) -> bool {
        let place = |one: &Self| one.inference.as_ref().map(|access| access.base_url.clone());
        self.route_keys == told.route_keys
            && self.tool_secrets == told.tool_secrets
            && (target != Target::Local || place(self) == place(told))
    }
}

impl ClusterInput {
    /// What a cluster was drawn up from that is there and meant to run, with what its chat was told and no record holds.
    ///
    /// # Errors
    ///
    /// If it is not there, was stopped, or was never applied in full.
    pub fn again(observed: &Observed) -> Result<Self, DeployError> {
        let cluster = &observed.cluster;
        let applied = observed.applied().filter(|_| observed.is_meant_to_run());
        let (Some(applied), Some(mut credentials)) = (applied, observed.credentials()) else {
            let next = "bring it up first: `gaia up <folder>`";
            return Err(DeployError::Input(format!(
                "cluster `{cluster}` does not run as a whole; {next}"
            )));
        };
        let mut take = |game: &GameId| GameInput {
            bundle: applied.games[game].bundle.clone(),
            route_keys: credentials.route_keys.remove(game).unwrap_or_default(),
            tool_secrets: credentials.tool_secrets.remove(game).unwrap_or_default(),
        };
        Ok(Self {
            name: cluster.clone(),
            target: applied.target,
            needs: applied.needs.clone(),
            games: applied.games.keys().map(&mut take).collect(),
            replicas: observed.asked(&BTreeMap::new()),
            inference: credentials.inference,
        })
    }

    /// Asks for a number of instances, or for the usual one again.
    ///
    /// # Errors
    ///
    /// If the load says how many there are.
    pub fn scale(&mut self, wanted: &BTreeMap<Service, Option<u16>>) -> Result<(), DeployError> {
        if let (Target::Kubernetes, Some(scaler)) = (self.target, self.needs.autoscaler)
            && let Some(service) = wanted.iter().find_map(|(service, count)| count.map(|_| service))
        {
            return Err(DeployError::Input(format!(
                "the load says how many of {service} run, from {} to {}: `horizontalPodAutoscaler` in config.yaml; change \
                 its `minReplicas` and `maxReplicas` and run `gaia up <folder>`",
                scaler.min_replicas, scaler.max_replicas
            )));
        }
        self.replicas = changed(&self.replicas, wanted);
        Ok(())
    }
}

/// What is asked for once somebody asks for other numbers; none is the usual one.
pub(crate) fn changed(
    asked: &BTreeMap<Service, u16>,
    wanted: &BTreeMap<Service, Option<u16>>,
) -> BTreeMap<Service, u16> {
    let kept = asked.iter().filter(|(service, _)| !wanted.contains_key(*service));
    let kept = kept.map(|(service, count)| (*service, *count));
    let new = wanted.iter().filter_map(|(service, count)| Some((*service, (*count)?)));
    kept.chain(new).collect()
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
            asked: input.replicas,
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

    /// Whether and how the number of its services' instances follows the load.
    pub(crate) fn scaler(&self) -> Option<Autoscaler> {
        self.needs.autoscaler.filter(|_| self.target == Target::Kubernetes)
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
            Target::Local => digest(&(&self.cluster, bundles, &self.replicas, &self.asked, &self.needs.studio)),
            Target::Compose | Target::Kubernetes => digest(&(
                &self.cluster,
                bundles,
                &self.replicas,
                &self.asked,
                self.target,
                &self.needs,
            )),
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
