//! The steps towards a blueprint on Kubernetes. Pure.

use gaia_kubernetes::Kind;
use serde_json::Value;

use super::{
    difference,
    objects::{self, Object},
};
use crate::{
    Action, Step,
    plan::{
        ids::{LEFTOVERS, RECORD},
        sight::{INTERRUPTED, Sight, step},
    },
    secrets::Secrets,
};

/// What stands between what is there and the blueprint.
pub(crate) fn towards(sight: &Sight<'_>) -> Vec<Step> {
    let (observed, blueprint) = (sight.observed, sight.blueprint);
    let mut steps = Vec::new();
    if sight.is_leftover() || observed.is_ending {
        let why = "a destroy ended in the middle: what is left of it goes first";
        steps.push(step(LEFTOVERS, Action::Remove, why, Some("nothing works")));
    }
    let Some(wanted) = wanted(sight) else { return steps };
    let mut objects = wanted.iter();
    // The namespace is where the secrets lie.
    steps.extend(objects.next().and_then(|namespace| of_object(sight, namespace)));
    steps.extend(sight.secrets());
    steps.extend(removed(sight, &wanted));
    steps.extend(objects.filter_map(|object| of_object(sight, object)));
    steps.extend(blueprint.games.keys().filter_map(|game| sight.bundle(game)));
    let is_noted = sight
        .record
        .is_some_and(|record| !record.is_unfinished() && record.digest == blueprint.digest);
    if steps.is_empty() && !is_noted {
        let why = "an earlier command ended before it noted that all was done";
        steps.push(step(RECORD, Action::Change, why, None));
    }
    steps
}

/// The objects as they should be.
fn wanted(sight: &Sight<'_>) -> Option<Vec<Object>> {
    let blueprint = sight.blueprint;
    let mut secrets = match &sight.observed.secrets {
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
    })
}

fn of_object(sight: &Sight<'_>, object: &Object) -> Option<Step> {
    let id = object.step();
    let found = sight.observed.objects.get(&id).filter(|_| !sight.observed.is_ending);
    let Some(found) = found else {
        let why = match (sight.has(&id.0), sight.observed.is_meant_to_run()) {
            (true, true) => "somebody has deleted it",
            (true, false) => "the cluster was stopped",
            (false, _) => "there is none yet",
        };
        return Some(step(&id.0, Action::Create, why, None));
    };
    let was_applied = sight
        .record
        .is_some_and(|record| record.digest == sight.blueprint.digest);
    if let Some(path) = difference::first(&object.value, &found.0) {
        let why = match was_applied && !sight.record.is_some_and(crate::record::Record::is_unfinished) {
            true => format!("somebody has changed `{path}`"),
            false => format!("`{path}` is to change"),
        };
        return Some(step(&id.0, Action::Change, &why, object.down));
    }
    if sight.is_interrupted(&id.0) {
        return Some(step(&id.0, Action::Change, INTERRUPTED, None));
    }
    unwell(object, &found.0).map(|why| step(&id.0, Action::Restart, &why, None))
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
    gone.map(|id| step(&id.0, Action::Remove, "it is not wanted any more", None))
        .collect()
}

/// The kind and name of the object that a step makes.
pub(crate) fn kind_of(id: &str) -> Option<(Kind, &str)> {
    let (word, name) = id.split_once(':')?;
    let kind = Kind::ALL.iter().find(|kind| kind.name.eq_ignore_ascii_case(word))?;
    Some((*kind, name))
}
