//! Ended sessions in Redis, where the gateway looks with every request.
//!
//! Postgres is the truth. Redis holds a `revoked:<session>` key while an access token of an ended session could still be
//! in use, and for each shard the marker [`revocations_complete`] as long as no such key is missing. These rules keep the
//! markers true:
//!
//! - Who ends a session commits the row first and then always writes its key, marker or not.
//! - Who rebuilds puts a witness into each shard *before* it reads Postgres, and sets the marker at the end only where the
//!   witness still stands. A session that ends after the reading has its key written by who ends it. If Redis lost its
//!   content at any point after the reading, the witness is lost with it, and the rebuild starts again. A replica that
//!   takes over may have lost something too: for it, witness and marker of another node do not stand.
//! - A key that could not be written, or an ending of which it is unknown whether it was committed, makes this process
//!   rebuild until it has succeeded. A process that dies before that rebuilds when it starts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::try_join_all;
use gaia_names::{GameId, InstanceId, SessionId};
use gaia_protocol::keys::{REVOKED_SECONDS, SHARDS, revocations_complete, revoked, shard};
use gaia_service::{
    Postgres, Redis, Tasks,
    postgres::PostgresFault,
    redis::{RedisLost, Script},
    telemetry::chain,
};
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

/// KEYS: witness, marker. ARGV: how long a witness stays, in seconds.
static BEGIN: LazyLock<Script> =
    LazyLock::new(|| Script::new("redis.call('SET', KEYS[1], here('1'), 'EX', ARGV[1]) return 1"));

/// Sets the marker if the witness stands, in one step.
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if not marked(KEYS[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], here('1'))
return 1
",
    )
});

static IS_COMPLETE: LazyLock<Script> = LazyLock::new(|| Script::new("return marked(KEYS[2]) and 1 or 0"));

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
            let mut shards: BTreeMap<u8, redis::Pipeline> = BTreeMap::new();
            for session in some {
                let keys = shards.entry(shard(*session)).or_default();
                keys.set_ex(self.redis.key(revoked(*session)), 1, REVOKED_SECONDS)
                    .ignore();
            }
            let written = shards.into_values().map(|keys| {
                self.redis
                    .ask(|mut connection| async move { keys.query_async::<()>(&mut connection).await })
            });
            try_join_all(written).await?;
        }
        Ok(())
    }

    async fn is_complete(&self) -> Result<bool, RedisLost> {
        self.in_all_shards(&IS_COMPLETE).await
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

    async fn begin(&self) -> Result<(), RedisLost> {
        self.in_all_shards(&BEGIN).await.map(drop)
    }

    async fn finish(&self) -> Result<(), RebuildFault> {
        let is_whole = self.in_all_shards(&FINISH).await?;
        if is_whole { Ok(()) } else { Err(RebuildFault::Emptied) }
    }

    /// Whether a script says yes of every shard.
    async fn in_all_shards(&self, script: &Script) -> Result<bool, RedisLost> {
        let asked = (0..SHARDS).map(async |shard| {
            let witness = self.redis.key(format_args!("{{{shard}}}:rebuilding:{}", self.instance));
            let keys = [witness, self.redis.key(revocations_complete(shard))];
            self.redis.run(script, &keys, &[REBUILD_SECONDS.to_string()]).await
        });
        let said: Vec<bool> = try_join_all(asked).await?;
        Ok(said.into_iter().all(|yes| yes))
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
    let mut was_well = true;
    while !tasks.is_draining() {
        let looked = revocations.look().await;
        let is_up = !matches!(looked, Err(RebuildFault::Write(_)));
        // Named each time: this begins before there is anybody to tell it to.
        metrics::gauge!("gaia_auth_redis_up", "game" => revocations.game.to_string()).set(if is_up {
            1.0
        } else {
            0.0
        });
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
