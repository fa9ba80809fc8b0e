//! Which steps lead from what is there to what should be.

use gaia_names::{Service, Target};

use super::{
    Action, Step,
    ids::{
        FOLDER, NAMESPACE, NATS_ACCOUNTS, OBJECTS, POSTGRES_MIGRATIONS, POSTGRES_ROLES, PROCESSES, PROOF, REDIS_USERS,
        STORES, VOLUMES,
    },
    sight::{Sight, step},
};
use crate::{
    Blueprint, Observed,
    secrets::Secrets,
    stores::{migrations, nats, postgres, redis},
    targets::{compose, kubernetes},
};

/// The steps towards a blueprint.
pub(super) fn towards(observed: &Observed, blueprint: &Blueprint, mut secrets: Option<Secrets>) -> Vec<Step> {
    if let Some(secrets) = &mut secrets {
        // Without randomness the step that makes them says so.
        drop(secrets.complete(blueprint));
    }
    let rotation = |secrets: Option<&Secrets>| secrets.map(|secrets| secrets.rotation);
    let mut sight = Sight {
        observed,
        blueprint,
        record: observed.record.as_ref(),
        rotates: rotation(secrets.as_ref()) != rotation(observed.secrets.as_ref()),
        secrets,
    };
    if sight.is_leftover() {
        sight.record = None;
    }
    let steps = match blueprint.target {
        Target::Local => on_this_machine(&sight),
        Target::Compose => compose::sight::towards(&sight),
        Target::Kubernetes => kubernetes::sight::towards(&sight),
    };
    sight.with_true_drift(steps)
}

/// The steps towards a blueprint of processes on this machine.
fn on_this_machine(sight: &Sight<'_>) -> Vec<Step> {
    let blueprint = sight.blueprint;
    let mut steps = Vec::new();
    if sight.is_leftover() {
        steps.push(sight.leftovers());
    }
    steps.extend(
        [
            sight.folders(),
            sight.secrets(),
            sight.ports(),
            sight.postgres_data(),
            sight.supervisor(),
        ]
        .into_iter()
        .flatten(),
    );
    steps.extend(STORES.iter().filter_map(|store| sight.store(*store)));
    steps.extend(within_stores(sight));
    steps.extend(sight.removed());
    // The gateway comes last, so that whoever connects finds somebody to answer.
    let mut order: Vec<(Service, String)> = blueprint
        .instances()
        .map(|(service, _, name)| (service, name))
        .collect();
    order.sort_by_key(|(service, _)| *service == Service::Gateway);
    steps.extend(
        order
            .iter()
            .filter_map(|(service, instance)| sight.instance(*service, instance)),
    );
    steps.extend(blueprint.games.keys().filter_map(|game| sight.bundle(game)));
    steps.extend(sight.former_secrets());
    if steps.is_empty() {
        steps.extend(sight.note());
    }
    steps
}

/// What the stores must hold and whom they must know.
fn within_stores(sight: &Sight<'_>) -> impl Iterator<Item = Step> {
    // While there are none, nothing can have been made of them either.
    let of = |digest: fn(&Secrets) -> String| sight.secrets.as_ref().map(digest).unwrap_or_default();
    let differ = match sight.replaces_secrets() {
        true => "others are to log in",
        false => "the games that it serves differ",
    };
    let wanted = [
        (POSTGRES_ROLES, of(postgres::roles_digest), differ),
        (
            POSTGRES_MIGRATIONS,
            migrations::digest(),
            "this version of Gaia has further migrations",
        ),
        (REDIS_USERS, of(redis::users_digest), differ),
        (
            NATS_ACCOUNTS,
            of(nats::accounts_digest),
            match sight.replaces_secrets() {
                true => differ,
                false => "the games or their rights differ",
            },
        ),
    ];
    wanted.into_iter().filter_map(|(id, digest, differs)| match id {
        POSTGRES_ROLES | POSTGRES_MIGRATIONS => sight.made_in_postgres(id, &digest, differs),
        _ => sight.made(id, &digest, differs),
    })
}

/// The steps of a destroy.
pub(super) fn away(observed: &Observed, keeps_volumes: bool) -> Vec<Step> {
    let running = observed
        .processes
        .values()
        .filter(|process| process.is_running())
        .count();
    let why = match (observed.supervisor.is_some(), running) {
        (true, count) => format!("the supervisor and {count} processes run"),
        (false, 0) => "none is known to run; it is made sure of".to_owned(),
        (false, count) => format!("{count} processes run"),
    };
    let remove = |id: &str, why: &str, down| step(id, Action::Remove, why, down);
    let gone = Some("all its data is gone for good");
    if keeps_volumes {
        return away_but_volumes(observed, &why);
    }
    let mut steps = match observed.target() {
        Target::Local => vec![remove(PROCESSES, &why, Some("nothing works"))],
        Target::Compose => vec![
            remove(PROCESSES, &why, Some("nothing works")),
            remove(VOLUMES, "they hold all that it has", gone),
        ],
        Target::Kubernetes => vec![remove(NAMESPACE, &format!("it holds all that it has; {why}"), gone)],
    };
    let (held, proof) = match observed.target() {
        Target::Local => ("all that it has", "no process, socket or file may be left"),
        Target::Compose | Target::Kubernetes => ("what this machine knows of it", "nothing of it may be left"),
    };
    let folder = format!("{} holds {held}", observed.folder.path().display());
    steps.push(remove(FOLDER, &folder, None));
    steps.push(remove(PROOF, proof, None));
    steps
}

/// The steps of a destroy that keeps the data.
fn away_but_volumes(observed: &Observed, running: &str) -> Vec<Step> {
    let remove = |id: &str, why: &str, down| step(id, Action::Remove, why, down);
    let mut steps = vec![remove(PROCESSES, running, Some("nothing works"))];
    if observed.target() == Target::Kubernetes {
        let why = "all but the volumes, the secrets that open them, and the record";
        steps.push(remove(OBJECTS, why, None));
    } else {
        let folder = observed.folder.path().display();
        let why = format!("all of {folder} but the data, the secrets that open it, and the record");
        steps.push(remove(FOLDER, &why, None));
    }
    let proof = "nothing may be left but the data and what is needed to take it up again";
    steps.push(remove(PROOF, proof, None));
    steps
}
