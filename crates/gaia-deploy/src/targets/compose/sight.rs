//! The steps towards a blueprint on Compose. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use gaia_names::{Service, Store};

use super::render::{self, BUNDLES_FOLDER, FILE, FOLDER, Project};
use crate::{
    Action, Blueprint, Drift, Observed, Step,
    blueprint::digest,
    containers::parts::{self, Part, Role},
    plan::{
        ids::{COMPOSE_FILES, PORTS, service_step},
        sight::{INTERRUPTED, Sight, step, store_down},
    },
    record::Record,
    secrets::Secrets,
};

/// What stands between what is there and the blueprint.
pub(crate) fn towards(sight: &Sight<'_>) -> Vec<Step> {
    let (observed, blueprint) = (sight.observed, sight.blueprint);
    let project = project(observed, blueprint, sight.record, sight.secrets.as_ref());
    let mut steps = Vec::new();
    if sight.is_leftover() {
        steps.push(sight.leftovers());
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
    steps.extend(sight.former_secrets());
    if steps.is_empty() {
        steps.extend(sight.note());
    }
    steps
}

/// The project as it should be; none while secrets or ports are missing.
pub(crate) fn project(
    observed: &Observed,
    blueprint: &Blueprint,
    record: Option<&Record>,
    secrets: Option<&Secrets>,
) -> Option<Project> {
    let secrets = secrets?;
    render::render(&render::Input {
        blueprint,
        secrets,
        ports: &record?.ports,
        owner: &super::observing::owner(&observed.folder),
        user: super::work::user(),
        made_with: record.and_then(|record| record.made_with.as_ref()),
        cores: super::work::cores(),
    })
}

/// The digest of all that is written for a project, by the paths below its folder.
pub(crate) fn files_digest(project: &Project) -> String {
    let mut all = BTreeMap::from([(FILE.to_owned(), project.text.clone())]);
    for (role, (_, files)) in &project.files {
        let path = |name: &String| format!("{FOLDER}/{}/{name}", role.name());
        all.extend(files.iter().map(|(name, text)| (path(name), text.expose().to_owned())));
    }
    let bundles = project.bundles.iter();
    all.extend(bundles.map(|(name, text)| (format!("{FOLDER}/{BUNDLES_FOLDER}/{name}"), text.expose().to_owned())));
    digest(&all)
}

/// The digest of what lies there of it. None: nothing does, or it cannot be read.
pub(crate) fn found_digest(root: &Path) -> Option<String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).ok()?.display().to_string();
                all.insert(name, fs::read_to_string(&path).ok()?);
            }
        }
    }
    Some(digest(&all))
}

fn ports(sight: &Sight<'_>) -> Option<Step> {
    let chosen = sight.record.map(|record| &record.ports.gateway);
    let has_all = |chosen: &std::collections::BTreeMap<_, _>| sight.blueprint.games.keys().eq(chosen.keys());
    match chosen {
        Some(chosen) if has_all(chosen) => {
            let lost = sight.observed.lost_ports.first()?;
            let why = format!("another program listens on port {lost}, which was ours");
            Some(step(PORTS, Action::Change, &why, None).drifted(Drift::Config))
        }
        Some(_) if sight.has(PORTS) => Some(step(PORTS, Action::Change, "the games that it serves differ", None)),
        _ => Some(step(PORTS, Action::Create, "none are chosen yet", None)),
    }
}

fn files(sight: &Sight<'_>, project: Option<&Project>) -> Option<Step> {
    let differs = "the Compose file, or what the containers read, differs";
    match project {
        Some(project) => {
            let wanted = files_digest(project);
            let planned = sight.made(COMPOSE_FILES, &wanted, differs);
            let found = sight
                .observed
                .files_digest
                .as_ref()
                .filter(|_| sight.has(COMPOSE_FILES));
            let changed = found.filter(|found| **found != wanted && planned.is_none());
            let again =
                || step(COMPOSE_FILES, Action::Change, "somebody has changed them", None).drifted(Drift::Config);
            planned.or_else(|| changed.map(|_| again()))
        }
        None if sight.has(COMPOSE_FILES) => Some(step(COMPOSE_FILES, Action::Change, differs, None)),
        None => Some(step(COMPOSE_FILES, Action::Create, "there are none yet", None)),
    }
}

/// Containers that are there and not wanted.
fn removed(sight: &Sight<'_>, parts: &[Part]) -> Vec<Step> {
    let wanted: BTreeSet<String> = parts.iter().flat_map(render::instances).collect();
    let found = sight.observed.processes.keys();
    let gone = found.filter(|name| !wanted.contains(*name) && sight.process(name).is_some());
    gone.map(|name| {
        let id = service_step(name).0;
        match sight.has(&id) {
            true => step(&id, Action::Remove, "it is not wanted any more", None),
            false => {
                let why = "it belongs to the project by its labels, and nobody has asked for it";
                step(&id, Action::Remove, why, None).drifted(Drift::Orphan)
            }
        }
    })
    .collect()
}

fn container(sight: &Sight<'_>, part: &Part, instance: &str, project: Option<&Project>) -> Option<Step> {
    let id = render::step_of(part, instance).0;
    let down = down(part);
    let make = |action, why: &str| Some(step(&id, action, why, down));
    if let Role::Store(store) = part.role
        && let Some(lost) = sight.lost_data(store)
    {
        return Some(step(&id, Action::Replace, lost, None).drifted(Drift::Data));
    }
    let process = sight.process(instance).filter(|process| !process.revision.is_empty());
    let Some(process) = process else {
        let why = match part.role {
            _ if !sight.observed.is_meant_to_run() && sight.has(&id) => "the cluster was stopped",
            _ if sight.has(&id) => "its container is gone",
            Role::Setup => "makes roles, tables and users in the stores",
            _ => "there is none yet",
        };
        // What is not there is down already.
        let create = step(&id, Action::Create, why, None);
        return Some(match sight.has(&id) {
            true => create.drifted(Drift::Missing),
            false => create,
        });
    };
    let wanted = project.and_then(|project| project.revisions.get(instance));
    if wanted != Some(&process.revision) {
        let why = wanted.map(|wanted| render::difference(&process.revision, wanted));
        let why = why.unwrap_or_else(|| "what it reads is to be made".to_owned());
        return make(Action::Replace, &why).map(|step| step.drifted(Drift::Config));
    }
    let is_built_anew = |now: &String| process.image.as_ref().is_some_and(|image| image != now);
    if sight.observed.images.get(&part.image).is_some_and(is_built_anew) {
        let why = format!("the image {} was built anew", part.image);
        return make(Action::Replace, &why).map(|step| step.drifted(Drift::Image));
    }
    if part.role == Role::Setup && sight.lost_data(Store::Postgres).is_some() {
        let why = "what it made was in a database that is gone";
        return make(Action::Restart, why).map(|step| step.drifted(Drift::Data));
    }
    match (&process.last_exit, process.is_running()) {
        (Some(exit), _) if part.role == Role::Setup => (exit != "exit 0").then(|| {
            let why = format!("the last time it ended with {exit}");
            step(&id, Action::Restart, &why, None)
        }),
        (Some(exit), false) => {
            let why = format!("it does not run; it ended with {exit}");
            Some(step(&id, Action::Restart, &why, None).drifted(Drift::Missing))
        }
        (None, false) => Some(step(&id, Action::Restart, "it does not run", None).drifted(Drift::Missing)),
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
