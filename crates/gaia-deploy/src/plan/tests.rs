//! Plans, as people read them.

mod numbers;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gaia_names::{Secret, Service, Store, Target};
use gaia_protocol::{bundle::Bundle, chat::BundleInUse, settings::InferenceAccess};
use insta::assert_snapshot;

use super::{Plan, StepId, ids};
use crate::{
    Blueprint, ClusterInput, GameInput, Home, Observed, ObservedProcess,
    record::{Intent, Life, Record, Resource},
    secrets::Secrets,
    stores::{self, migrations},
    targets::local::{nats, place::Place, postgres, redis, services},
};

fn bundle(game: &str, theme: &str) -> Bundle {
    Bundle {
        game: game.parse().unwrap(),
        generation: 0,
        name: game.to_owned(),
        theme: theme.to_owned(),
        personality: None,
        response_time_target_ms: 500,
        context_window: 5,
        personas: Vec::new(),
        routes: Vec::new(),
        tool_servers: Vec::new(),
        features: BTreeMap::new(),
        budget: Default::default(),
        rates: Default::default(),
    }
}

fn input(theme: &str) -> ClusterInput {
    let keys = BTreeMap::from([("anthropic".to_owned(), Secret::new("sk-1"))]);
    ClusterInput::dedicated(GameInput {
        bundle: bundle("kos", theme),
        route_keys: keys,
        tool_secrets: BTreeMap::new(),
    })
}

fn nothing() -> Observed {
    let cluster = "kos".parse().unwrap();
    Observed {
        folder: Home::at("/h").unwrap().cluster(&cluster),
        cluster,
        target: Target::Local,
        gateway: None,
        objects: BTreeMap::new(),
        known: BTreeSet::new(),
        foreign_quotas: Vec::new(),
        is_ending: false,
        supervisor: None,
        processes: BTreeMap::new(),
        is_there: false,
        record: None,
        secrets: None,
        settings: BTreeMap::new(),
        bundles_in_use: BTreeMap::new(),
        lost_ports: BTreeSet::new(),
        lost_data: BTreeMap::new(),
        images: BTreeMap::new(),
        files_digest: None,
        faults: Vec::new(),
    }
}

fn running(revision: String) -> ObservedProcess {
    ObservedProcess {
        is_running: true,
        pid: Some(42),
        since: None,
        restarts: 0,
        last_exit: None,
        readiness: Ok(()),
        memory_bytes: None,
        revision,
        image: None,
    }
}

/// What the steps of a blueprint have made.
fn made(blueprint: &Blueprint, secrets: &Secrets) -> BTreeMap<StepId, Resource> {
    let mut resources = BTreeMap::new();
    let mut make = |id: StepId, digest: String| {
        resources.insert(
            id,
            Resource {
                digest,
                id: String::new(),
                at: DateTime::<Utc>::UNIX_EPOCH,
            },
        );
    };
    let games = || blueprint.games.keys();
    for (id, digest) in [
        (ids::FOLDERS, ids::folders_digest()),
        (ids::SECRETS, String::new()),
        (ids::PORTS, String::new()),
        (ids::POSTGRES_DATA, String::new()),
        (ids::SUPERVISOR, String::new()),
        (ids::POSTGRES_ROLES, stores::postgres::roles_digest(secrets)),
        (ids::POSTGRES_MIGRATIONS, migrations::digest()),
        (ids::REDIS_USERS, stores::redis::users_digest(secrets)),
        (ids::NATS_ACCOUNTS, stores::nats::accounts_digest(secrets)),
    ] {
        make(StepId(id.to_owned()), digest);
    }
    Store::ALL
        .iter()
        .for_each(|store| make(ids::store_step(store.as_str()), String::new()));
    games().for_each(|game| make(ids::bundle_step(game), ids::bundle_digest(blueprint, game)));
    blueprint
        .instances()
        .for_each(|(_, _, instance)| make(ids::service_step(&instance), String::new()));
    resources
}

/// What is observed right after a blueprint was applied.
fn after(blueprint: &Blueprint) -> Observed {
    let mut observed = Observed {
        is_there: true,
        supervisor: Some(running(String::new())),
        ..nothing()
    };
    let mut secrets = Secrets::make().unwrap();
    let mut record = Record::new(blueprint.cluster.clone(), blueprint.target);
    record.generation = blueprint.generation;
    record.digest.clone_from(&blueprint.digest);
    record.applied = Some(blueprint.clone());
    record.ports.nats = Some(4000);
    for (game, own) in &blueprint.games {
        secrets.add_game(game).unwrap();
        record.ports.gateway.insert(game.clone(), 7400);
        record
            .bundles
            .insert(game.clone(), (own.bundle.generation, own.bundle_digest.clone()));
    }
    record.resources = made(blueprint, &secrets);
    let place = Place::paths(observed.folder.path());
    for (store, revision) in [
        (Store::Postgres, postgres::revision(&place)),
        (Store::Redis, redis::revision(&place)),
        (Store::Nats, nats::revision(4000)),
    ] {
        observed.processes.insert(store.to_string(), running(revision));
    }
    for (index, (_, _, instance)) in (1u16..).zip(blueprint.instances()) {
        record.ports.ops.insert(instance.clone(), 5000 + index);
        record.instances.insert(instance, gaia_names::InstanceId::fresh());
    }
    for (service, _, instance) in blueprint.instances() {
        let text = services::settings(&observed.folder, blueprint, &record, &secrets, (service, &instance)).unwrap();
        observed
            .processes
            .insert(instance.clone(), running(services::revision(&text)));
        observed.settings.insert(instance, text);
    }
    observed.record = Some(record);
    observed.secrets = Some(secrets);
    observed
}

fn first() -> Blueprint {
    Blueprint::draw_up(input("dark"), &nothing().parent()).unwrap()
}

fn plan(observed: &Observed, input: ClusterInput) -> Plan {
    Plan::between(observed, &Blueprint::draw_up(input, &observed.parent()).unwrap())
}

#[test]
fn a_new_cluster_is_made_from_the_ground_up() {
    assert_snapshot!(plan(&nothing(), input("dark")), @r#"
    cluster `kos`, generation 1
      create   folders              there is none yet
      create   secrets              there are none yet
      create   ports                none are chosen yet
      create   postgres:data        there is none yet
      create   supervisor           there is none yet
      create   store:postgres       there is none yet
      create   store:redis          there is none yet
      create   store:nats           there is none yet
      create   postgres:roles       there is none yet
      create   postgres:migrations  there is none yet
      create   redis:users          there is none yet
      create   nats:accounts        there is none yet
      create   service:auth-1       there is none yet
      create   service:chat-1       there is none yet
      create   service:gateway-1    there is none yet
      create   bundle:kos           publish generation 1
    16 to create, 0 to change, 0 to restart, 0 to remove
    "#);
}

#[test]
fn the_same_blueprint_twice_is_nothing_to_do() {
    let observed = after(&first());
    let again = plan(&observed, input("dark"));
    assert!(again.is_empty(), "{again}");
    assert_eq!((again.parent, again.generation), (1, 1));
    assert_snapshot!(again, @r#"
    cluster `kos` is as it should be: nothing to do
    "#);
}

#[test]
fn a_plan_is_the_same_every_time_and_shows_no_secret() {
    let observed = after(&first());
    let mut input = input("light");
    input.games[0]
        .route_keys
        .insert("openai".into(), Secret::new("sk-hidden"));
    let (one, two) = (plan(&observed, input.clone()), plan(&observed, input));
    assert_eq!(one, two);
    let text = serde_json::to_string(&one).unwrap() + &one.to_string();
    assert!(!text.contains("sk-") && text.contains("openai"), "{text}");
}

#[test]
fn other_content_is_published_and_restarts_nothing() {
    assert_snapshot!(plan(&after(&first()), input("light")), @r#"
    cluster `kos`, generation 1 -> 2
      change   bundle:kos  publish generation 2: its content has changed
    0 to create, 1 to change, 0 to restart, 0 to remove
    "#);
}

#[test]
fn another_route_key_restarts_chat_and_says_which_key() {
    let mut input = input("dark");
    input.games[0]
        .route_keys
        .insert("anthropic".into(), Secret::new("sk-2"));
    assert_snapshot!(plan(&after(&first()), input), @r#"
    cluster `kos`, generation 1, put right
      restart  service:chat-1  the key `anthropic` of a route of `kos` is another one
                               meanwhile messages get no reply
    0 to create, 0 to change, 1 to restart, 0 to remove
    "#);
}

#[test]
fn a_model_that_has_come_restarts_chat() {
    let access = InferenceAccess {
        base_url: "http://127.0.0.1:7411/v1".into(),
        key: Secret::new("k"),
    };
    assert_snapshot!(plan(&after(&first()), ClusterInput { inference: Some(access), ..input("dark") }), @r#"
    cluster `kos`, generation 1, put right
      restart  service:chat-1  the model on this machine is there now
                               meanwhile messages get no reply
    0 to create, 0 to change, 1 to restart, 0 to remove
    "#);
}

#[test]
fn more_or_fewer_instances_touch_that_service_alone() {
    let chats = |count| ClusterInput {
        replicas: BTreeMap::from([(Service::Chat, count)]),
        ..input("dark")
    };
    assert_snapshot!(plan(&after(&first()), chats(3)), @r#"
    cluster `kos`, generation 1 -> 2
      change   ports           some are not chosen yet
      create   service:chat-2  there is none yet
      create   service:chat-3  there is none yet
    2 to create, 1 to change, 0 to restart, 0 to remove
    "#);
    let three = Blueprint::draw_up(chats(3), &nothing().parent()).unwrap();
    assert_snapshot!(plan(&after(&three), chats(2)), @r#"
    cluster `kos`, generation 1 -> 2
      remove   service:chat-3  fewer instances are wanted
    0 to create, 0 to change, 0 to restart, 1 to remove
    "#);
}

#[test]
fn a_second_gateway_makes_the_first_share_its_port() {
    let gateways = ClusterInput {
        replicas: BTreeMap::from([(Service::Gateway, 2)]),
        ..input("dark")
    };
    assert_snapshot!(plan(&after(&first()), gateways), @r#"
    cluster `kos`, generation 1 -> 2
      change   ports              some are not chosen yet
      restart  service:gateway-1  whether it shares its port with other instances changes
      create   service:gateway-2  there is none yet
    1 to create, 1 to change, 1 to restart, 0 to remove
    "#);
}

#[test]
fn what_has_died_is_started_again() {
    let mut observed = after(&first());
    observed.supervisor = None;
    for name in ["chat-1", "redis"] {
        let process = observed.processes.get_mut(name).unwrap();
        (process.is_running, process.last_exit) = (false, Some("signal 9".to_owned()));
    }
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      restart  supervisor      drift, missing: it does not run
      restart  store:redis     drift, missing: it does not run; it ended with signal 9
      restart  service:chat-1  drift, missing: it does not run; it ended with signal 9
    0 to create, 0 to change, 3 to restart, 0 to remove
    "#);
}

#[test]
fn drift_is_shown_and_put_right() {
    let mut observed = after(&first());
    let text = observed.settings.get_mut("gateway-1").unwrap();
    *text = text.replace("600", "6000000");
    observed.processes.get_mut("nats").unwrap().revision = "other".to_owned();
    let used = BundleInUse {
        spending: Vec::new(),
        generation: 0,
        answers_by: "barks".into(),
        why: None,
        lines_to_read: 0,
    };
    observed.bundles_in_use.insert("kos".parse().unwrap(), Ok(used));
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      restart  store:nats         drift, config: its configuration is another one
                                  meanwhile requests wait or fail
      restart  service:gateway-1  drift, config: its settings are not what they should be: an address, a credential or a limit differs
                                  meanwhile players' connections close; they connect again
      change   bundle:kos         drift, config: publish generation 1: the cluster uses generation 0
    0 to create, 1 to change, 2 to restart, 0 to remove
    "#);
}

#[test]
fn data_that_is_gone_is_made_anew_with_all_that_was_in_it() {
    let mut observed = after(&first());
    observed
        .lost_data
        .insert(Store::Postgres, "/h/data is gone, and what it held with it".to_owned());
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      create   postgres:data        drift, data: /h/data is gone, and what it held with it
      change   postgres:roles       drift, data: it was made in a database that is gone
      change   postgres:migrations  drift, data: it was made in a database that is gone
    1 to create, 2 to change, 0 to restart, 0 to remove
    "#);
}

#[test]
fn a_destroy_may_keep_the_data_and_is_done_once() {
    let mut observed = after(&first());
    assert_snapshot!(Plan::destroying_all_but_volumes(&observed), @r#"
    cluster `kos` goes away, but for its data
      remove   processes  the supervisor and 6 processes run
                          meanwhile nothing works
      remove   folder     all of /h/clusters/kos but the data, the secrets that open it, and the record
      remove   proof      nothing may be left but the data and what is needed to take it up again
    0 to create, 0 to change, 0 to restart, 3 to remove
    "#);
    let record = observed.record.as_mut().unwrap();
    record.life = Life::Keeping;
    assert_eq!(plan(&observed, input("dark")).steps[0].id.0, ids::LEFTOVERS);
    let record = observed.record.as_mut().unwrap();
    record.keep_data();
    assert!(Plan::destroying_all_but_volumes(&observed).is_empty());
    assert!(!Plan::destroying(&observed).is_empty());
    let again = plan(&observed, input("dark"));
    let is_made = |id: &str| again.steps.iter().any(|step| step.id.0 == id);
    assert!(
        is_made(ids::POSTGRES_ROLES) && !is_made(ids::POSTGRES_DATA) && !is_made(ids::SECRETS),
        "{again}"
    );
}

#[test]
fn a_port_that_somebody_took_is_chosen_anew() {
    let mut observed = after(&first());
    observed.processes.get_mut("nats").unwrap().is_running = false;
    observed.lost_ports.insert(4000);
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      change   ports              drift, config: another program listens on port 4000, which was ours
      restart  store:nats         drift, missing: it does not run
      restart  service:auth-1     drift, config: the port of NATS changes
                                  meanwhile nobody can sign in
      restart  service:chat-1     drift, config: the port of NATS changes
                                  meanwhile messages get no reply
      restart  service:gateway-1  drift, config: the port of NATS changes
                                  meanwhile players' connections close; they connect again
    0 to create, 1 to change, 4 to restart, 0 to remove
    "#);
}

#[test]
fn a_bundle_that_somebody_published_past_us_is_overtaken() {
    let mut observed = after(&first());
    let used = BundleInUse {
        spending: Vec::new(),
        generation: 7,
        answers_by: "barks".into(),
        why: None,
        lines_to_read: 0,
    };
    observed.bundles_in_use.insert("kos".parse().unwrap(), Ok(used));
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      change   bundle:kos  publish generation 8: its content has changed
    0 to create, 1 to change, 0 to restart, 0 to remove
    "#);
}

#[test]
fn an_interrupted_step_is_done_again_and_so_is_the_note_at_the_end() {
    let mut observed = after(&first());
    let interrupted = Intent {
        step: StepId("postgres:roles".to_owned()),
        command: "gaia up kos".to_owned(),
        since: DateTime::<Utc>::UNIX_EPOCH,
    };
    observed.record.as_mut().unwrap().intent = Some(interrupted);
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      change   postgres:roles  an earlier command ended in the middle of it
    0 to create, 1 to change, 0 to restart, 0 to remove
    "#);
    observed.record.as_mut().unwrap().intent = None;
    observed.record.as_mut().unwrap().applied = None;
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      change   record  an earlier command ended before it noted that all was done
    0 to create, 1 to change, 0 to restart, 0 to remove
    "#);
}

#[test]
fn every_step_is_planned_again_when_it_was_interrupted() {
    let observed = after(&first());
    for id in observed.record.as_ref().unwrap().resources.keys() {
        let mut observed = observed.clone();
        let intent = Intent {
            step: id.clone(),
            command: String::new(),
            since: DateTime::<Utc>::UNIX_EPOCH,
        };
        observed.record.as_mut().unwrap().intent = Some(intent);
        // A supervisor that runs and answers is there, whoever was interrupted when starting it.
        if id.0 != ids::SUPERVISOR {
            let plan = plan(&observed, input("dark"));
            assert!(plan.steps.iter().any(|step| step.id == *id), "{id} is not in {plan}");
        }
    }
}

#[test]
fn a_stopped_cluster_starts_again_with_what_it_has() {
    let mut observed = after(&first());
    observed.supervisor = None;
    observed.record.as_mut().unwrap().life = Life::Stopped;
    observed
        .processes
        .values_mut()
        .for_each(|process| process.is_running = false);
    assert_snapshot!(plan(&observed, input("dark")), @r#"
    cluster `kos`, generation 1, put right
      restart  supervisor         the cluster was stopped
      restart  store:postgres     the cluster was stopped
      restart  store:redis        the cluster was stopped
      restart  store:nats         the cluster was stopped
      restart  service:auth-1     the cluster was stopped
      restart  service:chat-1     the cluster was stopped
      restart  service:gateway-1  the cluster was stopped
    0 to create, 0 to change, 7 to restart, 0 to remove
    "#);
}

#[test]
fn destroy_ends_with_a_proof_and_goes_on_where_it_was_interrupted() {
    let mut observed = after(&first());
    assert_snapshot!(Plan::destroying(&observed), @r#"
    cluster `kos` goes away, with its data
      remove   processes  the supervisor and 6 processes run
                          meanwhile nothing works
      remove   folder     /h/clusters/kos holds all that it has
      remove   proof      no process, socket or file may be left
    0 to create, 0 to change, 0 to restart, 3 to remove
    "#);
    assert!(Plan::destroying(&nothing()).is_empty());
    observed.record.as_mut().unwrap().life = Life::Destroying;
    assert_eq!(plan(&observed, input("dark")).steps[0].id.0, ids::LEFTOVERS);
}

#[test]
fn a_number_of_instances_that_cannot_be_is_refused() {
    for count in [0, 33] {
        let input = ClusterInput {
            replicas: BTreeMap::from([(Service::Auth, count)]),
            ..input("dark")
        };
        assert!(Blueprint::draw_up(input, &nothing().parent()).is_err());
    }
    let twice = ClusterInput {
        games: vec![input("a").games.remove(0), input("b").games.remove(0)],
        ..input("a")
    };
    assert!(Blueprint::draw_up(twice, &nothing().parent()).is_err());
    let none = ClusterInput {
        games: Vec::new(),
        ..input("a")
    };
    assert!(Blueprint::draw_up(none, &nothing().parent()).is_err());
}
