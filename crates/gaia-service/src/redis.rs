//! The connection to Redis: one, shared, and quick to say that Redis is away. Redis is one server, or several in cluster
//! mode; who asks sees no difference, as long as all keys of one question have one hash tag.

mod connection;
mod script;

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
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};

use self::connection::Way;
pub use self::{connection::Connection, script::Script};

/// How long an answer may take. Redis is here to be quick; when it is not, the truth in Postgres is quicker.
const ANSWER: Duration = Duration::from_millis(250);
/// How long Redis is left alone after it failed, so that a lost Redis does not slow every request down.
const LEFT_ALONE: Duration = Duration::from_millis(300);
/// How long nothing has been answered when all nodes of a cluster are taken for lost. While it is one of several, others
/// answer in between, and only the questions that are its own fail.
const ALL_LOST: Duration = Duration::from_secs(1);
/// Instead of a time: the last question was answered.
const WELL: u64 = u64::MAX;

/// One game's Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    way: Way,
    prefix: Arc<str>,
    born: Instant,
    away_until_ms: Arc<AtomicU64>,
    failing_since_ms: Arc<AtomicU64>,
}

/// Redis did not answer. Every caller has another way: Redis may be lost at any time.
#[derive(Debug, thiserror::Error)]
#[error("redis cannot be asked")]
pub struct RedisLost(#[source] Option<RedisError>);

/// The settings do not name a Redis.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no address of redis: give `unix:/path`, `host:port`, or several `host:port` with commas between")]
pub struct RedisAddressFault(String);

impl Redis {
    /// Prepares the connection; connects when it is first used, and again whenever it broke.
    ///
    /// # Errors
    ///
    /// Where the address cannot be read.
    pub fn new(access: &RedisAccess, game: &GameId) -> Result<Self, RedisAddressFault> {
        Ok(Self {
            way: Way::new(access).ok_or_else(|| RedisAddressFault(access.address.clone()))?,
            prefix: format!("game:{game}:").into(),
            born: Instant::now(),
            away_until_ms: Arc::default(),
            failing_since_ms: Arc::new(AtomicU64::new(WELL)),
        })
    }

    /// Whether it runs in cluster mode: then keys of different hash tags may be on different nodes.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.way.is_cluster()
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
    pub async fn ask<T, F>(&self, ask: impl FnOnce(Connection) -> F) -> Result<T, RedisLost>
    where
        T: FromRedisValue,
        F: Future<Output = Result<T, RedisError>>,
    {
        if self.now_ms() < self.away_until_ms.load(Ordering::Relaxed) {
            return Err(RedisLost(None));
        }
        match tokio::time::timeout(ANSWER, ask(self.way.connection())).await {
            Ok(Ok(answer)) => {
                if self.failing_since_ms.load(Ordering::Relaxed) != WELL {
                    self.failing_since_ms.store(WELL, Ordering::Relaxed);
                }
                Ok(answer)
            }
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
        let form = script.form(self.is_cluster());
        self.ask(|mut connection| async move {
            let by_hash = form.command(true, keys, arguments);
            match by_hash.query_async(&mut connection).await {
                // Redis forgets scripts when it restarts, and each node has its own; the text brings it back.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    let by_text = form.command(false, keys, arguments);
                    by_text.query_async(&mut connection).await
                }
                answer => answer,
            }
        })
        .await
    }

    fn lost(&self, error: Option<RedisError>) -> RedisLost {
        metrics::counter!("gaia_redis_lost_total").increment(1);
        let now = self.now_ms();
        let since = self.failing_since_ms.fetch_min(now, Ordering::Relaxed).min(now);
        if !self.is_cluster() || now - since >= in_ms(ALL_LOST) {
            self.away_until_ms.store(now + in_ms(LEFT_ALONE), Ordering::Relaxed);
            self.way.begin_again();
        }
        RedisLost(error)
    }

    fn now_ms(&self) -> u64 {
        in_ms(self.born.elapsed())
    }
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
