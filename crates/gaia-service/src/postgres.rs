//! Connections to Postgres: a small pool per game, idle to zero.

use std::time::{Duration, Instant};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Metrics, Object, Pool, PoolError, QueueMode, RecyclingMethod, Runtime,
};
use gaia_protocol::{ErrorCode, Fault, settings::PostgresAccess};
use tokio_postgres::{NoTls, error::SqlState};

use crate::Tasks;

/// How long a connection may be unused before it is closed, so that fifty quiet games fit one server.
const IDLE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(2);
/// A service finds rows by their keys. A plan that is made while a table is small and kept while it grows must not be a
/// scan, and is to be kept: planning a statement again takes longer than carrying it out, and so does compiling it.
const BY_KEY: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_material=off \
                      -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off -c plan_cache_mode=force_generic_plan";

/// One game's connections.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
}

/// Why a question to Postgres has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostgresFault {
    /// No connection could be had, or it broke.
    #[error("postgres cannot be reached")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Every connection was in use for too long.
    #[error("all connections to postgres are in use")]
    Busy,
    /// Postgres answered with an error: a bug of ours, or a constraint that the caller must handle.
    #[error("postgres refused the statement")]
    Refused(#[source] tokio_postgres::Error),
}

impl PostgresFault {
    /// The constraint that a statement violated, where that is what happened.
    #[must_use]
    pub fn violated(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => error.as_db_error()?.constraint(),
            Self::Lost(_) | Self::Busy => None,
        }
    }
}

impl From<tokio_postgres::Error> for PostgresFault {
    fn from(error: tokio_postgres::Error) -> Self {
        // A server that stops or starts refuses with class 57 (operator intervention), 53 (resources) or 08.
        let is_away = match error.code() {
            None => error.as_db_error().is_none(),
            Some(code) => {
                matches!(code.code().get(..2), Some("08" | "53"))
                    || code.code().starts_with("57P")
                    || *code == SqlState::IO_ERROR
            }
        };
        if is_away {
            Self::Lost(Box::new(error))
        } else {
            Self::Refused(error)
        }
    }
}

impl From<PoolError> for PostgresFault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Self::Busy,
            PoolError::Backend(error) => error.into(),
            other => Self::Lost(Box::new(other)),
        }
    }
}

impl From<PostgresFault> for Fault {
    fn from(fault: PostgresFault) -> Self {
        let chain = crate::telemetry::chain(&fault);
        match fault {
            PostgresFault::Lost(_) => {
                tracing::warn!(error = %chain, "postgres is away: {chain}");
                Self::new(
                    ErrorCode::Unavailable,
                    "The game's database is away; try again shortly.",
                )
                .retry_after_ms(1_000)
            }
            PostgresFault::Busy => {
                Self::new(ErrorCode::Overloaded, "The game is busy; try again shortly.").retry_after_ms(500)
            }
            PostgresFault::Refused(_) => {
                tracing::error!(error = %chain, "postgres refused a statement: {chain}");
                ErrorCode::Internal.into()
            }
        }
    }
}

impl Postgres {
    /// Prepares the pool; connects only when it is first used.
    #[must_use]
    pub fn new(access: &PostgresAccess, tasks: &Tasks) -> Self {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&access.host)
            .port(access.port)
            .dbname(&access.database)
            .user(&access.user)
            .password(access.password.expose())
            .application_name(&access.user)
            .options(BY_KEY)
            .connect_timeout(WAIT);
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager)
            .max_size(access.connections.max(1))
            // The connection that was used last is the one that Postgres and the processor have at hand.
            .queue_mode(QueueMode::Lifo)
            .post_recycle(Hook::async_fn(|client, metrics| {
                let is_due = is_twice_as_old(metrics, Instant::now());
                Box::pin(async move {
                    if is_due {
                        client
                            .batch_execute("DISCARD PLANS")
                            .await
                            .map_err(HookError::Backend)?;
                    }
                    Ok(())
                })
            }))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .build()
            .expect("a pool with timeouts has a runtime");
        tasks.spawn(close_idle(pool.clone(), tasks.clone()));
        Self { pool }
    }

    /// A connection of one's own until it is dropped. Statements: `prepare_cached`.
    ///
    /// # Errors
    ///
    /// Where Postgres is away or every connection stays in use.
    pub async fn client(&self) -> Result<Object, PostgresFault> {
        Ok(self.pool.get().await?)
    }

    /// Whether Postgres answers.
    ///
    /// # Errors
    ///
    /// What is in the way.
    pub async fn check(&self) -> Result<(), PostgresFault> {
        self.client().await?.simple_query("SELECT 1").await?;
        Ok(())
    }
}

/// Whether a connection has become twice as old since it was last used.
///
/// Postgres keeps a plan as long as a connection, and makes it for as many rows as there seem to be. In a young game
/// there are none yet, and all plans look the same; so they are made anew while it grows. Once Postgres has counted the
/// rows, some minutes later, it does so by itself.
fn is_twice_as_old(metrics: &Metrics, now: Instant) -> bool {
    let doublings = |at: Instant| (at - metrics.created).as_secs().checked_ilog2();
    doublings(now) > doublings(metrics.recycled.unwrap_or(metrics.created))
}

async fn close_idle(pool: Pool, tasks: Tasks) {
    loop {
        tokio::select! {
            () = tasks.draining() => return,
            () = tokio::time::sleep(IDLE / 4) => {
                pool.retain(|_, metrics| metrics.last_used() < IDLE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_made_anew_whenever_a_connection_has_become_twice_as_old() {
        let created = Instant::now();
        let at = |seconds: u64| created + Duration::from_secs(seconds);
        let is_due = |used: Option<u64>, now: u64| {
            let metrics = Metrics {
                created,
                recycled: used.map(at),
                recycle_count: 0,
            };
            is_twice_as_old(&metrics, at(now))
        };
        assert!(!is_due(None, 0));
        assert!(is_due(None, 1));
        assert!(!is_due(Some(1), 1));
        assert!(is_due(Some(1), 2));
        assert!(!is_due(Some(2), 3));
        assert!(is_due(Some(3), 4));
        assert!(!is_due(Some(600), 1_000));
        assert!(is_due(Some(600), 1_100));
    }
}
