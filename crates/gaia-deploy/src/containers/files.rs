//! The files of each part, with the secrets in them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use gaia_names::{GameId, InstanceId, Secret, Service, Store};
use gaia_protocol::settings::{AuthGame, ChatGame, GatewayGame, InferenceAccess, Settings};
use serde::Serialize;

use super::parts::{BUNDLES, FILES, INFERENCE_PORT, OPS_PORT, Role, TOOLS, nodes};
use crate::{
    Blueprint,
    record::Ports,
    secrets::Secrets,
    stores::{
        addresses::{Addresses, GameAccess},
        nats, postgres, redis,
        set_up::SetUp,
    },
};

/// The files of one part, by name.
pub(crate) type Files = BTreeMap<String, Secret>;

/// What a part reads at its start or not at all later: it starts again where that differs. Whom the stores know is told to
/// them while they run.
pub(crate) fn read_at_start(files: &Files) -> BTreeMap<&str, &str> {
    const TOLD: [&str; 3] = ["superuser-password", "users.acl", "accounts.conf"];
    let files = files.iter().filter(|(name, _)| !TOLD.contains(&name.as_str()));
    files.map(|(name, text)| (name.as_str(), text.expose())).collect()
}

/// What the files of a cluster's parts are made from.
pub(crate) struct Source<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) secrets: &'a Secrets,
    pub(crate) ports: &'a Ports,
    /// The host name of a node of a store that has several, by its number from 1.
    pub(crate) host: fn(Store, u32) -> String,
}

impl Source<'_> {
    /// The files of one part; none while secrets or ports are missing. Pure.
    pub(crate) fn of(&self, role: Role) -> Option<Files> {
        let secret = |text: String| Secret::new(text);
        let named = |files: Vec<(&str, Secret)>| {
            let files = files.into_iter().map(|(name, text)| (name.to_owned(), text));
            Some(files.collect())
        };
        match role {
            Role::Store(Store::Postgres) => named(vec![
                ("postgresql.conf", secret(postgres_config())),
                ("pg_hba.conf", secret(HOST_BASED_ACCESS.to_owned())),
                ("superuser-password", self.secrets.postgres_superuser.clone()),
            ]),
            Role::Store(Store::Redis) if self.blueprint.is_clustered(Store::Redis) => named(vec![
                ("redis.conf", secret(self.redis_node_config())),
                ("users.acl", secret(redis::users(self.secrets, true))),
                ("node-password", self.secrets.nodes.clone()),
                ("start", secret(self.redis_start())),
            ]),
            Role::Store(Store::Redis) => named(vec![
                ("redis.conf", secret(redis_config(192))),
                ("users.acl", secret(redis::users(self.secrets, false))),
            ]),
            Role::Store(Store::Nats) => named(vec![
                ("nats.conf", secret(self.nats_config())),
                ("accounts.conf", secret(nats::accounts(self.secrets))),
            ]),
            Role::Setup => {
                let settings = SetUp {
                    addresses: self.addresses(),
                    secrets: self.secrets.in_force(),
                    reader: nats::reader(self.secrets),
                };
                named(vec![("settings.json", json(&settings)?)])
            }
            Role::Inference => {
                let keys = self.secrets.known().map(|known| known.inference.expose());
                named(vec![("key", secret(keys.collect::<Vec<_>>().join("\n")))])
            }
            Role::Service(service) => {
                let settings = match service {
                    Service::Gateway => self.settings(|game, access| self.gateway(game, access)),
                    Service::Auth => self.settings(|game, access| self.auth(game, access)),
                    Service::Chat => self.settings(|game, access| self.chat(game, access)),
                };
                named(vec![("settings.json", settings?)])
            }
        }
    }

    /// The bundles to boot with, by file name.
    pub(crate) fn bundles(&self) -> Option<Files> {
        let games = self.blueprint.games.iter();
        games
            .map(|(game, own)| Some((format!("{game}.json"), json(&own.bundle)?)))
            .collect()
    }

    /// Where the stores of a cluster answer to its own services.
    fn addresses(&self) -> Addresses {
        let of = |store, port| {
            let hosts = self.hosts(store);
            let addresses = hosts.iter().map(|host| format!("{host}:{port}"));
            addresses.collect::<Vec<_>>().join(",")
        };
        Addresses {
            postgres: Store::Postgres.to_string(),
            redis: of(Store::Redis, redis::PORT),
            nats: of(Store::Nats, nats::PORT),
        }
    }

    fn hosts(&self, store: Store) -> Vec<String> {
        match nodes(self.blueprint, store) {
            1 => vec![store.to_string()],
            several => (1..=several).map(|number| (self.host)(store, number)).collect(),
        }
    }

    fn redis_node_config(&self) -> String {
        // As much again may be needed for a moment, when a node copies what it holds for one that follows it.
        let bytes = self.blueprint.needs.stores[&Store::Redis].resources.memory_bytes / 2;
        let (config, as_node) = (redis_config(bytes >> 20), redis::node_config(self.secrets));
        format!("{config}{as_node}cluster-preferred-endpoint-type hostname\n")
    }

    /// Starts a node of Redis. Names stay and addresses do not: as long as a node does not reach all others, it meets
    /// them again where their names lead. The password goes in by standard input, where no list of processes shows it.
    fn redis_start(&self) -> String {
        let hosts = self.hosts(Store::Redis);
        let (user, port) = (redis::NODE_USER, redis::PORT);
        format!(
            "peers='{all}'\n\
             for peer in $peers; do [ \"${{peer%%.*}}\" = \"$(hostname)\" ] && name=$peer; done\n\
             ask() {{ {{ echo \"AUTH {user} $(cat {FILES}/node-password)\"; cat; }} | redis-cli 2>/dev/null; }}\n\
             meet() {{\n\
             \x20 for peer in $peers; do\n\
             \x20   [ \"$peer\" = \"$name\" ] && continue\n\
             \x20   address=$(getent hosts \"$peer\" | head -n 1 | cut -d ' ' -f 1)\n\
             \x20   [ -n \"$address\" ] && echo \"CLUSTER MEET $address {port}\"\n\
             \x20 done\n\
             }}\n\
             while sleep 2; do\n\
             \x20 reached=$(echo 'CLUSTER NODES' | ask | grep -c ' connected')\n\
             \x20 [ \"$reached\" -ge {count} ] || meet | ask >/dev/null\n\
             done &\n\
             exec redis-server {FILES}/redis.conf --cluster-announce-hostname \"$name\"\n",
            all = hosts.join(" "),
            count = hosts.len(),
        )
    }

    fn nats_config(&self) -> String {
        let routes = match self.blueprint.is_clustered(Store::Nats) {
            true => nats::routes(self.secrets, &self.hosts(Store::Nats)),
            false => String::new(),
        };
        format!(
            "listen: \"0.0.0.0:{}\"\nhttp: \"127.0.0.1:8222\"\n{}{routes}logtime: true\ninclude accounts.conf\n",
            nats::PORT,
            nats::limits()
        )
    }

    fn settings<G: Serialize>(&self, game: impl Fn(&GameId, GameAccess) -> Option<G>) -> Option<Secret> {
        let games = self.blueprint.games.keys();
        let games: Option<Vec<G>> = games
            .map(|id| game(id, self.addresses().of_game(self.secrets, id)?))
            .collect();
        // Which process it is, each finds by itself: several read the same file.
        let mut settings = serde_json::to_value(Settings {
            instance: InstanceId::fresh(),
            ops_listen: everywhere(OPS_PORT),
            games: games?,
        })
        .ok()?;
        settings.as_object_mut()?.remove("instance");
        json(&settings)
    }

    fn gateway(&self, game: &GameId, mut access: GameAccess) -> Option<GatewayGame> {
        let rates = self.blueprint.games.get(game)?.bundle.rates;
        Some(GatewayGame {
            game: game.clone(),
            listen: everywhere(*self.ports.gateway.get(game)?),
            shares_port: false,
            redis: access.redis,
            nats: access.nats.remove(&Service::Gateway)?,
            admin_token: self.secrets.games.get(game)?.admin_token.clone(),
            cors_origins: vec!["*".to_owned()],
            requests_per_minute: rates.requests_per_minute,
            sign_ins_per_minute: rates.sign_ins_per_minute,
        })
    }

    fn auth(&self, game: &GameId, mut access: GameAccess) -> Option<AuthGame> {
        Some(AuthGame {
            game: game.clone(),
            postgres: access.postgres.remove(&Service::Auth)?,
            redis: access.redis,
            nats: access.nats.remove(&Service::Auth)?,
            signing_key: self.secrets.games.get(game)?.signing_key.clone(),
        })
    }

    fn chat(&self, game: &GameId, mut access: GameAccess) -> Option<ChatGame> {
        let credentials = &self.blueprint.credentials;
        let inference = InferenceAccess {
            base_url: format!("http://{}:{INFERENCE_PORT}/v1", Role::Inference.name()),
            key: self.secrets.inference.clone(),
        };
        Some(ChatGame {
            game: game.clone(),
            postgres: access.postgres.remove(&Service::Chat)?,
            redis: access.redis,
            nats: access.nats.remove(&Service::Chat)?,
            bundle: format!("{BUNDLES}/{game}.json").into(),
            route_keys: credentials.route_keys.get(game).cloned().unwrap_or_default(),
            tool_secrets: credentials.tool_secrets.get(game).cloned().unwrap_or_default(),
            tools_folder: Some(TOOLS.into()),
            inference: Some(inference),
        })
    }
}

/// Who may connect to what. The local lines are for the image, which prepares the data over the socket.
const HOST_BASED_ACCESS: &str = "local all gaia_superuser scram-sha-256\nhost gaia all all scram-sha-256\n\
     host postgres gaia_superuser all scram-sha-256\n";

fn postgres_config() -> String {
    format!(
        "listen_addresses = '*'\nport = {}\nunix_socket_directories = '/var/run/postgresql'\n\
         hba_file = '/etc/gaia/pg_hba.conf'\npassword_encryption = 'scram-sha-256'\nmax_connections = 400\n\
         shared_buffers = '128MB'\nwork_mem = '4MB'\n\
         maintenance_work_mem = '64MB'\nmax_wal_size = '1GB'\nmin_wal_size = '80MB'\njit = off\nfsync = on\n\
         synchronous_commit = on\nmax_parallel_workers_per_gather = 0\nwal_level = 'replica'\nmax_wal_senders = 0\n\
         log_destination = 'stderr'\nlogging_collector = off\nlog_min_error_statement = 'panic'\nlog_statement = 'none'\n\
         log_timezone = 'UTC'\ntimezone = 'UTC'\ndatestyle = 'iso, ymd'\nlc_messages = 'C.UTF-8'\ncluster_name = 'gaia'\n\
         update_process_title = off\n",
        postgres::PORT
    )
}

/// With the most that it may hold, in MiB.
fn redis_config(most: u64) -> String {
    format!(
        "port {}\nbind * -::*\ndir /data\naclfile /etc/gaia/users.acl\nsave \"\"\nappendonly no\nmaxmemory {most}mb\n\
         maxmemory-policy noeviction\nmaxclients 4000\ndaemonize no\nprotected-mode no\ntimeout 0\ntcp-keepalive 60\n\
         loglevel notice\n",
        redis::PORT
    )
}

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

fn json(value: &impl Serialize) -> Option<Secret> {
    serde_json::to_string_pretty(value).ok().map(Secret::new)
}
