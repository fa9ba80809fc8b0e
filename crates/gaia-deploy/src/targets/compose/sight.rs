//! The steps towards a blueprint on Compose. Pure.

use std::collections::BTreeSet;

use gaia_names::Service;

use super::render::{self, Project};
use crate::{
    Action, Blueprint, Observed, Step,
    blueprint::digest_bytes,
    containers::parts::{self, Part, Role},
    plan::{
        ids::{COMPOSE_FILES, LEFTOVERS, PORTS, RECORD, service_step},
        sight::{INTERRUPTED, Sight, step, store_down},
    },
    record::Record,
};

/// What stands between what is there and the blueprint.
pub(crate) fn towards(sight: &Sight<'_>) -> Vec<Step> {
    let (observed, blueprint) = (sight.observed, sight.blueprint);
    let project = project(observed, blueprint, sight.record);
    let mut steps = Vec::new();
    if sight.is_leftover() {
        let why = "a destroy ended in the middle: what is left of it goes first";
        steps.push(step(LEFTOVERS, Action::Remove, why, Some("nothing works")));
    }
    let first = [sight.secrets(), ports(sight), files(sight, project.as_ref())];
    steps.extend(first.into_iter().flatten());
    let parts = parts::all(blueprint);
    steps.extend(removed(sight, &parts));
    for part in &parts {
        for instance in render::instances(part) {
            steps.extend(container(sight, part, &instance, project.as_ref()));
        }
    }
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

/// The project as it should be; none while secrets or ports are missing.
pub(crate) fn project(observed: &Observed, blueprint: &Blueprint, record: Option<&Record>) -> Option<Project> {
    let secrets = observed.secrets.as_ref()?;
    render::render(&render::Input {
        blueprint,
        secrets,
        ports: &record?.ports,
        owner: &super::observing::owner(&observed.folder),
        user: super::work::user(),
        cores: super::work::cores(),
    })
}

/// The digest of all that is written for a project.
pub(crate) fn files_digest(project: &Project) -> String {
    let mut text = project.text.clone();
    let of_parts = project.files.values().flat_map(|(_, files)| files);
    for (name, content) in of_parts.chain(&project.bundles) {
        text.push_str(name);
        text.push_str(content.expose());
    }
    digest_bytes(text.as_bytes())
}

fn ports(sight: &Sight<'_>) -> Option<Step> {
    let chosen = sight.record.map(|record| &record.ports.gateway);
    let has_all = |chosen: &std::collections::BTreeMap<_, _>| sight.blueprint.games.keys().eq(chosen.keys());
    match chosen {
        Some(chosen) if has_all(chosen) => {
            let lost = sight.observed.lost_ports.first()?;
            let why = format!("another program listens on port {lost}, which was ours");
            Some(step(PORTS, Action::Change, &why, None))
        }
        Some(_) if sight.has(PORTS) => Some(step(PORTS, Action::Change, "the games that it serves differ", None)),
        _ => Some(step(PORTS, Action::Create, "none are chosen yet", None)),
    }
}

fn files(sight: &Sight<'_>, project: Option<&Project>) -> Option<Step> {
    let differs = "the Compose file, or what the containers read, differs";
    match project {
        Some(project) => sight.made(COMPOSE_FILES, &files_digest(project), differs),
        None if sight.has(COMPOSE_FILES) => Some(step(COMPOSE_FILES, Action::Change, differs, None)),
        None => Some(step(COMPOSE_FILES, Action::Create, "there are none yet", None)),
    }
}

/// Containers that are there and not wanted.
fn removed(sight: &Sight<'_>, parts: &[Part]) -> Vec<Step> {
    let wanted: BTreeSet<String> = parts.iter().flat_map(render::instances).collect();
    let found = sight.observed.processes.keys();
    let gone = found.filter(|name| !wanted.contains(*name) && sight.process(name).is_some());
    gone.map(|name| step(&service_step(name).0, Action::Remove, "it is not wanted any more", None))
        .collect()
}

fn container(sight: &Sight<'_>, part: &Part, instance: &str, project: Option<&Project>) -> Option<Step> {
    let id = render::step_of(part, instance).0;
    let down = down(part);
    let make = |action, why: &str| Some(step(&id, action, why, down));
    let process = sight.process(instance).filter(|process| !process.revision.is_empty());
    let Some(process) = process else {
        let why = match part.role {
            _ if !sight.observed.is_meant_to_run() && sight.has(&id) => "the cluster was stopped",
            _ if sight.has(&id) => "its container is gone",
            Role::Setup => "makes roles, tables and users in the stores",
            _ => "there is none yet",
        };
        // What is not there is down already.
        return Some(step(&id, Action::Create, why, None));
    };
    let wanted = project.and_then(|project| project.revisions.get(instance));
    if wanted != Some(&process.revision) {
        return make(
            Action::Replace,
            "it was made from another image, other settings or other files",
        );
    }
    match (&process.last_exit, process.is_running()) {
        (Some(exit), _) if part.role == Role::Setup => (exit != "exit 0").then(|| {
            let why = format!("the last time it ended with {exit}");
            step(&id, Action::Restart, &why, None)
        }),
        (Some(exit), false) => Some(step(
            &id,
            Action::Restart,
            &format!("it does not run; it ended with {exit}"),
            None,
        )),
        (None, false) => Some(step(&id, Action::Restart, "it does not run", None)),
        _ if sight.is_interrupted(&id) => Some(step(&id, Action::Change, INTERRUPTED, None)),
        _ => None,
    }
}

fn down(part: &Part) -> Option<&'static str> {
    match part.role {
        Role::Store(store) => (part.replicas == 1).then(|| store_down(store)),
        Role::Setup => None,
        Role::Inference => Some("characters without a route answer from their barks"),
        Role::Service(service) => (part.replicas == 1).then_some(match service {
            Service::Gateway => "players' connections close; they connect again",
            Service::Auth => "nobody can sign in",
            Service::Chat => "messages get no reply",
        }),
    }
}
