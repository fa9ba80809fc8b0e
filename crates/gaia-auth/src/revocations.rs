//! Ended sessions in Redis, where the gateway looks with every request.
//!
//! Postgres is the truth. Redis holds a `revoked:<session>` key while an access token of an ended session could still be
//! in use, and the marker [`REVOCATIONS_COMPLETE`] as long as no such key is missing. These rules keep the marker true:
//!
//! - Who ends a session commits the row first and then always writes its key, marker or not.
//! - Who rebuilds puts a witness into Redis *before* it reads Postgres, and sets the marker at the end only where the
//!   witness still stands. A session that ends after the reading has its key written by who ends it. If Redis lost its
//!   content at any point after the reading, the witness is lost with it, and the rebuild starts again.
//! - A key that could not be written, or an ending of which it is unknown whether it was committed, makes this process
//!   rebuild until it has succeeded. A process that dies before that rebuilds when it starts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gaia_names::{GameId, InstanceId, SessionId};
use gaia_protocol::keys::{REVOCATIONS_COMPLETE, REVOKED_SECONDS, revoked};
use gaia_service::{Postgres, Redis, Tasks, postgres::PostgresFault, redis::RedisLost, telemetry::chain};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::store;

/// How often the marker is looked after when nobody asks for it.
const LOOK: Duration = Duration::from_secs(2);
/// How soon after a failed rebuild the next one may start.
const PAUSE: Duration = Duration::from_millis(200);
/// How many keys are written at once.
const BATCH: usize = 500;
/// How long a rebuild may take, in seconds.
const REBUILD_SECONDS: u64 = 60;
/// Sets the marker if the witness stands, in one step.
const FINISH: &str = "if redis.call('DEL', KEYS[1]) == 0 then return 0 end redis.call('SET', KEYS[2], 1) return 1";

/// One game's revocations.
pub(crate) struct Revocations {
    game: GameId,
    instance: InstanceId,
    postgres: Postgres,
    redis: Redis,
    /// Whether Redis may lack a key although the marker is there.
    is_doubtful: AtomicBool,
    wake: Notify,
}

/// An ending that is not in Redis yet. Dropped before it was published, it makes the revocations doubtful: so neither an
/// error nor an asker who gave up can leave an ended session behind that nobody writes down.
pub(crate) struct Pending<'a> {
    revocations: &'a Revocations,
    is_settled: bool,
}

/// Why the revocations could not be written again.
#[derive(Debug, thiserror::Error)]
enum RebuildFault {
    #[error("the ended sessions cannot be read")]
    Read(#[from] PostgresFault),
    #[error("the revocations cannot be written")]
    Write(#[from] RedisLost),
    #[error("redis lost its content while the revocations were written")]
    Emptied,
}

impl Revocations {
    pub(crate) fn new(game: &GameId, instance: InstanceId, postgres: &Postgres, redis: &Redis) -> Self {
        Self {
            game: game.clone(),
            instance,
            postgres: postgres.clone(),
            redis: redis.clone(),
            // The process before this one may have died between a row and its key.
            is_doubtful: AtomicBool::new(true),
            wake: Notify::new(),
        }
    }

    /// To be called before a statement that ends sessions.
    pub(crate) fn pending(&self) -> Pending<'_> {
        Pending {
            revocations: self,
            is_settled: false,
        }
    }

    /// Has the marker looked after now. The gateway just told us that it could not rely on Redis.
    pub(crate) fn look_after(&self) {
        self.wake.notify_one();
    }

    async fn write(&self, sessions: &[SessionId]) -> Result<(), RedisLost> {
        for some in sessions.chunks(BATCH) {
            let mut keys = redis::pipe();
            for session in some {
                keys.set_ex(self.redis.key(revoked(*session)), 1, REVOKED_SECONDS)
                    .ignore();
            }
            self.redis
                .ask(|mut connection| async move { keys.query_async::<()>(&mut connection).await })
                .await?;
        }
        Ok(())
    }

    async fn is_complete(&self) -> Result<bool, RedisLost> {
        let marker = self.redis.key(REVOCATIONS_COMPLETE);
        self.redis
            .ask(|mut connection| async move { redis::cmd("EXISTS").arg(marker).query_async(&mut connection).await })
            .await
    }

    async fn rebuild(&self) -> Result<usize, RebuildFault> {
        self.begin().await?;
        let (mut written, mut last) = (0, SessionId(Uuid::nil()));
        loop {
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let some = store::sessions::ended_lately(&self.postgres.client().await?, last, limit).await?;
            self.write(&some).await?;
            written += some.len();
            match some.last() {
                Some(session) if some.len() == BATCH => last = *session,
                _ => break,
            }
        }
        self.finish().await?;
        Ok(written)
    }

    fn witness(&self) -> String {
        self.redis.key(format_args!("rebuilding:{}", self.instance))
    }

    async fn begin(&self) -> Result<(), RedisLost> {
        let mut set = redis::cmd("SET");
        set.arg(self.witness()).arg(1).arg("EX").arg(REBUILD_SECONDS);
        self.redis
            .ask(|mut connection| async move { set.query_async(&mut connection).await })
            .await
    }

    async fn finish(&self) -> Result<(), RebuildFault> {
        let mut finish = redis::cmd("EVAL");
        finish
            .arg(FINISH)
            .arg(2)
            .arg(self.witness())
            .arg(self.redis.key(REVOCATIONS_COMPLETE));
        let is_whole: bool = self
            .redis
            .ask(|mut connection| async move { finish.query_async(&mut connection).await })
            .await?;
        if is_whole { Ok(()) } else { Err(RebuildFault::Emptied) }
    }

    async fn look(&self) -> Result<(), RebuildFault> {
        let was_doubtful = self.is_doubtful.swap(false, Ordering::AcqRel);
        let rebuilt = async {
            if !was_doubtful && self.is_complete().await? {
                return Ok(None);
            }
            self.rebuild().await.map(Some)
        };
        // A Redis that could not be asked may have restarted from an older state, so it stays doubtful.
        let rebuilt = rebuilt
            .await
            .inspect_err(|_| self.is_doubtful.store(true, Ordering::Release))?;
        if let Some(written) = rebuilt {
            let game = &self.game;
            metrics::counter!("gaia_auth_revocations_rebuilt_total", "game" => game.to_string()).increment(1);
            tracing::info!(game.name = %game, written, "the revocations of `{game}` are complete: {written} written");
        }
        Ok(())
    }
}

impl Pending<'_> {
    /// Writes the keys of sessions whose end is committed.
    ///
    /// # Errors
    ///
    /// Where Redis cannot be written; then it is tried again in the background.
    pub(crate) async fn publish(mut self, sessions: &[SessionId]) -> Result<(), RedisLost> {
        self.revocations.write(sessions).await?;
        self.is_settled = true;
        Ok(())
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.revocations.is_doubtful.store(true, Ordering::Release);
            self.revocations.wake.notify_one();
        }
    }
}

/// Looks after one game's revocations until the process drains.
pub(crate) async fn keep(revocations: Arc<Revocations>, tasks: Tasks) {
    let up = metrics::gauge!("gaia_auth_redis_up", "game" => revocations.game.to_string());
    let mut was_well = true;
    while !tasks.is_draining() {
        let looked = revocations.look().await;
        let is_up = !matches!(looked, Err(RebuildFault::Write(_)));
        up.set(if is_up { 1.0 } else { 0.0 });
        if let Err(fault) = &looked
            && was_well
        {
            let (game, error) = (&revocations.game, chain(fault));
            tracing::warn!(game.name = %game, error, "the revocations of `{game}` are not complete: {error}");
        }
        was_well = looked.is_ok();
        let woken = async {
            // However often we are woken, a store that is away is not asked in a tight loop.
            tokio::time::sleep(if was_well { Duration::ZERO } else { PAUSE }).await;
            revocations.wake.notified().await;
        };
        tokio::select! {
            () = tasks.draining() => return,
            () = tokio::time::sleep(LOOK) => {}
            () = woken => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use gaia_names::Service;
    use gaia_testkit::TestGame;

    use super::*;

    async fn revocations() -> (TestGame, Revocations) {
        let game = TestGame::start_alone().await;
        let postgres = game.postgres(Service::Auth, &Tasks::default());
        let revocations = Revocations::new(&game.id, InstanceId::fresh(), &postgres, &game.redis());
        (game, revocations)
    }

    #[tokio::test]
    async fn redis_that_is_emptied_during_a_rebuild_is_not_called_complete() {
        let (game, revocations) = revocations().await;
        revocations.begin().await.unwrap();
        game.kill(gaia_names::Store::Redis).await;
        game.start_again(gaia_names::Store::Redis).await;
        let finished = gaia_testkit::eventually("redis answers again", async || match revocations.finish().await {
            Err(RebuildFault::Write(_)) => None,
            finished => Some(finished),
        });
        assert!(matches!(finished.await, Err(RebuildFault::Emptied)));
        assert!(!revocations.is_complete().await.unwrap());
        revocations.rebuild().await.unwrap();
        assert!(revocations.is_complete().await.unwrap());
    }

    #[tokio::test]
    async fn an_ending_that_was_not_published_makes_the_revocations_doubtful() {
        let (_game, revocations) = revocations().await;
        revocations.look().await.unwrap();
        assert!(!revocations.is_doubtful.load(Ordering::Acquire));
        revocations.pending().publish(&[SessionId::fresh()]).await.unwrap();
        assert!(!revocations.is_doubtful.load(Ordering::Acquire));
        drop(revocations.pending());
        assert!(revocations.is_doubtful.load(Ordering::Acquire));
    }
}
