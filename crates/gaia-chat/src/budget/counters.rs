//! What Redis counts: what is spent and set aside, by day and by month.
//!
//! All keys of a game have one hash tag, so that one script may touch them on a Redis of many nodes. A day's key holds
//! `all`, `persona:<id>` and `player:<id>` (spent and set aside together) and `spent`; a month's key holds `all` and
//! `spent`. `held` holds each reservation by its id, `ends` when its time is over, and `epoch` is the marker: it is there
//! while the counters are whole, and names the rebuild that made them.

use chrono::NaiveDate;
use gaia_names::GameId;
use gaia_protocol::costs::Period;
use gaia_service::{
    Redis,
    redis::{RedisLost, Script},
};
use uuid::Uuid;

use super::{BudgetOptions, Call, Exhausted, began};
use crate::store::ledger::Reservation;

/// How long a day's counters stay, in seconds: longer than any clock is wrong.
pub(super) const DAY_SECONDS: u64 = 3 * 24 * 3_600;
/// How long a month's counters stay, in seconds.
pub(super) const MONTH_SECONDS: u64 = 40 * 24 * 3_600;

/// ARGV: id, reservation, its time in milliseconds, worst cost, persona, player, then the limits of the game's day and
/// month, the persona's and the player's day (-1: none), then how long the counters of a day and a month stay. Asked twice,
/// because an answer was lost, it sets aside once.
const RESERVE: &str = r"
local epoch = marked(KEYS[1])
if not epoch then return {'not whole', '', 0} end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return {'reserved', epoch, 0} end
local worst, persona, player = tonumber(ARGV[4]), 'persona:' .. ARGV[5], 'player:' .. ARGV[6]
local day = redis.call('HMGET', KEYS[4], 'all', persona, player, 'spent')
local month = redis.call('HMGET', KEYS[5], 'all', 'spent')
local function is_over(counted, limit)
    limit = tonumber(limit)
    return limit >= 0 and tonumber(counted or 0) + worst > limit
end
if is_over(day[1], ARGV[7]) then return {'day', '', tonumber(day[4] or 0)} end
if is_over(month[1], ARGV[8]) then return {'month', '', tonumber(month[2] or 0)} end
if is_over(day[2], ARGV[9]) then return {'persona', '', 0} end
if is_over(day[3], ARGV[10]) then return {'player', '', 0} end
redis.call('HINCRBY', KEYS[4], 'all', ARGV[4])
redis.call('HINCRBY', KEYS[4], persona, ARGV[4])
redis.call('HINCRBY', KEYS[4], player, ARGV[4])
redis.call('HINCRBY', KEYS[5], 'all', ARGV[4])
if not day[1] then redis.call('EXPIRE', KEYS[4], ARGV[11]) end
if not month[1] then redis.call('EXPIRE', KEYS[5], ARGV[12]) end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3]), ARGV[1])
return {'reserved', epoch, 0}
";

/// ARGV: id, the epoch in which it was set aside, worst cost, true cost, persona, player, 1 if the counters stay as long
/// as they do. Answers what had been spent on the day and in the month before, and since.
const SETTLE: &str = r"
local epoch = marked(KEYS[1])
if not epoch then return {'not whole', 0, 0, 0, 0} end
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then
    if epoch == ARGV[2] then return {'gone', 0, 0, 0, 0} end
    return {'unseen', 0, 0, 0, 0}
end
redis.call('ZREM', KEYS[3], ARGV[1])
local cost = tonumber(ARGV[4])
local change = string.format('%.0f', cost - tonumber(ARGV[3]))
redis.call('HINCRBY', KEYS[4], 'all', change)
redis.call('HINCRBY', KEYS[4], 'persona:' .. ARGV[5], change)
redis.call('HINCRBY', KEYS[4], 'player:' .. ARGV[6], change)
redis.call('HINCRBY', KEYS[5], 'all', change)
local day = redis.call('HINCRBY', KEYS[4], 'spent', ARGV[4])
local month = redis.call('HINCRBY', KEYS[5], 'spent', ARGV[4])
return {'settled', day - cost, day, month - cost, month}
";

/// The reservations whose time is over, at most ARGV[1].
const EXPIRED: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[1])
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[2], unpack(ids))
";

/// One game's counters.
pub(super) struct Counters {
    pub(super) redis: Redis,
    game: GameId,
    reserve: Script,
    settle: Script,
    expired: Script,
    marker: Script,
}

/// The limits that hold for a call, in millionths of a dollar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) day: Option<u64>,
    pub(super) month: Option<u64>,
    persona: Option<u64>,
    player: Option<u64>,
}

/// What becomes of a wish to set something aside.
pub(super) enum Answer {
    /// It is, under the counters of this epoch.
    Reserved(String),
    /// It would go past a limit; the second is what had been spent in that period.
    Refused(Exhausted, u64),
    /// The marker is missing.
    NotWhole,
}

/// What becomes of what was set aside.
pub(super) enum Settled {
    /// It left the counters.
    Now([Change; 2]),
    /// It had left them before.
    Gone,
    /// These counters were made without it, or after it was in the ledger.
    Unseen,
    /// The marker is missing.
    NotWhole,
}

/// What was spent in a period before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) period: Period,
    pub(super) before: u64,
    pub(super) after: u64,
}

impl Limits {
    pub(super) fn of(call: &Call<'_>) -> Self {
        let budget = &call.bundle.budget;
        Self {
            day: budget.per_day,
            month: budget.per_month,
            persona: call.persona.limits.budget_per_day.or(budget.per_persona_per_day),
            player: budget.per_player_per_day,
        }
    }
}

impl Counters {
    pub(super) fn new(game: &GameId, redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            game: game.clone(),
            reserve: Script::new(RESERVE),
            settle: Script::new(SETTLE),
            expired: Script::new(EXPIRED),
            marker: Script::new("return marked(KEYS[1])"),
        }
    }

    pub(super) async fn reserve(
        &self,
        reservation: &Reservation,
        limits: &Limits,
        options: &BudgetOptions,
    ) -> Result<Answer, RedisLost> {
        let limit = |limit: Option<u64>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
        let milliseconds = u64::from(options.reservation_seconds) * 1_000;
        let arguments = [
            reservation.id.to_string(),
            serde_json::to_string(reservation).unwrap_or_default(),
            milliseconds.to_string(),
            reservation.worst_micros.to_string(),
            reservation.persona.clone(),
            player_word(reservation),
            limit(limits.day),
            limit(limits.month),
            limit(limits.persona),
            limit(limits.player),
            DAY_SECONDS.to_string(),
            MONTH_SECONDS.to_string(),
        ];
        let keys = self.keys(reservation.day);
        let (word, epoch, spent): (String, String, u64) = self.redis.run(&self.reserve, &keys, &arguments).await?;
        Ok(match word.as_str() {
            "reserved" => Answer::Reserved(epoch),
            "day" => Answer::Refused(Exhausted::Day, spent),
            "month" => Answer::Refused(Exhausted::Month, spent),
            "persona" => Answer::Refused(Exhausted::Persona, spent),
            "player" => Answer::Refused(Exhausted::Player, spent),
            _ => Answer::NotWhole,
        })
    }

    /// Puts what a call did cost in the place of what was set aside for it.
    pub(super) async fn settle(
        &self,
        reservation: &Reservation,
        epoch: &str,
        cost_micros: u64,
    ) -> Result<Settled, RedisLost> {
        let arguments = [
            reservation.id.to_string(),
            epoch.to_owned(),
            reservation.worst_micros.to_string(),
            cost_micros.to_string(),
            reservation.persona.clone(),
            player_word(reservation),
        ];
        let keys = self.keys(reservation.day);
        let (word, day_before, day, month_before, month): (String, u64, u64, u64, u64) =
            self.redis.run(&self.settle, &keys, &arguments).await?;
        Ok(match word.as_str() {
            "settled" => Settled::Now([
                Change {
                    period: Period::Day,
                    before: day_before,
                    after: day,
                },
                Change {
                    period: Period::Month,
                    before: month_before,
                    after: month,
                },
            ]),
            "gone" => Settled::Gone,
            "unseen" => Settled::Unseen,
            _ => Settled::NotWhole,
        })
    }

    /// Some of the reservations whose time is over.
    pub(super) async fn expired(&self, day: NaiveDate) -> Result<Vec<Reservation>, RedisLost> {
        let texts: Vec<Option<String>> = self
            .redis
            .run(&self.expired, &self.keys(day), &["100".to_owned()])
            .await?;
        Ok(texts.into_iter().flatten().filter_map(|text| read(&text)).collect())
    }

    /// The epoch that the marker names, where it is there.
    pub(super) async fn marker(&self) -> Result<Option<String>, RedisLost> {
        self.redis.run(&self.marker, &[self.epoch()], &[]).await
    }

    /// What is spent and what is set aside, on a day and in its month.
    pub(super) async fn counted(&self, day: NaiveDate) -> Result<[(u64, u64); 2], RedisLost> {
        let mut pipe = redis::pipe();
        for key in [self.day(day), self.month(day)] {
            pipe.cmd("HMGET").arg(key).arg("all").arg("spent");
        }
        let counted: [(Option<u64>, Option<u64>); 2] = self
            .redis
            .ask(|mut connection| async move { pipe.query_async(&mut connection).await })
            .await?;
        Ok(counted.map(|(all, spent)| {
            let spent = spent.unwrap_or(0);
            (spent, all.unwrap_or(0).saturating_sub(spent))
        }))
    }

    fn keys(&self, day: NaiveDate) -> [String; 5] {
        [self.epoch(), self.held(), self.ends(), self.day(day), self.month(day)]
    }

    pub(super) fn epoch(&self) -> String {
        self.key("epoch")
    }

    pub(super) fn held(&self) -> String {
        self.key("held")
    }

    pub(super) fn ends(&self) -> String {
        self.key("ends")
    }

    pub(super) fn lock(&self) -> String {
        self.key("rebuilding")
    }

    pub(super) fn day(&self, day: NaiveDate) -> String {
        self.key(format_args!("day:{day}"))
    }

    pub(super) fn month(&self, day: NaiveDate) -> String {
        self.key(format_args!("month:{}", began(Period::Month, day)))
    }

    fn key(&self, rest: impl std::fmt::Display) -> String {
        self.redis.key(format_args!("{{{}}}:budget:{rest}", self.game))
    }
}

/// Reads a reservation as `held` has it.
pub(super) fn read(text: &str) -> Option<Reservation> {
    serde_json::from_str(text).ok()
}

/// What stands for a player in a counter's name.
pub(super) fn player_word(reservation: &Reservation) -> String {
    reservation.player.map_or_else(Uuid::nil, |player| player.0).to_string()
}
