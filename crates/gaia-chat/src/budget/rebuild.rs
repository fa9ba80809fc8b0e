//! Making the counters again from the ledger and from what is set aside.
//!
//! Who rebuilds holds a lock in Redis and takes the marker away first, so that nothing is set aside or settled meanwhile.
//! The marker is set at the end only where the lock still stands: a Redis that was emptied on the way has lost it, and a
//! replica that took over on the way does not count it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::LazyLock,
    time::{Duration, Instant},
};

use chrono::{Days, NaiveDate};
use gaia_protocol::costs::Period;
use gaia_service::{
    postgres::PostgresFault,
    redis::{RedisLost, Script},
};
use uuid::Uuid;

use super::{
    Budget, began,
    counters::{Change, Counters, DAY_SECONDS, MONTH_SECONDS, player_word, read},
};
use crate::store::ledger::{self, Reservation, Standing};

/// How long a rebuild may take.
const LONGEST: Duration = Duration::from_secs(60);
/// How long what was set aside just before Redis was lost may take to reach Postgres.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// How many fields are written at once.
const AT_ONCE: usize = 500;

/// KEYS: marker, lock, held. ARGV: whose lock, for how many milliseconds. Answers whether the lock was had, whether the
/// marker was there, and what is held.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if marked(KEYS[2]) then return {0, 0, {}} end
redis.call('SET', KEYS[2], here(ARGV[1]), 'PX', ARGV[2])
local was_marked = marked(KEYS[1]) and 1 or 0
redis.call('DEL', KEYS[1])
return {1, was_marked, redis.call('HGETALL', KEYS[3])}
",
    )
});

/// KEYS: marker, lock. ARGV: whose lock.
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('GET', KEYS[2]) ~= here(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], here(ARGV[1]))
redis.call('DEL', KEYS[2])
return 1
",
    )
});

/// Why the counters could not be made again.
#[derive(Debug, thiserror::Error)]
pub(super) enum RebuildFault {
    #[error("the ledger cannot be read")]
    Read(#[from] PostgresFault),
    #[error("the counters cannot be written")]
    Write(#[from] RedisLost),
    #[error("redis lost its content, or time ran out, while the counters were written")]
    Lost,
}

/// The counters of one key: by name.
type Fields = HashMap<String, u64>;

/// What is to be in Redis.
#[derive(Default)]
struct Content {
    days: BTreeMap<NaiveDate, Fields>,
    months: BTreeMap<NaiveDate, Fields>,
    /// Held by Redis and in the ledger already.
    entered: Vec<Uuid>,
    /// Not held by Redis, and set aside according to Postgres.
    missing: Vec<Reservation>,
}

/// Makes the counters again, unless somebody else is about to. Answers what is spent: it may be more than anybody was
/// told.
pub(super) async fn rebuild(budget: &Budget) -> Result<Option<[Change; 2]>, RebuildFault> {
    let (counters, until) = (&budget.counters, Instant::now() + LONGEST / 2);
    let token = format!("{}:{}", budget.instance, Uuid::now_v7());
    let keys = [counters.epoch(), counters.lock(), counters.held()];
    let arguments = [token.clone(), LONGEST.as_millis().to_string()];
    let (is_ours, was_marked, held): (bool, bool, Vec<String>) = counters.redis.run(&BEGIN, &keys, &arguments).await?;
    if !is_ours {
        return Ok(None);
    }
    if !was_marked {
        tokio::time::sleep(ON_THE_WAY).await;
    }
    let held: Vec<Reservation> = held.chunks(2).filter_map(|pair| read(pair.get(1)?)).collect();
    let ids: Vec<_> = held.iter().map(|reservation| reservation.id).collect();
    let today = budget.options.clock.today();
    // Somebody else's clock may not have reached midnight.
    let days = [today.checked_sub_days(Days::new(1)).unwrap_or(today), today];
    let standing = ledger::standing(&budget.postgres, &days, began(Period::Month, days[0]), &ids).await?;
    let content = Content::of(standing, held, &days);
    write(counters, &content, budget.options.reservation_seconds, until).await?;
    let keys = [counters.epoch(), counters.lock()];
    let is_whole: bool = counters.redis.run(&FINISH, &keys, &[token]).await?;
    if !is_whole {
        return Err(RebuildFault::Lost);
    }
    let spent = |period, fields: Option<&Fields>| Change {
        period,
        before: 0,
        after: fields.and_then(|fields| fields.get("spent")).copied().unwrap_or(0),
    };
    Ok(Some([
        spent(Period::Day, content.days.get(&today)),
        spent(Period::Month, content.months.get(&began(Period::Month, today))),
    ]))
}

impl Content {
    fn of(standing: Standing, held: Vec<Reservation>, days: &[NaiveDate]) -> Self {
        let mut content = Self::default();
        for day in days {
            content.days.entry(*day).or_default();
            content.months.entry(began(Period::Month, *day)).or_default();
        }
        for spent in standing.spent {
            let fields = content.days.entry(spent.day).or_default();
            let player = spent.player.map(|player| format!("player:{player}"));
            let names = [
                "all".to_owned(),
                "spent".to_owned(),
                format!("persona:{}", spent.persona),
            ];
            for name in names.into_iter().chain(player) {
                *fields.entry(name).or_default() += spent.micros;
            }
        }
        for (month, micros) in standing.months {
            if let Some(fields) = content.months.get_mut(&month) {
                fields.extend([("all".to_owned(), micros), ("spent".to_owned(), micros)]);
            }
        }
        let known: HashSet<_> = held.iter().map(|reservation| reservation.id).collect();
        let entered: HashSet<_> = standing.entered.into_iter().collect();
        let missing = standing.open.into_iter().filter(|open| !known.contains(&open.id));
        content.missing = missing.collect();
        for reservation in held
            .iter()
            .filter(|held| !entered.contains(&held.id))
            .chain(&content.missing)
        {
            let worst = reservation.worst_micros;
            if let Some(fields) = content.days.get_mut(&reservation.day) {
                let player = format!("player:{}", player_word(reservation));
                for name in ["all".to_owned(), format!("persona:{}", reservation.persona), player] {
                    *fields.entry(name).or_default() += worst;
                }
            }
            if let Some(fields) = content.months.get_mut(&began(Period::Month, reservation.day)) {
                *fields.entry("all".to_owned()).or_default() += worst;
            }
        }
        content.entered = entered.into_iter().collect();
        content
    }
}

async fn write(counters: &Counters, content: &Content, seconds: u32, until: Instant) -> Result<(), RebuildFault> {
    let day = |(day, fields)| (counters.day(day), fields, DAY_SECONDS);
    let month = |(month, fields)| (counters.month(month), fields, MONTH_SECONDS);
    let days = content.days.iter().map(|(key, fields)| (*key, fields)).map(day);
    let months = content.months.iter().map(|(key, fields)| (*key, fields)).map(month);
    for (key, fields, stays) in days.chain(months) {
        let mut first = redis::pipe();
        first.cmd("UNLINK").arg(&key).ignore();
        send(counters, first, until).await?;
        let fields: Vec<_> = fields.iter().collect();
        for some in fields.chunks(AT_ONCE) {
            let mut pipe = redis::pipe();
            let set = pipe.cmd("HSET").arg(&key);
            for (name, micros) in some {
                set.arg(name).arg(micros);
            }
            set.ignore();
            pipe.expire(&key, i64::try_from(stays).unwrap_or(i64::MAX)).ignore();
            send(counters, pipe, until).await?;
        }
    }
    for some in content.entered.chunks(AT_ONCE) {
        let ids: Vec<_> = some.iter().map(Uuid::to_string).collect();
        let mut pipe = redis::pipe();
        pipe.cmd("HDEL").arg(counters.held()).arg(&ids).ignore();
        pipe.cmd("ZREM").arg(counters.ends()).arg(&ids).ignore();
        send(counters, pipe, until).await?;
    }
    for some in content.missing.chunks(AT_ONCE) {
        let ends = chrono::Utc::now().timestamp_millis() + i64::from(seconds) * 1_000;
        let mut pipe = redis::pipe();
        for reservation in some {
            let (id, text) = (
                reservation.id.to_string(),
                serde_json::to_string(reservation).unwrap_or_default(),
            );
            pipe.cmd("HSET").arg(counters.held()).arg(&id).arg(text).ignore();
            pipe.cmd("ZADD").arg(counters.ends()).arg(ends).arg(&id).ignore();
        }
        send(counters, pipe, until).await?;
    }
    Ok(())
}

async fn send(counters: &Counters, pipe: redis::Pipeline, until: Instant) -> Result<(), RebuildFault> {
    // Past that, the lock may be somebody else's, and so are the counters.
    if Instant::now() >= until {
        return Err(RebuildFault::Lost);
    }
    counters
        .redis
        .ask(|mut connection| async move { pipe.query_async::<()>(&mut connection).await })
        .await?;
    Ok(())
}
