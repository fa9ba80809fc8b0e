//! What closes a game each day and opens it again, where nothing in the cluster does that already.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use gaia_kubernetes::{Kind, Kubernetes};
use gaia_names::Service;
use gaia_spec::OffHours;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    objects::{CLUSTER, step_of},
    observing::Live,
    pods, quantity,
};
use crate::{
    Blueprint, DeployError, StepId,
    containers::parts::{Part, Role},
};

/// What its account, its rights and its pods are called.
pub(crate) const NAME: &str = "off-hours";
/// What its pod may use.
pub(crate) const MEMORY: u64 = 64 << 20;
pub(crate) const MILLICORES: u64 = 10;
/// How long a part may take to end before those behind it are ended, too.
const ENDING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// Whether a part ends in the off-hours. What the stores keep is kept by them.
pub(crate) fn closes(role: Role) -> bool {
    matches!(role, Role::Inference | Role::Service(_))
}

/// The kind, name and content of each object.
pub(crate) fn all(blueprint: &Blueprint, hours: &OffHours, parts: &[Part]) -> Vec<(Kind, String, Value)> {
    let parts: Vec<&Part> = parts.iter().filter(|part| closes(part.role)).collect();
    let names: Vec<&str> = parts.iter().map(|part| part.role.name()).collect();
    let apps = |resources: Value, verbs: Value| {
        let groups = ["apps"];
        json!({ "apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names })
    };
    let rules = [
        apps(json!(["deployments"]), json!(["get"])),
        apps(json!(["deployments/scale"]), json!(["get", "patch"])),
        json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }),
    ];
    let subject = json!({ "kind": "ServiceAccount", "name": NAME });
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME });
    // Where the API server is, differs from cluster to cluster; this pod holds nothing but the rights above.
    let policy = json!({
        "podSelector": { "matchLabels": labels(blueprint) }, "policyTypes": ["Ingress", "Egress"],
        "ingress": [], "egress": [{}],
    });
    let of_all = |count: fn(&Part) -> u32| parts.iter().map(move |part| (part.role.name(), count(part)));
    // Players leave first and come last.
    let closing: Vec<_> = of_all(|_| 0).rev().collect();
    let opening: Vec<_> = of_all(|part| part.replicas).collect();
    let job = |at: &str, counts: &[(&str, u32)]| match parts.first() {
        Some(part) => cron_job(blueprint, part, hours, at, counts),
        None => Value::Null,
    };
    vec![
        (
            Kind::SERVICE_ACCOUNT,
            NAME.to_owned(),
            json!({ "automountServiceAccountToken": false }),
        ),
        (Kind::ROLE, NAME.to_owned(), json!({ "rules": rules })),
        (
            Kind::ROLE_BINDING,
            NAME.to_owned(),
            json!({ "subjects": [subject], "roleRef": role }),
        ),
        (Kind::NETWORK_POLICY, NAME.to_owned(), json!({ "spec": policy })),
        (Kind::CRON_JOB, format!("{NAME}-begin"), job(&hours.from, &closing)),
        (Kind::CRON_JOB, format!("{NAME}-end"), job(&hours.until, &opening)),
    ]
}

fn labels(blueprint: &Blueprint) -> Value {
    json!({ CLUSTER: blueprint.cluster, "app.kubernetes.io/name": NAME })
}

fn cron_job(blueprint: &Blueprint, part: &Part, hours: &OffHours, at: &str, counts: &[(&str, u32)]) -> Value {
    let mut command = vec!["serve".to_owned(), NAME.to_owned()];
    command.extend(counts.iter().map(|(part, count)| format!("{part}={count}")));
    let container = json!({
        "name": NAME,
        "image": part.image,
        "imagePullPolicy": "IfNotPresent",
        "args": command,
        "resources": {
            "requests": { "cpu": quantity::of_millicores(MILLICORES), "memory": quantity::of_bytes(MEMORY) },
            "limits": { "memory": quantity::of_bytes(MEMORY) },
        },
        "securityContext": pods::container_security(),
    });
    let template = json!({
        "metadata": { "labels": labels(blueprint) },
        "spec": {
            "serviceAccountName": NAME,
            "automountServiceAccountToken": true,
            "restartPolicy": "OnFailure",
            "securityContext": pods::pod_security(part.user),
            "containers": [container],
        },
    });
    json!({ "spec": {
        "schedule": schedule(at),
        "timeZone": hours.timezone,
        "concurrencyPolicy": "Replace",
        // A cluster that was away at that time catches up within two hours.
        "startingDeadlineSeconds": 7200,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {
            "metadata": { "labels": labels(blueprint) },
            "spec": { "backoffLimit": 6, "activeDeadlineSeconds": 900, "template": template },
        },
    }})
}

/// Each day at a time of day, as cron writes it.
pub(crate) fn schedule(time: &str) -> String {
    let (hour, minute) = time.split_once(':').unwrap_or(("0", "0"));
    let number = |digits: &str| digits.parse::<u8>().unwrap_or_default();
    format!("{} {} * * *", number(minute), number(hour))
}

/// KEDA's word for the hours in which a game is open, with how many of a part it has then at least.
pub(crate) fn opening_hours(hours: &OffHours, replicas: u32) -> Value {
    json!({ "type": "cron", "metadata": {
        "timezone": hours.timezone,
        "start": schedule(&hours.until),
        "end": schedule(&hours.from),
        "desiredReplicas": replicas.to_string(),
    }})
}

/// Whether the off-hours have ended a cluster's services.
pub(crate) fn is_closed(blueprint: &Blueprint, objects: &BTreeMap<StepId, Live>) -> bool {
    let gateway = objects.get(&step_of(Kind::DEPLOYMENT, Service::Gateway.as_str()));
    blueprint.needs.off_hours.is_some() && gateway.is_some_and(|live| live.0["spec"]["replicas"] == 0)
}

/// Closes or opens the game in whose namespace this pod is: gives each part its number of replicas, in order, and waits
/// for those that end. What something else scales keeps its number, unless it is none.
///
/// # Errors
///
/// If this is no pod that may do so, or the API server refuses or does not answer.
pub async fn scale_from_within(counts: &[(String, u32)]) -> Result<(), DeployError> {
    let (kubernetes, namespace) = Kubernetes::within()?;
    for (part, count) in counts {
        let Some(found) = kubernetes.get(Kind::DEPLOYMENT, &namespace, part).await? else {
            tracing::info!("{part} was stopped, and stays so");
            continue;
        };
        let has = found["spec"]["replicas"].as_u64().unwrap_or(1);
        if *count > 0 && has > 0 {
            tracing::info!("{part} runs already");
            continue;
        }
        let change = json!({ "spec": { "replicas": count } });
        kubernetes
            .patch(Kind::DEPLOYMENT, &namespace, part, "scale", &change)
            .await?;
        tracing::info!("{part}: {has} -> {count}");
        let began = Instant::now();
        let pods = format!("app.kubernetes.io/name={part}");
        while *count == 0 && !kubernetes.list(Kind::POD, &namespace, &pods).await?.is_empty() {
            if began.elapsed() > ENDING {
                tracing::warn!("{part} has pods that do not end");
                break;
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_becomes_a_schedule() {
        assert_eq!(schedule("23:30"), "30 23 * * *");
        assert_eq!(schedule("06:05"), "5 6 * * *");
        assert_eq!(schedule("00:00"), "0 0 * * *");
    }
}
