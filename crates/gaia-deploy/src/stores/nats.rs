//! Whom NATS knows: one account per game, one user per service, and each user only on its own subjects.

use std::time::{Duration, Instant};

use gaia_names::{GameId, Secret, Service, expose};
use gaia_protocol::{
    Request,
    chat::ForgetPlayer,
    subjects::{budget_events, bundle_announcements, events, inbox_prefix, turn_commands},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{DeployError, blueprint::digest_bytes, secrets::Secrets};

/// Where it listens for clients.
pub(crate) const PORT: u16 = 4222;
/// Where the servers of a cluster speak to each other.
pub(crate) const ROUTES_PORT: u16 = 6222;
/// The user as whom they do.
const NODE_USER: &str = "gaia_node";
/// The largest message, in bytes: the largest bundle that the gateway takes (8 MiB), as it is written on its way to chat.
/// NATS itself goes up to 64 MiB and advises to stay near 8.
const LARGEST_MESSAGE: u32 = 9 << 20;
/// How many bytes may wait for a slow reader before it is cut off, in NATS' own measure; room for several of the largest.
const MOST_WAITING: u32 = 64 << 20;

/// The limits of a server, as lines of its configuration.
pub(crate) fn limits() -> String {
    format!(
        "max_payload: {LARGEST_MESSAGE}\nmax_connections: 1024\nmax_subscriptions: 100000\n\
         max_pending: {MOST_WAITING}\nwrite_deadline: \"5s\"\nmax_control_line: 4096\nping_interval: \"20s\"\n"
    )
}

/// What makes a server one of several, as lines of its configuration. It may find itself among the others.
pub(crate) fn routes(secrets: &Secrets, others: &[String]) -> String {
    let password = secrets.nodes.expose();
    let routes = others
        .iter()
        .map(|host| format!("\"nats-route://{NODE_USER}:{password}@{host}:{ROUTES_PORT}\""));
    format!(
        // Clients know all servers by names that stay; addresses do not.
        "cluster: {{\n  name: \"gaia\"\n  listen: \"0.0.0.0:{ROUTES_PORT}\"\n  no_advertise: true\n  \
         authorization: {{ user: \"{NODE_USER}\", password: \"{password}\", timeout: 2 }}\n  routes: [{}]\n}}\n",
        routes.collect::<Vec<_>>().join(", ")
    )
}

/// The digest of who may say what, and what lets them in.
pub(crate) fn accounts_digest(secrets: &Secrets) -> String {
    digest_bytes(game_accounts(secrets).as_bytes())
}

/// Asks whether it answers, each server of a cluster: it speaks first.
pub(crate) async fn greet(addresses: &str) -> Result<(), DeployError> {
    for address in addresses.split(',') {
        greet_one(address).await?;
    }
    Ok(())
}

async fn greet_one(address: &str) -> Result<(), DeployError> {
    let asked = timeout(Duration::from_secs(2), async {
        let mut stream = TcpStream::connect(address).await?;
        let mut greeting = [0u8; 5];
        stream.read_exact(&mut greeting).await?;
        Ok::<_, std::io::Error>(greeting)
    });
    match asked.await {
        Ok(Ok(greeting)) if greeting == *b"INFO " => Ok(()),
        Ok(Ok(_)) => Err(silent("something else listens on its port")),
        Ok(Err(fault)) => Err(silent(&fault.to_string())),
        Err(_) => Err(silent("it takes connections and says nothing")),
    }
}

/// Waits until every server knows these accounts and no others: a reload is done when the server says so to who asks, not
/// when it is signalled.
pub(crate) async fn wait_for_accounts(addresses: &str, reader: &Reader, patience: Duration) -> Result<(), DeployError> {
    let until = Instant::now() + patience;
    for address in addresses.split(',') {
        while let Err(fault) = log_in(address, &reader.user, &reader.password).await {
            if Instant::now() > until {
                return Err(silent(&fault.to_string()));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// The user who stands for having read certain accounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reader {
    user: String,
    #[serde(serialize_with = "expose")]
    password: Secret,
}

pub(crate) fn reader(secrets: &Secrets) -> Reader {
    Reader {
        user: format!("has-read/{}", accounts_digest(secrets)),
        password: secrets.nats_system.clone(),
    }
}

/// Logs in and asks for a sign of life.
async fn log_in(address: &str, user: &str, password: &Secret) -> std::io::Result<()> {
    let asked = timeout(Duration::from_secs(2), async {
        let mut stream = BufStream::new(TcpStream::connect(address).await?);
        let hello = serde_json::json!({ "user": user, "pass": password.expose(), "verbose": false, "pedantic": false });
        stream
            .write_all(format!("CONNECT {hello}\r\nPING\r\n").as_bytes())
            .await?;
        stream.flush().await?;
        let mut lines = stream.take(64 << 10).lines();
        while let Some(line) = lines.next_line().await? {
            match line.as_str() {
                "PONG" => return Ok(()),
                refusal if refusal.starts_with("-ERR") => return Err(std::io::Error::other(refusal.to_owned())),
                _ => {}
            }
        }
        Err(std::io::Error::other("it closed the connection"))
    });
    asked
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("it says nothing")))
}

fn silent(why: &str) -> DeployError {
    DeployError::System {
        doing: "reach NATS",
        source: std::io::Error::other(why.to_owned()),
    }
}

/// What one user may say and hear.
struct Rights {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl Rights {
    fn of(game: &GameId, service: Service) -> Self {
        let inbox = |service| format!("{}.>", inbox_prefix(service));
        let all_of = |service: Service| format!("gaia.{game}.{service}.>");
        let publish = match service {
            Service::Gateway => vec![all_of(Service::Auth), all_of(Service::Chat)],
            Service::Auth => vec![
                inbox(Service::Gateway),
                inbox(Service::Chat),
                ForgetPlayer::subject(game),
            ],
            Service::Chat => vec![
                inbox(Service::Gateway),
                inbox(Service::Auth),
                bundle_announcements(game),
                turn_commands(game, None),
                budget_events(game),
            ],
        };
        let own = match service {
            Service::Gateway => Some(events(game)),
            Service::Auth | Service::Chat => Some(all_of(service)),
        };
        Self {
            publish,
            subscribe: own.into_iter().chain([inbox(service)]).collect(),
        }
    }
}

pub(crate) fn accounts(secrets: &Secrets) -> String {
    let games = game_accounts(secrets);
    let (reader, password) = (reader(secrets).user, secrets.nats_system.expose());
    format!(
        "system_account: SYS\naccounts: {{\n  SYS: {{\n    users: [\n      \
         {{ user: \"gaia_system\", password: \"{password}\" }}\n      \
         {{ user: \"{reader}\", password: \"{password}\", permissions: {{ publish: {{ deny: \">\" }}, \
         subscribe: {{ deny: \">\" }} }} }}\n    ]\n  }}\n{games}}}\n",
    )
}

fn game_accounts(secrets: &Secrets) -> String {
    let mut text = String::new();
    for game in secrets.games.keys() {
        text.push_str(&format!("  \"{game}\": {{\n    users: [\n"));
        for known in secrets.known() {
            for (service, password) in known.games.get(game).into_iter().flat_map(|own| &own.nats) {
                let rights = Rights::of(game, *service);
                text.push_str(&format!(
                    "      {{ user: \"{}\", password: \"{}\", permissions: {{ publish: {}, subscribe: {} }} }}\n",
                    known.service_user(game, *service),
                    password.expose(),
                    list(&rights.publish),
                    list(&rights.subscribe),
                ));
            }
        }
        text.push_str("    ]\n  }\n");
    }
    text
}

fn list(subjects: &[String]) -> String {
    let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
