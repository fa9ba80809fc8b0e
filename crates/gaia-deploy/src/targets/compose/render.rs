//! The Compose file of a cluster and the files that it mounts. Pure.

use std::collections::BTreeMap;

use gaia_names::{ClusterName, Service, Store};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    Blueprint, DeployError, StepId,
    blueprint::{digest, instance_name},
    containers::{
        files::{Files, Source, read_at_start},
        parts::{self, BUNDLES, Check, FILES, Part, Role},
    },
    plan::ids::{part_step, service_step, store_step},
    record::Ports,
    secrets::Secrets,
};

/// What the container was made from, as a label: another one means that it is made anew.
pub(crate) const REVISION: &str = "dev.gaia.revision";
/// Whose game it is, as a label.
const STUDIO: &str = "dev.gaia.studio";
/// Which cluster of which home it belongs to, as a label.
pub(crate) const OWNER: &str = "dev.gaia.owner";
/// The name of the file.
pub(crate) const FILE: &str = "compose.yaml";
/// The folder beside it with what the parts mount.
pub(crate) const FOLDER: &str = "files";
/// The part of [`FOLDER`] with the bundles.
pub(crate) const BUNDLES_FOLDER: &str = "bundles";
/// The network of all parts, which leads nowhere else.
const INSIDE: &str = "inside";
/// The network of those parts that reach the world.
const OUTSIDE: &str = "outside";
/// The most processes that one container may have.
const MOST_PROCESSES: u32 = 512;

/// What a Compose file is made from.
pub(crate) struct Input<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) secrets: &'a Secrets,
    pub(crate) ports: &'a Ports,
    /// Tells this cluster from one with the same name that somebody else made.
    pub(crate) owner: &'a str,
    /// Whom the containers run as, where whoever applies may not give files away.
    pub(crate) user: Option<(u32, u32)>,
    /// The labels that its networks and volumes were made with: the engine gives them no others. None if they are not made.
    pub(crate) made_with: Option<&'a BTreeMap<String, String>>,
    /// How many cores the machine has: an engine refuses to promise more. None for a machine that is not known.
    pub(crate) cores: Option<u32>,
}

/// A whole project.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The file's text.
    pub(crate) text: String,
    /// What its containers are made from, by service of the file.
    pub(crate) revisions: BTreeMap<String, String>,
    /// Whom each part's files belong to, and the files.
    pub(crate) files: BTreeMap<Role, (u32, Files)>,
    /// The games' bundles, by file name.
    pub(crate) bundles: Files,
    /// The labels of its networks and volumes.
    pub(crate) labels: BTreeMap<String, String>,
}

/// The name of a cluster's project.
pub(crate) fn project(cluster: &ClusterName) -> String {
    format!("gaia-{cluster}")
}

/// The project of a cluster; none while secrets or ports are missing.
pub(crate) fn render(input: &Input<'_>) -> Option<Project> {
    let Input {
        blueprint,
        secrets,
        ports,
        ..
    } = *input;
    let source = Source {
        blueprint,
        secrets,
        ports,
        host: node,
    };
    let (mut services, mut revisions, mut files) = (Map::new(), BTreeMap::new(), BTreeMap::new());
    for part in parts::all(blueprint) {
        let own = source.of(part.role)?;
        let contents = read_at_start(&own);
        for instance in instances(&part) {
            let mut service = input.service(&part, &instance);
            let revision = revision(&service, &contents, blueprint.needs.studio.as_deref());
            service["labels"] = input.labels(Some(part.role), Some(&revision));
            revisions.insert(instance.clone(), revision);
            services.insert(instance, service);
        }
        files.insert(part.role, (part.user, own));
    }
    let labels = match input.made_with {
        Some(labels) => json!(labels),
        None => input.labels(None, None),
    };
    let whole = json!({
        "name": project(&blueprint.cluster),
        "services": services,
        "networks": {
            INSIDE: { "internal": true, "labels": labels },
            OUTSIDE: { "labels": labels },
        },
        "volumes": volumes(blueprint, &labels),
    });
    Some(Project {
        text: to_yaml(&whole).ok()?,
        revisions,
        files,
        bundles: source.bundles()?,
        labels: serde_json::from_value(labels).ok()?,
    })
}

/// What a container is made from: its image, its settings, its files and its studio, each by its digest. The engine cannot
/// label a container anew.
fn revision(service: &Value, contents: &impl Serialize, studio: Option<&str>) -> String {
    let mut settings = service.clone();
    let image = settings["image"].take();
    // Whom it waits for at its start is nothing that it must start again for.
    settings["depends_on"].take();
    let parts = [digest(&image), digest(&settings), digest(contents), digest(&studio)];
    parts.map(|part| part[..12].to_owned()).join(".")
}

/// What differs between two revisions of a container, in words.
pub(crate) fn difference(found: &str, wanted: &str) -> String {
    let words = ["image", "settings", "files", "studio"];
    let parts: Vec<(&str, &str)> = found.split('.').zip(wanted.split('.')).collect();
    if parts.len() != words.len() {
        return "another version of Gaia made it".to_owned();
    }
    let named = words.iter().zip(parts);
    let differ: Vec<&str> = named
        .filter(|(_, (found, wanted))| found != wanted)
        .map(|(word, _)| *word)
        .collect();
    format!("it was made from another state of: {}", differ.join(", "))
}

impl Input<'_> {
    fn service(&self, part: &Part, instance: &str) -> Value {
        let folder = part.role.name();
        let mut mounts = vec![mount(&format!("./{FOLDER}/{folder}"), FILES)];
        if part.reads_bundles {
            mounts.push(mount(&format!("./{FOLDER}/{BUNDLES_FOLDER}"), BUNDLES));
        }
        if let Some(data) = &part.data {
            mounts.push(json!({ "type": "volume", "source": instance, "target": data.path }));
        }
        let (uid, gid) = self.user.unwrap_or((part.user, part.user));
        let scratch = part.scratch.iter().map(|path| match *path {
            "/tmp" => "/tmp:size=256m,mode=1777".to_owned(),
            other => format!("{other}:size=64m,uid={uid},gid={gid},mode=0700"),
        });
        let mut service = json!({
            "image": part.image,
            "container_name": format!("{}-{instance}", project(&self.blueprint.cluster)),
            "user": format!("{uid}:{gid}"),
            "working_dir": "/tmp",
            "read_only": true,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "tmpfs": scratch.collect::<Vec<_>>(),
            "volumes": mounts,
            "networks": if part.goes_out { vec![INSIDE, OUTSIDE] } else { vec![INSIDE] },
            "stop_grace_period": format!("{}s", part.grace_seconds),
            "deploy": { "resources": { "limits": self.limits(part) } },
            "logging": { "driver": "json-file", "options": { "max-size": "10m", "max-file": "3" } },
        });
        if matches!(part.role, Role::Store(_)) && part.replicas > 1 {
            // By which a node knows which of them it is.
            service["hostname"] = json!(instance);
        }
        service["command"] = json!(part.command);
        if !part.environment.is_empty() {
            service["environment"] = json!(part.environment);
        }
        let depends = self.depends_on(part.role);
        if !depends.is_empty() {
            service["depends_on"] = Value::Object(depends);
        }
        match &part.check {
            Check::Ends => {
                service["restart"] = json!("no");
                service["healthcheck"] = json!({ "disable": true });
            }
            Check::Command(words) => {
                service["restart"] = json!("unless-stopped");
                service["healthcheck"] = health(words);
            }
        }
        if part.role == Role::Service(Service::Gateway) {
            let published = self.ports.gateway.values();
            let published = published.map(|port| format!("127.0.0.1:{port}:{port}"));
            service["ports"] = json!(published.collect::<Vec<_>>());
        }
        service
    }

    fn limits(&self, part: &Part) -> Value {
        let most = self.cores.map_or(u32::MAX, |cores| cores.saturating_mul(1_000));
        let millicores = part.resources.cpu_millicores.min(most);
        json!({
            "memory": format!("{}m", part.resources.memory_bytes >> 20),
            "cpus": format!("{}.{:03}", millicores / 1_000, millicores % 1_000),
            "pids": MOST_PROCESSES,
        })
    }

    fn depends_on(&self, role: Role) -> Map<String, Value> {
        let others = parts::all(self.blueprint);
        let before = role.after();
        let wanted = others.iter().filter(|part| before.contains(&part.role));
        let all = wanted.flat_map(|part| {
            let condition = match part.check {
                Check::Ends => "service_completed_successfully",
                Check::Command(_) => "service_healthy",
            };
            let on = move |instance| (instance, json!({ "condition": condition }));
            instances(part).into_iter().map(on)
        });
        all.collect()
    }

    /// By what a container is found, and its bill told from another game's.
    fn labels(&self, role: Option<Role>, revision: Option<&str>) -> Value {
        let games: Vec<&str> = self.blueprint.games.keys().map(|game| game.as_str()).collect();
        let mut labels = json!({
            OWNER: self.owner,
            "dev.gaia.cluster": self.blueprint.cluster,
            "dev.gaia.game": games.join(","),
            "dev.gaia.version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(studio) = &self.blueprint.needs.studio {
            labels[STUDIO] = json!(studio);
        }
        if let Some(role) = role {
            labels["dev.gaia.part"] = json!(role.name());
        }
        if let Some(revision) = revision {
            labels[REVISION] = json!(revision);
        }
        labels
    }
}

/// The name of one of a store's several nodes.
pub(crate) fn node(store: Store, number: u32) -> String {
    format!("{store}-{number}")
}

/// Whether it is the name of a store's container.
pub(crate) fn is_store(instance: &str) -> bool {
    instance
        .split('-')
        .next()
        .is_some_and(|name| name.parse::<Store>().is_ok())
}

/// The step that makes an instance of a part.
pub(crate) fn step_of(part: &Part, instance: &str) -> StepId {
    match part.role {
        Role::Store(_) => store_step(instance),
        Role::Setup | Role::Inference => part_step(instance),
        Role::Service(_) => service_step(instance),
    }
}

/// The services of the file that a part becomes: one for each instance of a service, and for each node of a store.
pub(crate) fn instances(part: &Part) -> Vec<String> {
    match part.role {
        Role::Service(service) => (1..=part.replicas)
            .map(|number| instance_name(service, u16::try_from(number).unwrap_or(u16::MAX)))
            .collect(),
        Role::Store(store) if part.replicas > 1 => (1..=part.replicas).map(|number| node(store, number)).collect(),
        role => vec![role.name().to_owned()],
    }
}

/// The volumes of the stores that keep something, as the engine calls them.
pub(crate) fn volumes_of_stores(cluster: &ClusterName) -> Vec<(Store, String)> {
    vec![(Store::Postgres, format!("{}_{}", project(cluster), Store::Postgres))]
}

fn volumes(blueprint: &Blueprint, labels: &Value) -> Map<String, Value> {
    let kept = parts::all(blueprint).into_iter().filter(|part| part.data.is_some());
    kept.flat_map(|part| instances(&part))
        .map(|instance| (instance, json!({ "labels": labels })))
        .collect()
}

fn mount(source: &str, target: &str) -> Value {
    json!({ "type": "bind", "source": source, "target": target, "read_only": true })
}

fn health(words: &[String]) -> Value {
    let mut test = vec!["CMD".to_owned()];
    test.extend(words.iter().cloned());
    json!({ "test": test, "interval": "5s", "timeout": "5s", "retries": 3, "start_period": "60s" })
}

/// A value as YAML.
pub(crate) fn to_yaml(value: &Value) -> Result<String, DeployError> {
    serde_saphyr::to_string(value).map_err(|fault| DeployError::Input(format!("failed to write YAML: {fault}")))
}
