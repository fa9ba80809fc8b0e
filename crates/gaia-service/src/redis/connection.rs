//! The way to one Redis, or to several in cluster mode.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gaia_protocol::settings::RedisAccess;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
};

use super::ANSWER;

/// How long a node of a cluster may take to let us in: all others wait meanwhile, so it is less than they may.
const CONNECT: Duration = Duration::from_millis(200);
/// How often a question to a cluster is asked again, of the node that another one named or that took over.
const AGAIN: u32 = 3;
/// The shortest and the longest pause before that, in milliseconds.
const PAUSE_MS: (u64, u64) = (5, 40);

/// What a question is asked through.
#[derive(Clone)]
pub enum Connection {
    /// Redis is one server.
    One(ConnectionManager),
    /// Redis is several in cluster mode.
    Several(ClusterConnection),
}

/// How a connection is come by.
#[derive(Clone)]
pub(super) enum Way {
    One(ConnectionManager),
    Several(Arc<Several>),
}

pub(super) struct Several {
    client: ClusterClient,
    current: Mutex<Option<ClusterConnection>>,
}

impl Way {
    /// None where the address cannot be read.
    pub(super) fn new(access: &RedisAccess) -> Option<Self> {
        let nodes: Option<Vec<ConnectionInfo>> =
            access.address.split(',').map(|address| node(access, address)).collect();
        let mut nodes = nodes?;
        if nodes.len() == 1 {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(Duration::from_secs(1)))
                // Whoever asks has a clock of its own.
                .set_response_timeout(None)
                .set_number_of_retries(1)
                .set_max_delay(Duration::from_millis(100));
            let client = Client::open(nodes.pop()?).ok()?;
            return Some(Self::One(ConnectionManager::new_lazy_with_config(client, config).ok()?));
        }
        let client = ClusterClient::builder(nodes)
            .retries(AGAIN)
            .min_retry_wait(PAUSE_MS.0)
            .max_retry_wait(PAUSE_MS.1)
            .build()
            .ok()?;
        Some(Self::Several(Arc::new(Several {
            client,
            current: Mutex::new(None),
        })))
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Several(_))
    }

    /// The connection, made when it is first used.
    pub(super) fn connection(&self) -> Connection {
        match self {
            Self::One(manager) => Connection::One(manager.clone()),
            Self::Several(several) => {
                let mut current = several.current.lock().unwrap_or_else(PoisonError::into_inner);
                let connection = current.get_or_insert_with(|| {
                    let config = ClusterConfig::new()
                        .set_connection_timeout(CONNECT)
                        .set_response_timeout(ANSWER);
                    several.client.get_pending_async_connection_with_config(config)
                });
                Connection::Several(connection.clone())
            }
        }
    }

    /// All nodes are lost: the next question looks for them by the names that the settings give.
    pub(super) fn begin_again(&self) {
        if let Self::Several(several) = self {
            *several.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn node(access: &RedisAccess, address: &str) -> Option<ConnectionInfo> {
    let address = match address.strip_prefix("unix:") {
        Some(path) => ConnectionAddr::Unix(path.into()),
        None => {
            let (host, port) = address.rsplit_once(':')?;
            ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?)
        }
    };
    let login = RedisConnectionInfo::default()
        .set_username(&access.user)
        .set_password(access.password.expose())
        .set_skip_set_lib_name();
    Some(address.into_connection_info().ok()?.set_redis_settings(login))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Several(several) => several.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Several(several) => several.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}
