//! What each instance of a service is told, and how it is started.

use std::net::{Ipv4Addr, SocketAddr};

use gaia_names::Service;
use gaia_protocol::settings::{AuthGame, ChatGame, GatewayGame, Settings};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    place::Place,
    processes::{Ending, Kind, ProcessSpec},
    record::Record,
    secrets::Secrets,
};
use crate::{Blueprint, ClusterFolder, Program, blueprint::digest_bytes, stores::addresses::GameAccess};

/// How long a service may drain before it is killed, in milliseconds: longer than it gives itself.
const DRAIN_MS: u64 = 25_000;

/// The settings of one instance as its file should hold them; none while ports or secrets are missing. Pure.
pub(crate) fn settings(
    folder: &ClusterFolder,
    blueprint: &Blueprint,
    record: &Record,
    secrets: &Secrets,
    (service, instance): (Service, &str),
) -> Option<String> {
    let frame = Frame {
        folder,
        blueprint,
        record,
        secrets,
        instance,
    };
    match service {
        Service::Gateway => frame.fill(|frame, game| frame.gateway(game)),
        Service::Auth => frame.fill(|frame, game| frame.auth(game)),
        Service::Chat => frame.fill(|frame, game| frame.chat(game)),
    }
}

/// The digest of what an instance is told and of which Gaia tells it: another one means that it has to start again.
pub(crate) fn revision(settings: &str) -> String {
    digest_bytes(format!("{} {settings}", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// How an instance is started.
pub(crate) fn spec(
    folder: &ClusterFolder,
    program: &Program,
    service: Service,
    instance: &str,
    settings: &str,
) -> ProcessSpec {
    let file = folder.settings(instance).display().to_string();
    ProcessSpec {
        name: instance.to_owned(),
        kind: Kind::Service,
        program: program.0.clone(),
        args: vec!["serve".to_owned(), service.to_string(), "--settings".to_owned(), file],
        folder: folder.run().join(instance),
        user: None,
        ending: Ending::Term,
        grace_ms: DRAIN_MS,
        revision: revision(settings),
    }
}

/// Why an instance's settings have to change, in words.
pub(crate) fn difference(service: Service, found: &str, wanted: &str) -> String {
    match service {
        Service::Chat => chat_difference(found, wanted),
        Service::Gateway if shares_port(found) != shares_port(wanted) => {
            "whether it shares its port with other instances changes".to_owned()
        }
        Service::Gateway => difference_of::<GatewayGame>(found, wanted, |game| game.game.to_string()),
        Service::Auth => difference_of::<AuthGame>(found, wanted, |game| game.game.to_string()),
    }
}

fn shares_port(settings: &str) -> Option<bool> {
    let parsed: Settings<GatewayGame> = serde_json::from_str(settings).ok()?;
    parsed.games.first().map(|game| game.shares_port)
}

fn chat_difference(found: &str, wanted: &str) -> String {
    let parse = |text| serde_json::from_str::<Settings<ChatGame>>(text).ok();
    let (Some(before), Some(after)) = (parse(found), parse(wanted)) else {
        return UNREADABLE.to_owned();
    };
    for new in &after.games {
        let Some(old) = before.games.iter().find(|old| old.game == new.game) else {
            continue;
        };
        let names = old.route_keys.keys().chain(new.route_keys.keys());
        let changed = names.filter(|name| old.route_keys.get(*name) != new.route_keys.get(*name));
        if let Some(name) = changed.min() {
            return format!("the key `{name}` of a route of `{}` is another one", new.game);
        }
        let names = old.tool_secrets.keys().chain(new.tool_secrets.keys());
        let changed = names.filter(|name| old.tool_secrets.get(*name) != new.tool_secrets.get(*name));
        if let Some(name) = changed.min() {
            return format!("the secret `{name}` of a tool server of `{}` is another one", new.game);
        }
        let address = |game: &ChatGame| game.inference.as_ref().map(|access| access.base_url.clone());
        match (address(old), address(new)) {
            (None, Some(_)) => return "the model on this machine is there now".to_owned(),
            (Some(_), None) => return "the model on this machine is gone".to_owned(),
            (Some(was), Some(is)) if was != is => return format!("the model on this machine answers at {is} now"),
            _ => {}
        }
    }
    difference_of::<ChatGame>(found, wanted, |game| game.game.to_string())
}

const UNREADABLE: &str = "its settings cannot be read: they were changed by hand or by another version of Gaia";

fn difference_of<G: DeserializeOwned>(found: &str, wanted: &str, game: impl Fn(&G) -> String) -> String {
    let parse = |text| serde_json::from_str::<Settings<G>>(text).ok();
    let (Some(before), Some(after)) = (parse(found), parse(wanted)) else {
        return UNREADABLE.to_owned();
    };
    let names = |settings: &Settings<G>| settings.games.iter().map(&game).collect::<Vec<_>>();
    if names(&before) == names(&after) {
        return "its settings are not what they should be: an address, a credential or a limit differs".to_owned();
    }
    format!(
        "it served {} and is to serve {}",
        names(&before).join(", "),
        names(&after).join(", ")
    )
}

struct Frame<'a> {
    folder: &'a ClusterFolder,
    blueprint: &'a Blueprint,
    record: &'a Record,
    secrets: &'a Secrets,
    instance: &'a str,
}

impl Frame<'_> {
    fn fill<G: Serialize>(&self, game: impl Fn(&Self, &gaia_names::GameId) -> Option<G>) -> Option<String> {
        let games: Option<Vec<G>> = self.blueprint.games.keys().map(|id| game(self, id)).collect();
        let settings = Settings {
            instance: *self.record.instances.get(self.instance)?,
            ops_listen: loopback(*self.record.ports.ops.get(self.instance)?),
            games: games?,
        };
        serde_json::to_string_pretty(&settings).ok()
    }

    fn access(&self, game: &gaia_names::GameId) -> Option<GameAccess> {
        let addresses = Place::paths(self.folder.path()).addresses(self.record.ports.nats?);
        addresses.of_game(self.secrets, game)
    }

    fn gateway(&self, game: &gaia_names::GameId) -> Option<GatewayGame> {
        let mut access = self.access(game)?;
        let rates = self.blueprint.games.get(game)?.bundle.rates;
        Some(GatewayGame {
            game: game.clone(),
            listen: loopback(*self.record.ports.gateway.get(game)?),
            shares_port: self
                .blueprint
                .replicas
                .get(&Service::Gateway)
                .is_some_and(|count| *count > 1),
            redis: access.redis,
            nats: access.nats.remove(&Service::Gateway)?,
            admin_token: self.secrets.games.get(game)?.admin_token.clone(),
            cors_origins: vec!["*".to_owned()],
            requests_per_minute: rates.requests_per_minute,
            sign_ins_per_minute: rates.sign_ins_per_minute,
        })
    }

    fn auth(&self, game: &gaia_names::GameId) -> Option<AuthGame> {
        let mut access = self.access(game)?;
        Some(AuthGame {
            game: game.clone(),
            postgres: access.postgres.remove(&Service::Auth)?,
            redis: access.redis,
            nats: access.nats.remove(&Service::Auth)?,
            signing_key: self.secrets.games.get(game)?.signing_key.clone(),
        })
    }

    fn chat(&self, game: &gaia_names::GameId) -> Option<ChatGame> {
        let mut access = self.access(game)?;
        let credentials = &self.blueprint.credentials;
        Some(ChatGame {
            game: game.clone(),
            postgres: access.postgres.remove(&Service::Chat)?,
            redis: access.redis,
            nats: access.nats.remove(&Service::Chat)?,
            bundle: self.folder.bundle(game),
            route_keys: credentials.route_keys.get(game).cloned().unwrap_or_default(),
            tool_secrets: credentials.tool_secrets.get(game).cloned().unwrap_or_default(),
            tools_folder: None,
            inference: credentials.inference.clone(),
        })
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
