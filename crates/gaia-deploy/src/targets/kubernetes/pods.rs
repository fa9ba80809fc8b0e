//! The pods of each part: everything that Pod Security's *restricted* asks for, and no more rights than needed.

use gaia_names::{ClusterName, Service, Store};
use serde_json::{Value, json};

use super::{
    objects::{ACCOUNT, CLUSTER, GAME_CONFIG},
    quantity,
};
use crate::{
    Blueprint,
    containers::parts::{BUNDLES, Check, FILES, INFERENCE_PORT, OPS_PORT, Part, Role},
};

/// How long a pod that is about to end still takes new connections, in seconds: until everybody has heard.
const FAREWELL_SECONDS: u32 = 5;
/// How long a part may take until it is well for the first time, in seconds.
const FIRST_SECONDS: u32 = 180;

/// The labels that tell the pods of a part from all others.
pub(crate) fn selector(cluster: &ClusterName, role: Role) -> Value {
    json!({ CLUSTER: cluster, "app.kubernetes.io/name": role.name() })
}

/// The template of a part's pods.
pub(crate) fn template(blueprint: &Blueprint, part: &Part, labels: &Value, files: &str) -> Value {
    let name = part.role.name();
    let mut spec = json!({
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": part.grace_seconds + FAREWELL_SECONDS,
        "securityContext": pod_security(part.user),
        "containers": [container(part)],
        "volumes": volumes(part),
    });
    match part.role {
        Role::Setup => spec["restartPolicy"] = json!("OnFailure"),
        // A node that dies should not take all of a part.
        _ => {
            spec["topologySpreadConstraints"] = json!([{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": selector(&blueprint.cluster, part.role) },
            }]);
            if matches!(part.role, Role::Inference | Role::Service(_)) {
                // Those that are on their way out do not count, or an update could leave all on one node.
                spec["topologySpreadConstraints"][0]["matchLabelKeys"] = json!(["pod-template-hash"]);
            }
        }
    }
    json!({
        "metadata": {
            "labels": labels,
            "annotations": { "gaia.dev/files": files, "kubectl.kubernetes.io/default-container": name },
        },
        "spec": spec,
    })
}

/// Whom all of a pod runs as.
pub(crate) fn pod_security(user: u32) -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// What a container may not do.
pub(crate) fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    })
}

fn container(part: &Part) -> Value {
    let resources = &part.resources;
    let cpu = quantity::of_millicores(resources.cpu_millicores.into());
    let memory = quantity::of_bytes(resources.memory_bytes);
    let mut container = json!({
        "name": part.role.name(),
        "image": part.image,
        "imagePullPolicy": "IfNotPresent",
        "args": part.command,
        "workingDir": "/tmp",
        // Memory that is promised is all that may be used; CPU that nobody needs may be.
        "resources": {
            "requests": { "cpu": cpu, "memory": memory },
            "limits": { "memory": memory },
        },
        "securityContext": container_security(),
        "volumeMounts": mounts(part),
    });
    let ports = part.ports.iter();
    let ports: Vec<Value> = ports
        .map(|(name, number)| json!({ "name": name, "containerPort": number, "protocol": "TCP" }))
        .collect();
    if !ports.is_empty() {
        container["ports"] = json!(ports);
    }
    let mut environment: Vec<Value> = part
        .environment
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    if part.role == Role::Store(Store::Nats) {
        // Each server of a cluster has a name of its own.
        let pod = json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } });
        environment.push(json!({ "name": "POD_NAME", "valueFrom": pod }));
    }
    if !environment.is_empty() {
        container["env"] = json!(environment);
    }
    probes(part, &mut container);
    if matches!(part.role, Role::Service(Service::Gateway)) {
        container["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": FAREWELL_SECONDS } } });
    }
    container
}

/// Whether it is well, asked by the node: by HTTP where that is spoken, else by a command in the container.
fn probes(part: &Part, container: &mut Value) {
    let Check::Command(words) = &part.check else { return };
    let http = |path: &str, port: u16| json!({ "httpGet": { "path": path, "port": port, "scheme": "HTTP" } });
    let (ready, live) = match part.role {
        Role::Service(_) => (http("/health/ready", OPS_PORT), http("/health/live", OPS_PORT)),
        Role::Inference => (
            http("/health/ready", INFERENCE_PORT),
            http("/health/live", INFERENCE_PORT),
        ),
        Role::Store(_) | Role::Setup => {
            let command = json!({ "exec": { "command": words } });
            (command.clone(), command)
        }
    };
    let probe = |what: &Value, period: u32, failures: u32| {
        let mut probe = what.clone();
        probe["periodSeconds"] = json!(period);
        probe["timeoutSeconds"] = json!(5);
        probe["failureThreshold"] = json!(failures);
        probe["successThreshold"] = json!(1);
        probe
    };
    container["startupProbe"] = probe(&ready, 1, FIRST_SECONDS);
    container["readinessProbe"] = probe(&ready, 5, 2);
    container["livenessProbe"] = probe(&live, 10, 3);
}

fn mounts(part: &Part) -> Vec<Value> {
    let mut mounts = vec![json!({ "name": "files", "mountPath": FILES, "readOnly": true })];
    if part.reads_bundles {
        mounts.push(json!({ "name": "bundles", "mountPath": BUNDLES, "readOnly": true }));
    }
    if let Some(data) = &part.data {
        mounts.push(json!({ "name": "data", "mountPath": data.path }));
    }
    for path in &part.scratch {
        mounts.push(json!({ "name": scratch_name(path), "mountPath": path }));
    }
    mounts
}

fn volumes(part: &Part) -> Vec<Value> {
    let name = part.role.name();
    let secret =
        |name: &str, secret: &str| json!({ "name": name, "secret": { "secretName": secret, "defaultMode": 0o440 } });
    let mut volumes = vec![secret("files", &format!("{name}-files"))];
    if part.reads_bundles {
        volumes.push(secret("bundles", GAME_CONFIG));
    }
    for path in &part.scratch {
        volumes.push(json!({ "name": scratch_name(path), "emptyDir": { "sizeLimit": "256Mi" } }));
    }
    volumes
}

fn scratch_name(path: &str) -> String {
    format!("scratch{}", path.replace('/', "-"))
}
