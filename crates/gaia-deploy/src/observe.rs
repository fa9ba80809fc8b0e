//! What is there: read from the cluster's own files, the processes and the stores. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use gaia_kubernetes::{Forward, Kind};
use gaia_names::{ClusterName, GameId, Service, Store, Target};
use gaia_protocol::{chat::BundleInUse, settings::ChatGame};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::{
    Blueprint, ClusterFolder, Credentials, DeployError, Home, Parent, StepId,
    admin_api::Gateway,
    blueprint::changed,
    containers::exec::Exec,
    error::with_cause,
    files,
    plan::ids::{POSTGRES_DATA, store_step},
    record::{Life, Ports, Record},
    secrets::Secrets,
    stores::{nats, postgres, redis},
    targets::{
        compose,
        kubernetes::{
            inventory::Inventory,
            observing::{Found, Live},
        },
        local::{
            ops,
            place::Place,
            ports,
            processes::ProcessId,
            supervisor::{
                desired,
                report::{ProcessState, Report},
            },
        },
    },
};

/// A cluster as it was found.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which.
    pub cluster: ClusterName,
    /// The supervisor, if it runs.
    pub supervisor: Option<ObservedProcess>,
    /// The processes that should run, or do.
    pub processes: BTreeMap<String, ObservedProcess>,
    pub(crate) folder: ClusterFolder,
    pub(crate) target: Target,
    /// The objects of its namespace, on Kubernetes.
    pub(crate) objects: BTreeMap<StepId, Live>,
    /// The quotas in its namespace that are not its own.
    pub(crate) foreign_quotas: Vec<Live>,
    /// The kinds that not every Kubernetes has, and the one that it is in has.
    pub(crate) known: BTreeSet<Kind>,
    /// Whether its namespace is being deleted.
    pub(crate) is_ending: bool,
    /// A gateway that runs, and how it is reached.
    pub(crate) gateway: Option<Gateway>,
    pub(crate) is_there: bool,
    pub(crate) record: Option<Record>,
    pub(crate) secrets: Option<Secrets>,
    /// The settings of each instance as they stand in its file.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) bundles_in_use: BTreeMap<GameId, Result<BundleInUse, String>>,
    /// Recorded ports that somebody else has taken while nobody of ours used them.
    pub(crate) lost_ports: BTreeSet<u16>,
    /// The stores that were made to keep something, and why that is lost.
    pub(crate) lost_data: BTreeMap<Store, String>,
    /// The id that each image has now, by its name, where it can change under the name.
    pub(crate) images: BTreeMap<String, String>,
    /// The digest of the Compose file and of what the containers mount, as they lie there.
    pub(crate) files_digest: Option<String>,
    /// Files of the cluster that cannot be read.
    pub(crate) faults: Vec<String>,
}

/// A process as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedProcess {
    /// Whether it runs.
    pub is_running: bool,
    /// Its process id on this machine, where it is a process of it.
    pub pid: Option<u32>,
    /// Since when it is as it is, as the supervisor says.
    pub since: Option<DateTime<Utc>>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended the last time.
    pub last_exit: Option<String>,
    /// Whether it has all that it needs; else what is missing.
    pub readiness: Result<(), String>,
    /// Its memory in bytes.
    pub memory_bytes: Option<u64>,
    /// What it was told when it started.
    pub(crate) revision: String,
    /// The id of the image that it was made from, where that is known.
    pub(crate) image: Option<String>,
}

impl Observed {
    /// What a new blueprint follows.
    #[must_use]
    pub fn parent(&self) -> Parent {
        let mut parent = self.record.as_ref().map(Record::parent).unwrap_or_default();
        // What somebody else has published past us counts too, or ours would be taken for old.
        for (game, used) in &self.bundles_in_use {
            if let (Ok(used), Some(newest)) = (used, parent.bundles.get_mut(game))
                && used.generation > newest.0
            {
                *newest = (used.generation, String::new());
            }
        }
        parent
    }

    /// Whether there is such a cluster, or something left of it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.is_there
    }

    /// The blueprint that was last applied in full, without its credentials.
    #[must_use]
    pub fn applied(&self) -> Option<&Blueprint> {
        self.record.as_ref().and_then(|record| record.applied.as_ref())
    }

    /// Where it runs, or is to.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether only its data is left, and what is needed to take that up again.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.life == Life::Kept)
    }

    /// How many instances of each service are asked for once somebody asks for others; none is the usual number.
    #[must_use]
    pub fn asked(&self, wanted: &BTreeMap<Service, Option<u16>>) -> BTreeMap<Service, u16> {
        let record = self.record.as_ref().filter(|record| !record.is_ending());
        changed(&record.map(|record| record.asked.clone()).unwrap_or_default(), wanted)
    }

    /// What chat was told and no record holds: the keys of routes, the secrets of tool servers, where embeddings come from.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let of_part = || {
            let file = compose::work::root(&self.folder).join(compose::render::FOLDER);
            let bytes = files::read(&file.join(Service::Chat.as_str()).join("settings.json"));
            Some(String::from_utf8_lossy(&bytes.ok()??).into_owned())
        };
        let text = match self.target {
            Target::Local => {
                let is_chat = |(name, _): &(&String, _)| name.starts_with(Service::Chat.as_str());
                self.settings.iter().find(is_chat)?.1.clone()
            }
            Target::Compose => of_part()?,
            Target::Kubernetes => {
                let Live(secret) = self.objects.get(&StepId("secret:chat-files".to_owned()))?;
                let text = STANDARD.decode(secret["data"]["settings.json"].as_str()?).ok()?;
                String::from_utf8(text).ok()?
            }
        };
        told_to_chat(&text)
    }

    /// A port on this machine that leads to a gateway's for a game, where its own cannot be reached from here.
    ///
    /// # Errors
    ///
    /// If no gateway is ready, or no port can be opened.
    pub async fn forward(&self, game: &GameId) -> Result<Option<Forward>, DeployError> {
        let Some(Gateway::Container(Exec::Pod {
            kubernetes,
            namespace,
            pod,
        })) = &self.gateway
        else {
            return Ok(None);
        };
        let port = self.record.as_ref().and_then(|record| record.ports.gateway.get(game));
        match port {
            Some(port) => Ok(Some(kubernetes.forward(namespace, pod, *port).await?)),
            None => Ok(None),
        }
    }

    /// Whether secrets that were replaced are still known somewhere.
    #[must_use]
    pub fn has_former_secrets(&self) -> bool {
        self.secrets.as_ref().is_some_and(|secrets| secrets.former.is_some())
    }

    pub(crate) fn is_meant_to_run(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.life == Life::Up)
    }
}

impl ObservedProcess {
    /// A container that was made and is not there.
    fn gone() -> Self {
        Self {
            is_running: false,
            pid: None,
            since: None,
            restarts: 0,
            last_exit: None,
            readiness: Err("its container is gone".to_owned()),
            memory_bytes: None,
            revision: String::new(),
            image: None,
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running
    }
}

/// Looks at a cluster where it is, or where home says that it is to be. One that does not exist is observed as nothing.
///
/// # Errors
///
/// If its files cannot be read, its target does not answer, or it is on another one than home says.
pub async fn observe(home: &Home, cluster: &ClusterName) -> Result<Observed, DeployError> {
    let folder = home.cluster(cluster);
    let target = home.target_of(cluster)?;
    let mut observed = Observed {
        cluster: cluster.clone(),
        is_there: folder.path().exists(),
        target,
        objects: BTreeMap::new(),
        foreign_quotas: Vec::new(),
        known: BTreeSet::new(),
        is_ending: false,
        gateway: None,
        supervisor: None,
        processes: BTreeMap::new(),
        settings: BTreeMap::new(),
        bundles_in_use: BTreeMap::new(),
        lost_ports: BTreeSet::new(),
        lost_data: BTreeMap::new(),
        images: BTreeMap::new(),
        files_digest: None,
        folder,
        record: None,
        secrets: None,
        faults: Vec::new(),
    };
    match target {
        Target::Local => {
            observed.read_folder();
            observed.look_at_this_machine().await?;
        }
        Target::Compose => {
            observed.read_folder();
            observed.look_at_containers().await?;
        }
        Target::Kubernetes => observed.look_at_namespace(&home.inventory(cluster).await?).await?,
    }
    observed.ask_for_bundles().await;
    Ok(observed)
}

impl Observed {
    /// What cannot be read is shown and counts as missing, so that a broken cluster can be looked at and destroyed.
    fn read_folder(&mut self) {
        let record = Record::read(&self.folder);
        self.record = record.unwrap_or_else(|fault| note(&mut self.faults, &fault));
        let secrets = files::read_json(&self.folder.secrets(), "a cluster's secrets");
        self.secrets = secrets.unwrap_or_else(|fault| note(&mut self.faults, &fault));
    }

    async fn look_at_namespace(&mut self, inventory: &Inventory) -> Result<(), DeployError> {
        let found = Found::look(inventory).await?;
        // What this machine knows of it is made before the namespace and goes after it.
        self.is_there |= found.namespace.is_some();
        self.is_ending = found.is_ending();
        if found.namespace.is_some() {
            self.record = inventory
                .record()
                .await
                .unwrap_or_else(|fault| note(&mut self.faults, &fault));
            self.secrets = inventory
                .secrets()
                .await
                .unwrap_or_else(|fault| note(&mut self.faults, &fault));
        }
        self.processes = found.processes();
        self.gateway = found.gateway(&inventory.kubernetes, &inventory.namespace());
        for store in Store::ALL {
            let id = StepId(format!("statefulset:{store}"));
            let record = self.record.as_ref().filter(|record| !record.is_ending());
            let made = record.and_then(|record| record.resources.get(&id));
            let kept = made
                .map(|made| made.digest.as_str())
                .filter(|digest| !digest.is_empty());
            let now = found.claims(store.as_str());
            if kept.is_some_and(|kept| !kept.split(", ").all(|claim| now.contains(claim))) {
                let why = "its volume is gone, or another one than was made: what it held is lost";
                self.lost_data.insert(*store, why.to_owned());
            }
        }
        self.objects = found.objects;
        self.known = found.known;
        self.foreign_quotas = found.foreign_quotas;
        Ok(())
    }

    async fn look_at_this_machine(&mut self) -> Result<(), DeployError> {
        let report = files::read_json(&self.folder.observed(), "the supervisor's report");
        let report: Option<Report> = report.unwrap_or_else(|fault| note(&mut self.faults, &fault));
        self.supervisor = report.as_ref().and_then(supervisor);
        self.processes = processes(&self.folder, report.as_ref())?;
        self.read_settings()?;
        self.ask_for_readiness().await;
        self.gateway = self.gateway_ops_port().map(Gateway::Port);
        self.look_for_lost_ports();
        let data = Place::paths(self.folder.path()).postgres_data();
        if self.was_made(&StepId(POSTGRES_DATA.to_owned())) && !data.exists() {
            let why = format!("{} is gone, and what it held with it", data.display());
            self.lost_data.insert(Store::Postgres, why);
        }
        Ok(())
    }

    /// Whether a step has made something that should be there.
    fn was_made(&self, id: &StepId) -> bool {
        let record = self.record.as_ref().filter(|record| !record.is_ending());
        record.is_some_and(|record| record.resources.contains_key(id))
    }

    async fn look_at_containers(&mut self) -> Result<(), DeployError> {
        let found = compose::observing::Found::look(&self.folder).await?;
        self.is_there |= !found.containers.is_empty();
        self.processes = found.processes();
        // What was made and is not there is shown as well.
        for id in self.record.iter().flat_map(|record| record.resources.keys()) {
            let made =
                id.0.split_once(':')
                    .filter(|(kind, _)| matches!(*kind, "store" | "part" | "service"));
            if let Some((_, name)) = made {
                self.processes
                    .entry(name.to_owned())
                    .or_insert_with(ObservedProcess::gone);
            }
        }
        self.gateway = found.gateway();
        for (store, volume) in compose::render::volumes_of_stores(&self.cluster) {
            let why = match found.volumes.get(&volume) {
                None => format!("the volume {volume} is gone, and what it held with it"),
                Some(owner) if *owner != compose::observing::owner(&self.folder) => {
                    format!("the volume {volume} is another cluster's")
                }
                Some(_) => continue,
            };
            if self.was_made(&store_step(store.as_str())) {
                self.lost_data.insert(store, why);
            }
        }
        self.files_digest = compose::sight::found_digest(&compose::work::root(&self.folder));
        self.images = found.images;
        let gateways = self.record.iter().flat_map(|record| record.ports.gateway.values());
        let gateways = gateways.filter(|_| !found.containers.contains_key("gateway-1"));
        self.lost_ports = gateways.copied().filter(|port| !ports::is_free(*port)).collect();
        Ok(())
    }

    fn read_settings(&mut self) -> Result<(), DeployError> {
        let instances = self.record.iter().flat_map(|record| record.instances.keys());
        for instance in instances {
            if let Some(bytes) = files::read(&self.folder.settings(instance))? {
                self.settings
                    .insert(instance.clone(), String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }

    async fn ask_for_readiness(&mut self) {
        let mut asked = JoinSet::new();
        for name in self
            .processes
            .iter()
            .filter(|(_, process)| process.is_running())
            .map(|(name, _)| name.clone())
        {
            let (folder, secrets) = (self.folder.clone(), self.secrets.clone());
            let ports = self
                .record
                .as_ref()
                .map(|record| record.ports.clone())
                .unwrap_or_default();
            asked.spawn(async move {
                let answer = readiness(&folder, secrets.as_ref(), &ports, &name).await;
                (name, answer)
            });
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok((name, answer)) = answered
                && let Some(process) = self.processes.get_mut(&name)
            {
                process.readiness = answer;
            }
        }
    }

    async fn ask_for_bundles(&mut self) {
        let (Some(record), Some(secrets)) = (&self.record, &self.secrets) else {
            return;
        };
        let Some(gateway) = &self.gateway else { return };
        for game in record.bundles.keys() {
            if secrets.games.contains_key(game) {
                let answer = gateway.in_use(game, &secrets.admin_tokens(game)).await;
                self.bundles_in_use.insert(game.clone(), answer);
            }
        }
    }

    /// Where a gateway that runs is asked.
    fn gateway_ops_port(&self) -> Option<u16> {
        let prefix = format!("{}-", Service::Gateway);
        let mut running = self
            .processes
            .iter()
            .filter(|(name, process)| name.starts_with(&prefix) && process.is_running());
        running.find_map(|(name, _)| self.record.as_ref()?.ports.ops.get(name).copied())
    }

    fn look_for_lost_ports(&mut self) {
        let Some(record) = &self.record else { return };
        let is_running = |name: &str| self.processes.get(name).is_some_and(ObservedProcess::is_running);
        let a_gateway_runs = self.gateway_ops_port().is_some();
        let nats = record.ports.nats.filter(|_| !is_running(Store::Nats.as_str()));
        let gateways = record.ports.gateway.values().filter(|_| !a_gateway_runs);
        let instances = record
            .ports
            .ops
            .iter()
            .filter(|(name, _)| !is_running(name))
            .map(|(_, port)| port);
        let unused = nats.iter().chain(gateways).chain(instances);
        self.lost_ports = unused.copied().filter(|port| !ports::is_free(*port)).collect();
    }
}

fn told_to_chat(settings: &str) -> Option<Credentials> {
    #[derive(Deserialize)]
    struct Told {
        games: Vec<ChatGame>,
    }
    let Told { games } = serde_json::from_str(settings).ok()?;
    let mut credentials = Credentials::default();
    for game in games {
        credentials.route_keys.insert(game.game.clone(), game.route_keys);
        credentials.tool_secrets.insert(game.game, game.tool_secrets);
        credentials.inference = credentials.inference.or(game.inference);
    }
    Some(credentials)
}

fn note<T>(faults: &mut Vec<String>, fault: &DeployError) -> Option<T> {
    faults.push(with_cause(fault));
    None
}

fn supervisor(report: &Report) -> Option<ObservedProcess> {
    report.supervisor.is_alive().then(|| ObservedProcess {
        is_running: true,
        pid: Some(report.supervisor.pid),
        since: Some(report.since),
        restarts: 0,
        last_exit: None,
        readiness: Ok(()),
        memory_bytes: None,
        revision: String::new(),
        image: None,
    })
}

fn processes(
    folder: &ClusterFolder,
    report: Option<&Report>,
) -> Result<BTreeMap<String, ObservedProcess>, DeployError> {
    let specs = desired(folder)?;
    let mut processes = BTreeMap::new();
    for spec in &specs {
        let known = report.and_then(|report| report.processes.get(&spec.name));
        let reported = known.and_then(|process| process.id).filter(|id| id.is_alive());
        // A report may be older than the process; the process itself is the truth.
        let id: Option<ProcessId> = reported.or_else(|| spec.find());
        let last_exit = known.and_then(|process| process.last_exit.clone());
        let is_known = reported.is_some();
        let why_not = match known {
            Some(process) if process.state == ProcessState::Waiting => {
                format!("it ended ({})", last_exit.as_deref().unwrap_or("how is not known"))
            }
            _ => "it does not run".to_owned(),
        };
        processes.insert(
            spec.name.clone(),
            ObservedProcess {
                is_running: id.is_some(),
                pid: id.map(|id| id.pid),
                since: known.filter(|_| is_known || id.is_none()).map(|process| process.since),
                restarts: known.map_or(0, |process| process.restarts),
                last_exit,
                readiness: if id.is_some() { Ok(()) } else { Err(why_not) },
                memory_bytes: id.and_then(ProcessId::memory),
                revision: known
                    .filter(|_| is_known)
                    .map(|process| process.revision.clone())
                    .unwrap_or_default(),
                image: None,
            },
        );
    }
    Ok(processes)
}

/// Asks one process whether it has all that it needs.
pub(crate) async fn readiness(
    folder: &ClusterFolder,
    secrets: Option<&Secrets>,
    ports: &Ports,
    name: &str,
) -> Result<(), String> {
    let place = Place::paths(folder.path());
    let secrets = secrets.ok_or_else(|| "the cluster's secrets are missing".to_owned())?;
    let told = |fault: DeployError| with_cause(&fault);
    let addresses = place.addresses(ports.nats.unwrap_or_default());
    match name.parse::<Store>() {
        Ok(Store::Postgres) => postgres::ping(&addresses.superuser(secrets)).await.map_err(told),
        Ok(Store::Redis) => redis::ping(&addresses.redis_owner(secrets)).await.map_err(told),
        Ok(Store::Nats) => nats::greet(&addresses.nats).await.map_err(told),
        Err(_) => match ports.ops.get(name) {
            Some(port) => ops::is_ready(*port).await,
            None => Err("its port is not recorded".to_owned()),
        },
    }
}
