//! What keeps a cluster of Kubernetes from taking a game, as far as it can be known before anything is made.

use gaia_kubernetes::Kind;
use gaia_names::Target;
use gaia_spec::Through;

use super::{observing::Live, quantity::thousandths, quota};
use crate::{Blueprint, Observed, containers::parts};

/// What is in the way, in words, with what to do about it.
#[must_use]
pub fn obstacles(observed: &Observed, blueprint: &Blueprint) -> Vec<String> {
    if blueprint.target != Target::Kubernetes {
        return Vec::new();
    }
    let mut all = ways_in(observed, blueprint);
    let needed = quota::least(&parts::all(blueprint));
    for Live(quota) in &observed.foreign_quotas {
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        for (key, allowed) in quota["spec"]["hard"].as_object().into_iter().flatten() {
            let allowed = allowed.as_str().unwrap_or_default();
            let key = match key.as_str() {
                "cpu" => "requests.cpu",
                "memory" => "requests.memory",
                key => key,
            };
            if key == "limits.cpu" {
                all.push(format!(
                    "the quota `{name}` counts `limits.cpu`, which Gaia's pods do not set; take that out of it"
                ));
            }
            let needs = needed.iter().find(|(what, _)| *what == key);
            if let Some((_, needs)) = needs
                && let (Some(most), Some(least)) = (thousandths(allowed), thousandths(needs))
                && most < least
            {
                all.push(format!(
                    "the quota `{name}` allows {allowed} of `{key}`, and `{}` needs {needs}; raise it, or ask for less by \
                     `infrastructure.cluster_size`, `replicas` or `resources`",
                    blueprint.cluster
                ));
            }
        }
    }
    all
}

fn ways_in(observed: &Observed, blueprint: &Blueprint) -> Vec<String> {
    if observed.known.contains(&Kind::HTTP_ROUTE) {
        return Vec::new();
    }
    let ways_in = blueprint.needs.entrances.iter();
    let through_gateway = ways_in.filter(|(_, own)| matches!(own.through, Through::Gateway { .. }));
    through_gateway
        .map(|(game, _)| {
            format!(
                "the entrance of `{game}` is a Gateway, and this Kubernetes has no Gateway API ({}); install it, or write \
                 `infrastructure.entrance.ingress`",
                Kind::HTTP_ROUTE.api_version
            )
        })
        .collect()
}
