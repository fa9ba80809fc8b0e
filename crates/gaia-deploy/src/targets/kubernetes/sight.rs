//! The steps towards a blueprint on Kubernetes. Pure.

use gaia_kubernetes::Kind;
use gaia_names::Store;
use serde_json::Value;

use super::{
    difference,
    inventory::{INVENTORY, SECRETS},
    objects::{self, Object, STUDIO, step_of},
};
use crate::{
    Action, Drift, Step, StepId,
    plan::sight::{INTERRUPTED, Sight, step},
    secrets::Secrets,
};

/// What stands between what is there and the blueprint.
pub(crate) fn towards(sight: &Sight<'_>) -> Vec<Step> {
    let (observed, blueprint) = (sight.observed, sight.blueprint);
    let mut steps = Vec::new();
    if sight.is_leftover() || observed.is_ending {
        steps.push(sight.leftovers());
    }
    let Some(wanted) = wanted(sight) else { return steps };
    let mut objects = wanted.iter();
    // The namespace is where the secrets lie.
    steps.extend(objects.next().and_then(|namespace| of_object(sight, namespace)));
    steps.extend(sight.secrets());
    steps.extend(removed(sight, &wanted));
    steps.extend(objects.filter_map(|object| of_object(sight, object)));
    steps.extend(blueprint.games.keys().filter_map(|game| sight.bundle(game)));
    steps.extend(sight.former_secrets());
    if steps.is_empty() {
        steps.extend(sight.note());
    }
    steps
}

/// The objects as they should be.
fn wanted(sight: &Sight<'_>) -> Option<Vec<Object>> {
    let blueprint = sight.blueprint;
    let mut secrets = match &sight.secrets {
        Some(secrets) => secrets.clone(),
        // Which objects there will be does not depend on them, and what is not there yet has nothing to differ from.
        None => Secrets::make().ok()?,
    };
    secrets.complete(blueprint).ok()?;
    let before = sight.record.map(|record| record.ports.clone()).unwrap_or_default();
    objects::all(&objects::Input {
        blueprint,
        secrets: &secrets,
        ports: &objects::ports(blueprint, &before),
        known: &sight.observed.known,
    })
}

fn of_object(sight: &Sight<'_>, object: &Object) -> Option<Step> {
    let id = object.step();
    // What is left of a destroy goes before anything else is done.
    let goes = sight.observed.is_ending || sight.is_leftover();
    let found = sight.observed.objects.get(&id).filter(|_| !goes);
    let lost = Store::ALL.iter().find(|store| store.as_str() == object.name);
    let lost = lost.filter(|_| object.kind == Kind::STATEFUL_SET);
    if let Some(lost) = lost.and_then(|store| sight.lost_data(*store)) {
        return Some(step(&id.0, Action::Change, lost, None).drifted(Drift::Data));
    }
    let Some(found) = found else {
        let why = match (sight.has(&id.0), sight.observed.is_meant_to_run()) {
            (true, true) => "somebody has deleted it",
            (true, false) => "the cluster was stopped",
            (false, _) => "there is none yet",
        };
        let create = step(&id.0, Action::Create, why, None);
        return Some(match sight.has(&id.0) {
            true => create.drifted(Drift::Missing),
            false => create,
        });
    };
    let has_studio = |value: &Value| value["metadata"]["labels"][STUDIO].is_string();
    let is_stale = has_studio(&found.0) && !has_studio(&object.value);
    let stale = is_stale.then(|| format!("metadata.labels.{STUDIO}"));
    if let Some(path) = difference::first(&object.value, &found.0).or(stale) {
        let why = match sight.was_applied() {
            true => format!("somebody has changed `{path}`"),
            false => format!("`{path}` is to change"),
        };
        let drift = match path.as_str() {
            "spec.replicas" => Drift::Scale,
            image if image.ends_with(".image") => Drift::Image,
            _ => Drift::Config,
        };
        return Some(step(&id.0, Action::Change, &why, object.down).drifted(drift));
    }
    if object.kind == Kind::JOB && sight.lost_data(Store::Postgres).is_some() {
        let why = "what it made was in a database that is gone";
        return Some(step(&id.0, Action::Restart, why, None).drifted(Drift::Data));
    }
    if let Some(why) = unwell(object, &found.0) {
        return Some(step(&id.0, Action::Restart, &why, None));
    }
    let is_interrupted = sight.is_interrupted(&id.0);
    is_interrupted.then(|| step(&id.0, Action::Change, INTERRUPTED, None))
}

/// Why something that is as it should be does not do what it is for.
fn unwell(object: &Object, found: &Value) -> Option<String> {
    let failed = |condition: &Value| condition["type"] == "Failed" && condition["status"] == "True";
    let conditions = found["status"]["conditions"].as_array();
    let has_failed = conditions.into_iter().flatten().any(failed);
    (object.kind == Kind::JOB && has_failed).then(|| "it has failed".to_owned())
}

/// What was made and is not wanted any more.
fn removed(sight: &Sight<'_>, wanted: &[Object]) -> Vec<Step> {
    let recorded = sight.record.into_iter().flat_map(|record| record.resources.keys());
    let gone = recorded.filter(|id| {
        let is_object = kind_of(&id.0).is_some();
        is_object && !wanted.iter().any(|object| object.step() == **id)
    });
    let gone = gone.map(|id| step(&id.0, Action::Remove, "it is not wanted any more", None));
    gone.chain(orphans(sight, wanted)).collect()
}

/// What is ours by its labels, was never recorded, and is not asked for. What something else has made goes with that.
fn orphans(sight: &Sight<'_>, wanted: &[Object]) -> Vec<Step> {
    let is_ours = |value: &Value| {
        let metadata = &value["metadata"];
        metadata["labels"]["app.kubernetes.io/managed-by"] == "gaia" && metadata["ownerReferences"].is_null()
    };
    let is_memory = |id: &StepId| {
        let memory = [(Kind::CONFIG_MAP, INVENTORY), (Kind::SECRET, SECRETS)];
        memory.iter().any(|(kind, name)| step_of(*kind, name) == *id)
    };
    let unknown = sight.observed.objects.iter().filter(|(id, found)| {
        let is_known = sight.has(&id.0) || wanted.iter().any(|object| object.step() == **id);
        is_ours(&found.0) && !is_known && !is_memory(id)
    });
    let of_a_whole = sight.record.is_some_and(|record| !record.is_unfinished());
    let why = "it is ours by its labels, and nobody has asked for it";
    let remove = |id: &StepId| step(&id.0, Action::Remove, why, None).drifted(Drift::Orphan);
    unknown.filter(|_| of_a_whole).map(|(id, _)| remove(id)).collect()
}

/// The kind and name of the object that a step makes.
pub(crate) fn kind_of(id: &str) -> Option<(Kind, &str)> {
    let (word, name) = id.split_once(':')?;
    let kind = Kind::ALL.iter().find(|kind| kind.name.eq_ignore_ascii_case(word))?;
    Some((*kind, name))
}
