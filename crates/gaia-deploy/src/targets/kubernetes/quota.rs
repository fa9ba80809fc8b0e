//! How much a cluster may use of its Kubernetes: what its parts ask for at their most, and not much more.

use gaia_kubernetes::Kind;
use serde_json::{Value, json};

use super::{off_hours, quantity};
use crate::{
    Blueprint,
    containers::parts::{Part, Role},
};

/// What a cluster uses, as a quota counts it.
#[derive(Default)]
struct Sum {
    pods: u64,
    millicores: u64,
    memory: u64,
    claims: u64,
    storage: u64,
}

impl Sum {
    fn add(&mut self, part: &Part, count: u64) {
        self.pods += count;
        self.millicores += count * u64::from(part.resources.cpu_millicores);
        self.memory += count * part.resources.memory_bytes;
        if let Some(data) = &part.data {
            self.claims += u64::from(part.replicas);
            self.storage += u64::from(part.replicas) * data.bytes;
        }
    }

    /// By the names that a quota has for them.
    fn amounts(&self) -> [(&'static str, String); 6] {
        [
            ("pods", self.pods.to_string()),
            ("requests.cpu", quantity::of_millicores(self.millicores)),
            ("requests.memory", quantity::of_bytes(self.memory)),
            ("limits.memory", quantity::of_bytes(self.memory)),
            ("persistentvolumeclaims", self.claims.to_string()),
            ("requests.storage", quantity::of_bytes(self.storage)),
        ]
    }
}

/// What a cluster needs at the least, by the names that a quota has for it.
pub(crate) fn least(parts: &[Part]) -> [(&'static str, String); 6] {
    let mut sum = Sum::default();
    parts.iter().for_each(|part| sum.add(part, part.replicas.into()));
    sum.amounts()
}

/// The quota and the limits of a cluster.
pub(crate) fn all(blueprint: &Blueprint, parts: &[Part]) -> Vec<(Kind, String, Value)> {
    let mut sum = Sum::default();
    for part in parts {
        let scaler = blueprint
            .needs
            .autoscaler
            .filter(|_| matches!(part.role, Role::Service(_)));
        let most = scaler.map_or(part.replicas, |scaler| scaler.max_replicas.max(part.replicas));
        // One more of each while an update replaces them.
        sum.add(part, u64::from(most) + 1);
    }
    if blueprint.needs.off_hours.is_some() {
        // One that closes, and one that opens.
        sum.pods += 2;
        sum.millicores += 2 * off_hours::MILLICORES;
        sum.memory += 2 * off_hours::MEMORY;
    }
    let mut hard = json!({ "services.loadbalancers": "0", "services.nodeports": "0" });
    for (name, amount) in sum.amounts() {
        hard[name] = json!(amount);
    }
    // What somebody else starts here says nothing of what it uses; under a quota it would be refused.
    let limits = json!([{
        "type": "Container",
        "default": { "memory": "128Mi" },
        "defaultRequest": { "cpu": "50m", "memory": "128Mi" },
    }]);
    vec![
        (
            Kind::RESOURCE_QUOTA,
            "gaia".to_owned(),
            json!({ "spec": { "hard": hard } }),
        ),
        (
            Kind::LIMIT_RANGE,
            "gaia".to_owned(),
            json!({ "spec": { "limits": limits } }),
        ),
    ]
}
