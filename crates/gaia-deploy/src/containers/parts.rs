//! The parts of a cluster: one kind of container each, without secrets, the same for every target.

use std::collections::BTreeMap;

use gaia_names::{Service, Store};
use gaia_spec::Resources;
use serde::Serialize;

use super::images;
use crate::{
    Blueprint,
    stores::{nats, postgres, redis},
};

/// Where a part finds its files.
pub(crate) const FILES: &str = "/etc/gaia";
/// Where chat finds the bundles that it boots with.
pub(crate) const BUNDLES: &str = "/etc/gaia-bundles";
/// Where chat's tool servers may write.
pub(crate) const TOOLS: &str = "/tmp/tools";
/// Where health, metrics and the admin API of each service listen.
pub(crate) const OPS_PORT: u16 = 9100;
/// Where inference listens.
pub(crate) const INFERENCE_PORT: u16 = 7411;
/// Where NATS says how it is.
const NATS_MONITOR: u16 = 8222;
/// Whom Gaia's own image runs as.
const GAIA_USER: u32 = 10_001;
/// Whom the official images of Postgres and of Redis run as.
const STORE_USER: u32 = 999;
/// How long a service may drain before it is killed, in seconds: longer than it gives itself.
const DRAIN_SECONDS: u32 = 25;
/// What a part that is no service and no store may use.
const LITTLE: Resources = Resources {
    memory_bytes: 256 << 20,
    cpu_millicores: 500,
};
/// What the model that chooses authored lines may use.
const MODEL: Resources = Resources {
    memory_bytes: 768 << 20,
    cpu_millicores: 1_000,
};

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Store(Store),
    /// Runs once and makes in the stores what the services need.
    Setup,
    /// The model that chooses authored lines.
    Inference,
    Service(Service),
}

/// How a part is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Check {
    /// A command within the container.
    Command(Vec<String>),
    /// It ends by itself, with 0 if all is well.
    Ends,
}

/// A folder that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Data {
    pub(crate) path: &'static str,
    pub(crate) bytes: u64,
}

/// One kind of container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// What it keeps.
    pub(crate) data: Option<Data>,
    /// Folders that it may write to and that end with it.
    pub(crate) scratch: Vec<&'static str>,
    /// Where others of the cluster reach it.
    pub(crate) ports: BTreeMap<&'static str, u16>,
    /// Where its own replicas reach it, besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) own_ports: Vec<u16>,
    pub(crate) user: u32,
    pub(crate) replicas: u32,
    pub(crate) resources: Resources,
    pub(crate) check: Check,
    pub(crate) grace_seconds: u32,
    /// Whether it reaches the world outside the cluster.
    pub(crate) goes_out: bool,
    /// Whether it finds the games' bundles.
    pub(crate) reads_bundles: bool,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Store(store) => store.as_str(),
            Self::Setup => "setup",
            Self::Inference => "inference",
            Self::Service(service) => service.as_str(),
        }
    }

    /// Whom it waits for.
    pub(crate) fn after(self) -> Vec<Role> {
        let stores = || Store::ALL.iter().map(|store| Self::Store(*store)).collect();
        match self {
            Self::Store(_) | Self::Inference => Vec::new(),
            Self::Setup => stores(),
            Self::Service(Service::Gateway) => {
                vec![Self::Setup, Self::Service(Service::Auth), Self::Service(Service::Chat)]
            }
            Self::Service(_) => vec![Self::Setup],
        }
    }
}

/// All parts of a cluster, in the order in which they start.
pub(crate) fn all(blueprint: &Blueprint) -> Vec<Part> {
    let mut parts: Vec<Part> = Store::ALL.iter().map(|one| store(blueprint, *one)).collect();
    parts.push(ours(blueprint, Role::Setup, LITTLE));
    parts.push(ours(blueprint, Role::Inference, MODEL));
    // The gateway comes last, so that whoever connects finds somebody to answer.
    for one in [Service::Auth, Service::Chat, Service::Gateway] {
        let resources = blueprint.needs.services[&one].resources;
        parts.push(ours(blueprint, Role::Service(one), resources));
    }
    parts
}

/// How many containers a store has. In Redis' cluster mode one follows each that has keys, so that one may be lost.
pub(crate) fn nodes(blueprint: &Blueprint, store: Store) -> u32 {
    let count = blueprint.needs.stores[&store].replicas.count;
    match store {
        _ if !blueprint.is_clustered(store) => 1,
        Store::Redis => 2 * count,
        Store::Postgres | Store::Nats => count,
    }
}

/// Where the nodes of a store speak to each other.
fn own_ports(blueprint: &Blueprint, store: Store) -> Vec<u16> {
    match store {
        _ if !blueprint.is_clustered(store) => Vec::new(),
        Store::Redis => vec![redis::BUS_PORT],
        Store::Nats => vec![nats::ROUTES_PORT],
        Store::Postgres => Vec::new(),
    }
}

fn store(blueprint: &Blueprint, store: Store) -> Part {
    let (sizing, has_nodes) = (blueprint.needs.stores[&store], blueprint.is_clustered(store));
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let shell = |text: &str| vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()];
    let blank = Part {
        role: Role::Store(store),
        image: images::of_store(&blueprint.needs.images, store),
        command: Vec::new(),
        environment: BTreeMap::new(),
        data: None,
        scratch: vec!["/tmp"],
        ports: BTreeMap::new(),
        own_ports: own_ports(blueprint, store),
        user: STORE_USER,
        replicas: nodes(blueprint, store),
        resources: sizing.resources,
        check: Check::Ends,
        grace_seconds: 10,
        goes_out: false,
        reads_bundles: false,
    };
    match store {
        Store::Postgres => Part {
            command: words("postgres -c config_file=/etc/gaia/postgresql.conf"),
            environment: postgres_environment(),
            data: Some(Data {
                path: "/var/lib/postgresql/data",
                bytes: 10 << 30,
            }),
            scratch: vec!["/tmp", "/var/run/postgresql"],
            ports: [("postgres", postgres::PORT)].into(),
            // While the official image prepares the data, its server answers on the socket alone.
            check: Check::Command(words(
                "pg_isready --quiet --host 127.0.0.1 --username gaia_superuser --dbname postgres",
            )),
            grace_seconds: 30,
            ..blank
        },
        Store::Redis => Part {
            command: words(match has_nodes {
                true => "sh /etc/gaia/start",
                false => "redis-server /etc/gaia/redis.conf",
            }),
            // Of what it holds nothing; only who a node is and whom it knows, so that it is the same when it is back.
            data: has_nodes.then_some(Data {
                path: "/data",
                bytes: 1 << 30,
            }),
            scratch: ["/tmp", "/data"][..if has_nodes { 1 } else { 2 }].to_vec(),
            ports: [("redis", redis::PORT)].into(),
            // Without a password it only says that it wants one, which is a sign of life.
            check: Check::Command(shell("redis-cli ping 2>&1 | grep -q -e PONG -e NOAUTH")),
            ..blank
        },
        Store::Nats => Part {
            command: words("nats-server --config /etc/gaia/nats.conf"),
            ports: [("nats", nats::PORT)].into(),
            check: Check::Command(words(&format!(
                "wget -q -O /dev/null http://127.0.0.1:{NATS_MONITOR}/healthz"
            ))),
            ..blank
        },
    }
}

/// What the official image makes a new database from.
fn postgres_environment() -> BTreeMap<&'static str, String> {
    [
        ("POSTGRES_USER", postgres::SUPERUSER.to_owned()),
        ("POSTGRES_DB", "postgres".to_owned()),
        ("POSTGRES_PASSWORD_FILE", format!("{FILES}/superuser-password")),
        (
            "POSTGRES_INITDB_ARGS",
            "--auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8".to_owned(),
        ),
        ("PGDATA", "/var/lib/postgresql/data/gaia".to_owned()),
    ]
    .into()
}

fn ours(blueprint: &Blueprint, role: Role, resources: Resources) -> Part {
    let serve = |rest: &str| {
        let words = ["serve", role.name()].into_iter().chain(rest.split(' '));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let health = |port: u16| {
        let words = ["gaia", "health"].map(str::to_owned).into_iter();
        Check::Command(words.chain([format!("http://127.0.0.1:{port}")]).collect())
    };
    let blank = Part {
        role,
        image: images::of_gaia(&blueprint.needs.images),
        command: Vec::new(),
        environment: BTreeMap::new(),
        data: None,
        scratch: vec!["/tmp"],
        ports: BTreeMap::new(),
        own_ports: Vec::new(),
        user: GAIA_USER,
        replicas: 1,
        resources,
        check: Check::Ends,
        grace_seconds: DRAIN_SECONDS,
        goes_out: false,
        reads_bundles: false,
    };
    match role {
        Role::Service(service) => Part {
            command: serve(&format!("--settings {FILES}/settings.json")),
            ports: [("ops", OPS_PORT)].into(),
            replicas: blueprint.replicas[&service].into(),
            check: health(OPS_PORT),
            // Chat asks providers and tool servers; the gateway is where players come in.
            goes_out: service != Service::Auth,
            reads_bundles: service == Service::Chat,
            ..blank
        },
        Role::Inference => Part {
            command: serve(&format!(
                "--listen 0.0.0.0:{INFERENCE_PORT} --key-file {FILES}/key --home /tmp/inference"
            )),
            // Its passes would otherwise start a thread for each core of the machine.
            environment: [
                ("RAYON_NUM_THREADS", "1".to_owned()),
                ("CANDLE_NUM_THREADS", "1".to_owned()),
            ]
            .into(),
            ports: [("http", INFERENCE_PORT)].into(),
            check: health(INFERENCE_PORT),
            ..blank
        },
        Role::Setup | Role::Store(_) => Part {
            command: serve(&format!("--settings {FILES}/settings.json")),
            ..blank
        },
    }
}
