//! The connection to Redis: one, shared, and quick to say that Redis is away.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gaia_names::GameId;
use gaia_protocol::settings::RedisAccess;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

/// How long an answer may take. Redis is here to be quick; when it is not, the truth in Postgres is quicker.
const ANSWER: Duration = Duration::from_millis(250);
/// How long Redis is left alone after it failed, so that a lost Redis does not slow every request down.
const LEFT_ALONE: Duration = Duration::from_millis(300);

/// One game's Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    prefix: Arc<str>,
    born: Instant,
    away_until_ms: Arc<AtomicU64>,
}

/// What Redis does in one step. It is sent by its name and, where Redis does not know it, as a whole.
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    /// Prepares a script in Lua.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    fn command(&self, is_known: bool, keys: &[String], arguments: &[String]) -> Cmd {
        let (name, script) = if is_known {
            ("EVALSHA", self.hash.as_str())
        } else {
            ("EVAL", self.text)
        };
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}

/// Redis did not answer. Every caller has another way: Redis may be lost at any time.
#[derive(Debug, thiserror::Error)]
#[error("redis cannot be asked")]
pub struct RedisLost(#[source] Option<RedisError>);

/// The settings do not name a Redis.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no address of redis: give `unix:/path` or `host:port`")]
pub struct RedisAddressFault(String);

impl Redis {
    /// Prepares the connection; connects when it is first used, and again whenever it broke.
    ///
    /// # Errors
    ///
    /// Where the address cannot be read.
    pub fn new(access: &RedisAccess, game: &GameId) -> Result<Self, RedisAddressFault> {
        let fault = || RedisAddressFault(access.address.clone());
        let address = match access.address.strip_prefix("unix:") {
            Some(path) => ConnectionAddr::Unix(path.into()),
            None => {
                let (host, port) = access.address.rsplit_once(':').ok_or_else(fault)?;
                ConnectionAddr::Tcp(host.to_owned(), port.parse().map_err(|_| fault())?)
            }
        };
        let login = RedisConnectionInfo::default()
            .set_username(&access.user)
            .set_password(access.password.expose())
            .set_skip_set_lib_name();
        let info: ConnectionInfo = address
            .into_connection_info()
            .map_err(|_| fault())?
            .set_redis_settings(login);
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(ANSWER))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(100));
        let client = Client::open(info).map_err(|_| fault())?;
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|_| fault())?;
        let away_until_ms = Arc::new(AtomicU64::new(0));
        Ok(Self {
            connection,
            prefix: format!("game:{game}:").into(),
            born: Instant::now(),
            away_until_ms,
        })
    }

    /// A key of this game: `game:<id>:<rest>`. The ACL user may touch no other.
    #[must_use]
    pub fn key(&self, rest: impl std::fmt::Display) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// Asks something; fails at once while Redis is known to be away.
    ///
    /// # Errors
    ///
    /// Where Redis is away, slow or refuses.
    pub async fn ask<T, F>(&self, ask: impl FnOnce(ConnectionManager) -> F) -> Result<T, RedisLost>
    where
        T: FromRedisValue,
        F: Future<Output = Result<T, RedisError>>,
    {
        if self.now_ms() < self.away_until_ms.load(Ordering::Relaxed) {
            return Err(RedisLost(None));
        }
        match tokio::time::timeout(ANSWER, ask(self.connection.clone())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.lost(Some(error))),
            Err(_) => Err(self.lost(None)),
        }
    }

    /// Lets Redis carry out a script.
    ///
    /// # Errors
    ///
    /// Where Redis is away, slow or refuses.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<T, RedisLost> {
        self.ask(|mut connection| async move {
            let by_hash = script.command(true, keys, arguments);
            match by_hash.query_async(&mut connection).await {
                // Redis forgets scripts when it restarts; the text brings it back.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    let by_text = script.command(false, keys, arguments);
                    by_text.query_async(&mut connection).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub async fn check(&self) -> Result<(), RedisLost> {
        self.ask(|mut connection| async move { redis::cmd("PING").query_async(&mut connection).await })
            .await
    }

    fn lost(&self, error: Option<RedisError>) -> RedisLost {
        let left_alone = u64::try_from(LEFT_ALONE.as_millis()).unwrap_or(u64::MAX);
        self.away_until_ms.store(self.now_ms() + left_alone, Ordering::Relaxed);
        metrics::counter!("gaia_redis_lost_total").increment(1);
        RedisLost(error)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
