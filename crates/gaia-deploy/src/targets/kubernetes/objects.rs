//! The objects of a cluster, in the order in which they are made. Pure.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use gaia_kubernetes::Kind;
use gaia_names::{ClusterName, GameId, Service, Store};
use serde_json::{Value, json};

use super::{entrance, off_hours, pods, policies, quantity, quota};
use crate::{
    Blueprint, StepId,
    blueprint::digest,
    containers::{
        files::{Files, Source, read_at_start},
        parts::{self, Part, Role},
    },
    record::Ports,
    secrets::Secrets,
};

/// Which cluster an object belongs to, as a label.
pub(crate) const CLUSTER: &str = "gaia.dev/cluster";
/// Whose game it is, as a label.
pub(crate) const STUDIO: &str = "gaia.dev/studio";
/// The secret with the bundles that chat boots with.
pub(crate) const GAME_CONFIG: &str = "game-config";
/// The account that all pods have, which may do nothing.
pub(crate) const ACCOUNT: &str = "gaia";
/// The first port of the gateway's pods that a game gets.
const FIRST_PORT: u16 = 7400;
/// Where players come in, behind the service `gateway`.
pub(crate) const PLAYERS: u16 = 80;

/// One object, complete.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) value: Value,
    /// What does not work while it changes.
    pub(crate) down: Option<&'static str>,
}

/// What the objects are made from.
pub(crate) struct Input<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) secrets: &'a Secrets,
    pub(crate) ports: &'a Ports,
    /// Those kinds that come with what is installed, and are.
    pub(crate) known: &'a BTreeSet<Kind>,
}

/// The kinds that not every cluster of Kubernetes has.
pub(crate) const EXTRAS: [Kind; 2] = [Kind::HTTP_ROUTE, Kind::SCALED_OBJECT];

/// The namespace of a cluster.
pub(crate) fn namespace(cluster: &ClusterName) -> String {
    format!("gaia-{cluster}")
}

impl Object {
    /// The step that makes it: `deployment:chat`.
    pub(crate) fn step(&self) -> StepId {
        step_of(self.kind, &self.name)
    }
}

/// The step that makes an object. A job is called after what it does as well, and each comes in place of the one before.
pub(crate) fn step_of(kind: Kind, name: &str) -> StepId {
    let name = match kind {
        Kind::JOB => name.rsplit_once('-').map_or(name, |(name, _)| name),
        _ => name,
    };
    StepId(format!("{}:{name}", kind.name.to_ascii_lowercase()))
}

/// Gives each game a port at the gateway's pods; those that have one keep it.
pub(crate) fn ports(blueprint: &Blueprint, before: &Ports) -> Ports {
    let mut gateway: BTreeMap<_, _> = before.gateway.clone();
    gateway.retain(|game, _| blueprint.games.contains_key(game));
    for game in blueprint.games.keys() {
        if !gateway.contains_key(game) {
            let free = (FIRST_PORT..).find(|port| !gateway.values().any(|taken| taken == port));
            gateway.insert(game.clone(), free.unwrap_or(FIRST_PORT));
        }
    }
    Ports {
        gateway,
        ..Ports::default()
    }
}

/// The port of the service `gateway` at which a game's players come in.
pub(crate) fn port_for_players(ports: &Ports, game: &GameId) -> u16 {
    // The first game, or the only one, is where everybody looks.
    match ports.gateway.iter().next() {
        Some((first, _)) if first == game => PLAYERS,
        _ => ports.gateway.get(game).copied().unwrap_or(PLAYERS),
    }
}

/// All objects of a cluster; none while secrets or ports are missing.
pub(crate) fn all(input: &Input<'_>) -> Option<Vec<Object>> {
    let parts = parts::all(input.blueprint);
    let mut made = vec![input.namespace()];
    made.extend(input.plain(quota::all(input.blueprint, &parts)));
    made.push(input.object(
        Kind::SERVICE_ACCOUNT,
        ACCOUNT,
        None,
        json!({ "automountServiceAccountToken": false }),
    ));
    made.extend(input.plain(policies::all(input.blueprint, input.ports, &parts)));
    made.push(input.secret(GAME_CONFIG, None, &input.source().bundles()?));
    for part in &parts {
        made.extend(input.part(part)?);
    }
    made.extend(input.entrances());
    if let (Some(hours), false) = (&input.blueprint.needs.off_hours, input.has_keda()) {
        made.extend(input.plain(off_hours::all(input.blueprint, hours, &parts)));
    }
    Some(made)
}

impl Input<'_> {
    fn source(&self) -> Source<'_> {
        Source {
            blueprint: self.blueprint,
            secrets: self.secrets,
            ports: self.ports,
            // The name that a pod has below the service of its store.
            host: |store, number| format!("{store}-{}.{store}", number.saturating_sub(1)),
        }
    }

    fn plain(&self, all: Vec<(Kind, String, Value)>) -> Vec<Object> {
        all.into_iter()
            .map(|(kind, name, rest)| self.object(kind, &name, None, rest))
            .collect()
    }

    fn namespace(&self) -> Object {
        let mut object = self.object(Kind::NAMESPACE, &namespace(&self.blueprint.cluster), None, json!({}));
        for mode in ["enforce", "audit", "warn"] {
            object.value["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
        }
        object
    }

    /// The objects of one part: its files, its way in, and what runs it.
    fn part(&self, part: &Part) -> Option<Vec<Object>> {
        let name = part.role.name();
        let files = self.source().of(part.role)?;
        let contents = read_at_start(&files);
        let secret = self.secret(name, Some(part.role), &files);
        let mut made = vec![secret];
        if let Some(service) = self.service(part) {
            made.push(service);
        }
        // Settings are read when a process starts; the digest has new ones start it again.
        let template = pods::template(self.blueprint, part, &self.labels(Some(part.role)), &digest(&contents));
        let selector = json!({ "matchLabels": pods::selector(&self.blueprint.cluster, part.role) });
        let workload = match part.role {
            Role::Store(_) => self.object(
                Kind::STATEFUL_SET,
                name,
                Some(part.role),
                stateful(
                    part,
                    &selector,
                    &template,
                    &pods::selector(&self.blueprint.cluster, part.role),
                ),
            ),
            // What a job does cannot be changed; another one is made.
            Role::Setup => {
                let name = format!("{name}-{}", &digest(&template)[..10]);
                self.object(Kind::JOB, &name, Some(part.role), job(&template))
            }
            Role::Inference | Role::Service(_) => {
                let replicas = (!self.is_scaled(part)).then_some(part.replicas);
                self.object(
                    Kind::DEPLOYMENT,
                    name,
                    Some(part.role),
                    deployment(replicas, &selector, &template),
                )
            }
        };
        made.push(Object {
            down: down(part),
            ..workload
        });
        made.extend(self.budget(part, &selector));
        made.extend(self.scaler(part));
        Some(made)
    }

    /// Whether and how the number of its pods follows the load.
    fn scales(&self, part: &Part) -> Option<gaia_spec::Autoscaler> {
        matches!(part.role, Role::Service(_)).then_some(self.blueprint.needs.autoscaler)?
    }

    /// Whether the number of its pods is not for the deployment to say.
    fn is_scaled(&self, part: &Part) -> bool {
        let closes = self.blueprint.needs.off_hours.is_some() && off_hours::closes(part.role);
        closes || self.scales(part).is_some()
    }

    fn has_keda(&self) -> bool {
        self.known.contains(&Kind::SCALED_OBJECT)
    }

    fn entrances(&self) -> impl Iterator<Item = Object> {
        let ways_in = self.blueprint.needs.entrances.iter();
        ways_in.map(|(game, own)| {
            let (kind, rest) = entrance::object(own, port_for_players(self.ports, game));
            self.object(kind, game.as_str(), None, rest)
        })
    }

    fn service(&self, part: &Part) -> Option<Object> {
        let selector = pods::selector(&self.blueprint.cluster, part.role);
        let port = |name: &str, port: u16, target: Value| json!({ "name": name, "port": port, "targetPort": target, "protocol": "TCP" });
        let spec = match part.role {
            // Each pod of a store has a name of its own; clients ask for all of them.
            Role::Store(_) => {
                let ports = part.ports.iter().map(|(name, number)| port(name, *number, json!(name)));
                json!({
                    "clusterIP": "None", "publishNotReadyAddresses": true, "selector": selector,
                    "ports": ports.collect::<Vec<_>>(),
                })
            }
            Role::Inference => {
                let ports = part.ports.iter().map(|(name, number)| port(name, *number, json!(name)));
                json!({ "type": "ClusterIP", "selector": selector, "ports": ports.collect::<Vec<_>>() })
            }
            Role::Service(Service::Gateway) => {
                let ports = self.ports.gateway.iter().map(|(game, number)| {
                    let outside = port_for_players(self.ports, game);
                    port(&port_name(game.as_str()), outside, json!(number))
                });
                json!({ "type": "ClusterIP", "selector": selector, "ports": ports.collect::<Vec<_>>() })
            }
            Role::Setup | Role::Service(_) => return None,
        };
        Some(self.object(
            Kind::SERVICE,
            part.role.name(),
            Some(part.role),
            json!({ "spec": spec }),
        ))
    }

    /// Keeps a drained node from taking several pods of a part at once.
    fn budget(&self, part: &Part, selector: &Value) -> Option<Object> {
        let is_several = part.replicas > 1 || self.scales(part).is_some_and(|scaler| scaler.max_replicas > 1);
        (is_several && !matches!(part.role, Role::Setup)).then(|| {
            let spec = json!({
                "maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow",
            });
            let name = part.role.name();
            self.object(Kind::DISRUPTION_BUDGET, name, Some(part.role), json!({ "spec": spec }))
        })
    }

    fn scaler(&self, part: &Part) -> Option<Object> {
        let hours = self
            .blueprint
            .needs
            .off_hours
            .as_ref()
            .filter(|_| off_hours::closes(part.role));
        if let (Some(hours), true) = (hours, self.has_keda()) {
            return Some(self.scaled_object(part, hours));
        }
        let scaler = self.scales(part)?;
        let name = part.role.name();
        let spec = json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            // None at all is the business of the off-hours; the load alone never ends a game.
            "minReplicas": scaler.min_replicas.max(1),
            "maxReplicas": scaler.max_replicas.max(1),
            "metrics": [{
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": { "type": "Utilization", "averageUtilization": scaler.target_cpu_percent },
                },
            }],
        });
        Some(self.object(Kind::AUTOSCALER, name, Some(part.role), json!({ "spec": spec })))
    }

    /// What KEDA makes an autoscaler from that also knows the clock.
    fn scaled_object(&self, part: &Part, hours: &gaia_spec::OffHours) -> Object {
        let name = part.role.name();
        let scaler = self.scales(part);
        let least = scaler.map_or(part.replicas, |scaler| scaler.min_replicas.max(1));
        let mut triggers = vec![off_hours::opening_hours(hours, least)];
        triggers.extend(scaler.map(|scaler| {
            let percent = scaler.target_cpu_percent.to_string();
            json!({ "type": "cpu", "metricType": "Utilization", "metadata": { "value": percent } })
        }));
        let spec = json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "minReplicaCount": 0,
            "maxReplicaCount": scaler.map_or(part.replicas, |scaler| scaler.max_replicas.max(1)),
            "triggers": triggers,
        });
        self.object(Kind::SCALED_OBJECT, name, Some(part.role), json!({ "spec": spec }))
    }

    fn secret(&self, name: &str, role: Option<Role>, files: &Files) -> Object {
        let data: BTreeMap<_, _> = files
            .iter()
            .map(|(name, text)| (name, STANDARD.encode(text.expose())))
            .collect();
        let secret = if role.is_some() {
            format!("{name}-files")
        } else {
            name.to_owned()
        };
        self.object(Kind::SECRET, &secret, role, json!({ "type": "Opaque", "data": data }))
    }

    fn object(&self, kind: Kind, name: &str, role: Option<Role>, rest: Value) -> Object {
        let games: Vec<&str> = self.blueprint.games.keys().map(|game| game.as_str()).collect();
        let mut labels = self.labels(role);
        // Pods do without: another one would restart them all.
        if let Some(studio) = &self.blueprint.needs.studio {
            labels[STUDIO] = json!(studio);
        }
        let mut value = json!({
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": { "gaia.dev/games": games.join(",") },
            },
        });
        if kind.is_namespaced {
            value["metadata"]["namespace"] = json!(namespace(&self.blueprint.cluster));
        }
        for (key, part) in rest.as_object().into_iter().flatten() {
            value[key] = part.clone();
        }
        Object {
            kind,
            name: name.to_owned(),
            value,
            down: None,
        }
    }

    /// By what an object is found, and its bill told from another game's.
    fn labels(&self, role: Option<Role>) -> Value {
        let cluster = &self.blueprint.cluster;
        let mut labels = json!({
            CLUSTER: cluster,
            "app.kubernetes.io/part-of": "gaia",
            "app.kubernetes.io/managed-by": "gaia",
            "app.kubernetes.io/instance": cluster,
            "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(role) = role {
            labels["app.kubernetes.io/name"] = json!(role.name());
            labels["app.kubernetes.io/component"] = json!(match role {
                Role::Store(_) => "store",
                Role::Service(_) => "service",
                Role::Setup | Role::Inference => "helper",
            });
        }
        labels
    }
}

/// The name of a game's port: at most 15 letters, so it is the beginning of the game's.
fn port_name(game: &str) -> String {
    let short: String = game.chars().take(15).collect();
    short.trim_end_matches('-').to_owned()
}

fn deployment(replicas: Option<u32>, selector: &Value, template: &Value) -> Value {
    let mut spec = json!({
        "selector": selector,
        "template": template,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": 180,
        // Whoever is new is well before anybody goes.
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
    });
    // Where something scales them, it alone says how many.
    if let Some(replicas) = replicas {
        spec["replicas"] = json!(replicas);
    }
    json!({ "spec": spec })
}

fn stateful(part: &Part, selector: &Value, template: &Value, labels: &Value) -> Value {
    let mut spec = json!({
        "serviceName": part.role.name(),
        "replicas": part.replicas,
        "selector": selector,
        "template": template,
        "revisionHistoryLimit": 2,
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "RollingUpdate" },
        // What was kept goes only when somebody destroys it by name.
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
    });
    if let Some(data) = &part.data {
        spec["volumeClaimTemplates"] = json!([{
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": "data", "labels": labels },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": quantity::of_bytes(data.bytes) } },
            },
        }]);
    }
    json!({ "spec": spec })
}

fn job(template: &Value) -> Value {
    json!({ "spec": { "backoffLimit": 4, "activeDeadlineSeconds": 600, "template": template } })
}

fn down(part: &Part) -> Option<&'static str> {
    match part.role {
        Role::Store(Store::Postgres) if part.replicas == 1 => Some("players get a 503"),
        Role::Store(Store::Redis) if part.replicas == 1 => Some("rate limits and recent messages are forgotten"),
        Role::Store(Store::Nats) if part.replicas == 1 => Some("requests wait or fail"),
        _ => None,
    }
}
