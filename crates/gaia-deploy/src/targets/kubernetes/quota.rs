//! How much a cluster may use of its Kubernetes: what its parts ask for at their most, and not much more.

use gaia_kubernetes::Kind;
use serde_json::{Value, json};

use super::{off_hours, quantity};
use crate::{
    Blueprint,
    containers::parts::{Part, Role},
};

/// The quota and the limits of a cluster.
pub(crate) fn all(blueprint: &Blueprint, parts: &[Part]) -> Vec<(Kind, String, Value)> {
    let (mut pods, mut millicores, mut memory, mut claims, mut storage) = (0u64, 0u64, 0u64, 0u64, 0u64);
    for part in parts {
        let scaler = blueprint
            .needs
            .autoscaler
            .filter(|_| matches!(part.role, Role::Service(_)));
        let most = scaler.map_or(part.replicas, |scaler| scaler.max_replicas.max(part.replicas));
        // One more of each while an update replaces them.
        let most = u64::from(most) + 1;
        pods += most;
        millicores += most * u64::from(part.resources.cpu_millicores);
        memory += most * part.resources.memory_bytes;
        if let Some(data) = &part.data {
            claims += u64::from(part.replicas);
            storage += u64::from(part.replicas) * data.bytes;
        }
    }
    if blueprint.needs.off_hours.is_some() {
        // One that closes, and one that opens.
        pods += 2;
        millicores += 2 * off_hours::MILLICORES;
        memory += 2 * off_hours::MEMORY;
    }
    let hard = json!({
        "pods": pods.to_string(),
        "requests.cpu": quantity::of_millicores(millicores),
        "requests.memory": quantity::of_bytes(memory),
        "limits.memory": quantity::of_bytes(memory),
        "persistentvolumeclaims": claims.to_string(),
        "requests.storage": quantity::of_bytes(storage),
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    });
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
