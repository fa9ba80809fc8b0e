//! What is there of a cluster in its namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, Utc};
use gaia_kubernetes::{Kind, Kubernetes};
use gaia_names::Service;
use serde_json::Value;

use super::{
    inventory::Inventory,
    objects::{CLUSTER, EXTRAS, step_of},
};
use crate::{DeployError, ObservedProcess, StepId, admin_api::Gateway, containers::exec::Exec};

/// The kinds that a cluster is made of.
pub(crate) const MADE_OF: [Kind; 16] = [
    Kind::RESOURCE_QUOTA,
    Kind::LIMIT_RANGE,
    Kind::SERVICE_ACCOUNT,
    Kind::CONFIG_MAP,
    Kind::SECRET,
    Kind::SERVICE,
    Kind::DEPLOYMENT,
    Kind::STATEFUL_SET,
    Kind::JOB,
    Kind::CRON_JOB,
    Kind::AUTOSCALER,
    Kind::DISRUPTION_BUDGET,
    Kind::NETWORK_POLICY,
    Kind::INGRESS,
    Kind::ROLE,
    Kind::ROLE_BINDING,
];

/// Why a pod that is to end is not ready. One on a node that is lost stays so until the node comes back.
pub(crate) const ENDING: &str = "it is ending";

/// An object as it was found. What it holds may be secret, so it shows nothing.
#[derive(Clone)]
pub(crate) struct Live(pub(crate) Value);

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live(***)")
    }
}

/// A cluster's namespace as it was found.
pub(crate) struct Found {
    pub(crate) namespace: Option<Value>,
    pub(crate) objects: BTreeMap<StepId, Live>,
    pub(crate) pods: Vec<Value>,
    /// Those of the kinds that not every server has, that this one has.
    pub(crate) known: BTreeSet<Kind>,
    pub(crate) foreign_quotas: Vec<Live>,
    /// The claims to volumes.
    pub(crate) volume_claims: Vec<Value>,
}

impl Found {
    /// Looks.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or the namespace belongs to somebody else.
    pub(crate) async fn look(inventory: &Inventory) -> Result<Self, DeployError> {
        let Inventory { kubernetes, cluster } = inventory;
        let name = inventory.namespace();
        let known = kubernetes.knows(&EXTRAS).await?;
        let namespace = kubernetes.get(Kind::NAMESPACE, "", &name).await?;
        let Some(namespace) = namespace else {
            return Ok(Self {
                namespace: None,
                objects: BTreeMap::new(),
                pods: Vec::new(),
                known,
                foreign_quotas: Vec::new(),
                volume_claims: Vec::new(),
            });
        };
        if namespace["metadata"]["labels"][CLUSTER] != cluster.as_str() {
            return Err(DeployError::Foreign {
                what: format!("the namespace `{name}` (context `{}`)", kubernetes.context),
                help: format!(
                    "choose another name for the game, or label the namespace with {CLUSTER}={cluster} to give it away"
                ),
            });
        }
        let selector = format!("{CLUSTER}={cluster}");
        let (mut objects, mut foreign_quotas) = (BTreeMap::new(), Vec::new());
        for kind in MADE_OF.into_iter().chain(known.iter().copied()) {
            // The quotas of others count as well.
            let selector = if kind == Kind::RESOURCE_QUOTA { "" } else { &selector };
            for object in kubernetes.list(kind, &name, selector).await? {
                if object["metadata"]["labels"][CLUSTER] != cluster.as_str() {
                    foreign_quotas.push(Live(object));
                    continue;
                }
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                objects.insert(step_of(kind, &name), Live(object));
            }
        }
        let pods = kubernetes.list(Kind::POD, &name, &selector).await?;
        let volume_claims = kubernetes.list(Kind::VOLUME_CLAIM, &name, &selector).await?;
        objects.insert(step_of(Kind::NAMESPACE, &name), Live(namespace.clone()));
        Ok(Self {
            namespace: Some(namespace),
            objects,
            pods,
            known,
            foreign_quotas,
            volume_claims,
        })
    }

    /// Whether it is being deleted, or should be and something holds it.
    pub(crate) fn is_ending(&self) -> bool {
        let namespace = self.namespace.as_ref();
        namespace.is_some_and(|namespace| namespace["metadata"]["deletionTimestamp"].is_string())
    }

    /// The pods as processes, by name without what the controllers add where there is one of a kind.
    pub(crate) fn processes(&self) -> BTreeMap<String, ObservedProcess> {
        let running = self.pods.iter().filter(|pod| pod["status"]["phase"] != "Succeeded");
        running
            .filter_map(|pod| Some((pod["metadata"]["name"].as_str()?.to_owned(), process(pod))))
            .collect()
    }

    /// The claims of a part, each with the id that no other one ever has.
    pub(crate) fn claims(&self, part: &str) -> String {
        claims(&self.volume_claims, part)
    }

    /// A gateway that is ready, and how it is reached.
    pub(crate) fn gateway(&self, kubernetes: &Kubernetes, namespace: &str) -> Option<Gateway> {
        let is_gateway =
            |pod: &&Value| pod["metadata"]["labels"]["app.kubernetes.io/name"] == Service::Gateway.as_str();
        let ready = self
            .pods
            .iter()
            .filter(is_gateway)
            .find(|pod| process(pod).readiness.is_ok())?;
        Some(Gateway::Container(Exec::Pod {
            kubernetes: kubernetes.clone(),
            namespace: namespace.to_owned(),
            pod: ready["metadata"]["name"].as_str()?.to_owned(),
        }))
    }
}

/// The claims of a part, each with the id that no other one ever has.
pub(crate) fn claims(all: &[Value], part: &str) -> String {
    let mut ids: Vec<String> = all
        .iter()
        .map(|claim| &claim["metadata"])
        .filter(|metadata| metadata["labels"]["app.kubernetes.io/name"] == part)
        .map(|metadata| format!("{} {}", metadata["name"], metadata["uid"]))
        .collect();
    ids.sort();
    ids.join(", ")
}

fn process(pod: &Value) -> ObservedProcess {
    let status = &pod["status"];
    let container = &status["containerStatuses"][0];
    let state = &container["state"];
    let time = |value: &Value| value.as_str()?.parse::<DateTime<Utc>>().ok();
    let last = &container["lastState"]["terminated"];
    let last_exit = last["exitCode"].as_i64().map(|code| {
        let reason = last["reason"].as_str().unwrap_or_default();
        match reason {
            "OOMKilled" => format!("exit {code}, it wanted more memory than it may have"),
            _ => format!("exit {code}"),
        }
    });
    let is_ending = pod["metadata"]["deletionTimestamp"].is_string();
    ObservedProcess {
        is_running: state["running"].is_object(),
        pid: None,
        since: time(&state["running"]["startedAt"]),
        restarts: container["restartCount"]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        last_exit,
        readiness: match (container["ready"] == true, is_ending) {
            (true, false) => Ok(()),
            (_, true) => Err(ENDING.to_owned()),
            _ => Err(why_not(pod)),
        },
        memory_bytes: None,
        revision: String::new(),
        image: None,
    }
}

/// The workloads that have fewer pods ready than they should, in words.
pub(crate) fn short(objects: &BTreeMap<StepId, Live>) -> impl Iterator<Item = String> {
    objects.values().filter_map(|Live(object)| {
        let is_workload = [Kind::DEPLOYMENT.name, Kind::STATEFUL_SET.name].contains(&object["kind"].as_str()?);
        let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let ready = object["status"]["readyReplicas"].as_u64().unwrap_or(0);
        let name = object["metadata"]["name"].as_str()?;
        (is_workload && ready < wanted).then(|| format!("{name}: {ready} of {wanted} are ready"))
    })
}

/// Why a pod is not ready, in words.
pub(crate) fn why_not(pod: &Value) -> String {
    let status = &pod["status"];
    let waiting = &status["containerStatuses"][0]["state"]["waiting"];
    if let Some(reason) = waiting["reason"]
        .as_str()
        .filter(|reason| *reason != "ContainerCreating")
    {
        let message: String = waiting["message"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        return match message.is_empty() {
            true => reason.to_owned(),
            false => format!("{reason}: {message}"),
        };
    }
    let conditions = status["conditions"].as_array();
    let unscheduled = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    if let Some(message) = unscheduled.and_then(|condition| condition["message"].as_str()) {
        return format!("no node takes it: {message}");
    }
    match status["phase"].as_str() {
        Some("Running") => "its check does not say that it is ready yet".to_owned(),
        Some(phase) => format!("its pod is {}", phase.to_ascii_lowercase()),
        None => "its pod has not begun".to_owned(),
    }
}
