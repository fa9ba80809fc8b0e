//! Ports on loopback: chosen free, written down before use, never taken from another cluster.

use std::{
    collections::BTreeSet,
    fs::File,
    net::{Ipv4Addr, TcpListener},
};

use gaia_names::InstanceId;
use rand::RngExt;
use rustix::fs::{FlockOperation, flock};

use super::{
    files,
    record::{Ports, Record},
};
use crate::{Blueprint, ClusterFolder, DeployError, Home};

/// Where ports that nobody types are looked for: below those that the system gives to outgoing connections, so that
/// a store can come back to its own.
const UNSEEN: std::ops::Range<u16> = 20_000..32_000;
/// How many ports above the first one are tried for a gateway.
const GATEWAY_SPAN: u16 = 1_000;

/// The lock on the choice. A cluster's lock is called as the cluster, and none is called so.
const CHOICE: &str = ".ports.lock";

/// Chooses what is missing, and anew what `lost` says, and writes it into the record before anybody uses it. One at a
/// time on this machine's home, so that two clusters never choose the same.
pub(crate) fn choose(
    home: &Home,
    folder: &ClusterFolder,
    record: &mut Record,
    blueprint: &Blueprint,
    lost: &BTreeSet<u16>,
    first_gateway_port: u16,
) -> Result<(), DeployError> {
    let _lock = lock(home)?;
    let mut taken = for_gateways(home, folder, record, blueprint, lost, first_gateway_port)?;
    if record.ports.nats.is_none() {
        record.ports.nats = Some(any_free(&mut taken)?);
    }
    for (_, _, instance) in blueprint.instances() {
        if !record.ports.ops.contains_key(&instance) {
            let port = any_free(&mut taken)?;
            record.ports.ops.insert(instance.clone(), port);
        }
        record.instances.entry(instance).or_insert_with(InstanceId::fresh);
    }
    record.write(folder)
}

/// As [`choose`], where a gateway's ports are all that the machine has to give.
pub(crate) fn choose_for_gateway(
    home: &Home,
    folder: &ClusterFolder,
    record: &mut Record,
    blueprint: &Blueprint,
    lost: &BTreeSet<u16>,
    first_gateway_port: u16,
) -> Result<(), DeployError> {
    let _lock = lock(home)?;
    for_gateways(home, folder, record, blueprint, lost, first_gateway_port)?;
    record.write(folder)
}

fn lock(home: &Home) -> Result<File, DeployError> {
    let lock = home.path().join("locks").join(CHOICE);
    let file = File::create(&lock).map_err(DeployError::file("open the lock", &lock))?;
    flock(&file, FlockOperation::LockExclusive).map_err(DeployError::system("lock the choice of ports"))?;
    Ok(file)
}

/// Gives each game a port for players, and says which ports are taken then.
fn for_gateways(
    home: &Home,
    folder: &ClusterFolder,
    record: &mut Record,
    blueprint: &Blueprint,
    lost: &BTreeSet<u16>,
    first_gateway_port: u16,
) -> Result<BTreeSet<u16>, DeployError> {
    let mut taken = recorded_elsewhere(home, folder)?;
    record.ports = kept(&record.ports, blueprint, lost);
    taken.extend(record.ports.all());
    for game in blueprint
        .games
        .keys()
        .filter(|game| !record.ports.gateway.contains_key(*game))
        .cloned()
        .collect::<Vec<_>>()
    {
        let range = first_gateway_port..first_gateway_port.saturating_add(GATEWAY_SPAN);
        let port = first_free(range.clone(), &taken).ok_or(DeployError::NoPort {
            from: range.start,
            to: range.end,
        })?;
        taken.insert(port);
        record.ports.gateway.insert(game, port);
    }
    Ok(taken)
}

/// Whether all ports that a blueprint needs have been chosen.
pub(crate) fn are_chosen(ports: &Ports, blueprint: &Blueprint) -> bool {
    ports.nats.is_some()
        && blueprint.games.keys().all(|game| ports.gateway.contains_key(game))
        && blueprint
            .instances()
            .all(|(_, _, instance)| ports.ops.contains_key(&instance))
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn kept(ports: &Ports, blueprint: &Blueprint, lost: &BTreeSet<u16>) -> Ports {
    let is_kept = |port: &u16| !lost.contains(port);
    let instances: BTreeSet<String> = blueprint.instances().map(|(_, _, instance)| instance).collect();
    let gateway = ports
        .gateway
        .iter()
        .filter(|(game, port)| blueprint.games.contains_key(*game) && is_kept(port));
    let ops = ports
        .ops
        .iter()
        .filter(|(instance, port)| instances.contains(*instance) && is_kept(port));
    Ports {
        nats: ports.nats.filter(is_kept),
        gateway: gateway.map(|(game, port)| (game.clone(), *port)).collect(),
        ops: ops.map(|(instance, port)| (instance.clone(), *port)).collect(),
    }
}

fn recorded_elsewhere(home: &Home, folder: &ClusterFolder) -> Result<BTreeSet<u16>, DeployError> {
    let mut taken = BTreeSet::new();
    for name in home.clusters()?.into_iter().filter(|name| name != folder.name()) {
        // A record that cannot be read takes no part; its ports show themselves by being in use.
        if let Ok(Some(record)) = Record::read(&home.cluster(&name)) {
            taken.extend(record.ports.all());
        }
    }
    Ok(taken)
}

fn first_free(mut range: std::ops::Range<u16>, taken: &BTreeSet<u16>) -> Option<u16> {
    range.find(|port| !taken.contains(port) && is_free(*port))
}

fn any_free(taken: &mut BTreeSet<u16>) -> Result<u16, DeployError> {
    // Homes do not know of each other, so each begins somewhere else.
    let start = rand::rng().random_range(UNSEEN);
    let found = first_free(start..UNSEEN.end, taken).or_else(|| first_free(UNSEEN.start..start, taken));
    let port = found.ok_or(DeployError::NoPort {
        from: UNSEEN.start,
        to: UNSEEN.end,
    })?;
    taken.insert(port);
    Ok(port)
}

/// Makes the folder in which locks lie.
pub(crate) fn prepare_locks(home: &Home) -> Result<(), DeployError> {
    files::make_folder(&home.path().join("locks"), 0o700, None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gaia_names::{Service, Target};
    use gaia_protocol::bundle::Bundle;

    use super::*;
    use crate::{ClusterInput, GameInput, Parent};

    fn blueprint(game: &str, chats: u16) -> Blueprint {
        let bundle: Bundle = serde_json::from_value(serde_json::json!({
            "game": game, "generation": 0, "name": game, "theme": "dark", "personality": null,
            "response_time_target_ms": 500, "context_window": 5, "personas": [], "routes": [], "tool_servers": [],
            "features": {},
        }))
        .unwrap();
        let mut input = ClusterInput::dedicated(GameInput {
            bundle,
            route_keys: BTreeMap::new(),
            tool_secrets: BTreeMap::new(),
        });
        input.replicas.insert(Service::Chat, chats);
        Blueprint::draw_up(input, &Parent::default()).unwrap()
    }

    fn chosen(home: &Home, blueprint: &Blueprint, mut record: Record, lost: &BTreeSet<u16>, first: u16) -> Record {
        let folder = home.cluster(&blueprint.cluster);
        files::make_folder(folder.path(), 0o700, None).unwrap();
        choose(home, &folder, &mut record, blueprint, lost, first).unwrap();
        assert!(are_chosen(&record.ports, blueprint));
        record
    }

    #[test]
    fn ports_are_free_kept_and_never_another_clusters() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        prepare_locks(&home).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let (one, two) = (blueprint("one", 1), blueprint("two", 2));
        let first = chosen(
            &home,
            &one,
            Record::new(one.cluster.clone(), Target::Local),
            &BTreeSet::new(),
            taken,
        );
        let gateway = |record: &Record| *record.ports.gateway.values().next().unwrap();
        assert!(gateway(&first) > taken, "a port in use was chosen");
        // Nobody listens on the ports of the first one, and still they are its own.
        let second = chosen(
            &home,
            &two,
            Record::new(two.cluster.clone(), Target::Local),
            &BTreeSet::new(),
            taken,
        );
        let ours: BTreeSet<u16> = first.ports.all().collect();
        assert!(
            second.ports.all().all(|port| !ours.contains(&port)),
            "{ours:?} and {:?}",
            second.ports
        );
        let again = chosen(&home, &one, first.clone(), &BTreeSet::new(), taken);
        assert_eq!(again.ports, first.ports);
        let lost = BTreeSet::from([gateway(&first)]);
        let moved = chosen(&home, &one, first.clone(), &lost, gateway(&first) + 1);
        assert!(gateway(&moved) > gateway(&first) && moved.ports.nats == first.ports.nats);
        // Fewer instances give theirs back.
        let fewer = chosen(&home, &blueprint("two", 1), second.clone(), &BTreeSet::new(), taken);
        assert_eq!(fewer.ports.all().count() + 1, second.ports.all().count());
    }
}
