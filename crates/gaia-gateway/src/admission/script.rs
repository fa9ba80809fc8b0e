//! The one round trip to Redis: is the session revoked, can its absence be trusted, and is there room in the rate?

use std::{fmt::Display, net::IpAddr, time::Duration};

use gaia_names::SessionId;
use gaia_protocol::keys::{revocations_complete, revoked, shard};
use gaia_service::{
    Redis,
    redis::{self, RedisLost},
};

use super::Counted;
use crate::rate::Rate;

/// KEYS: the rate's key, then, where a session is checked, its revocation and the mark that revocations are complete.
/// ARGV: what one request takes up and how far ahead a caller may be, in microseconds; 0 counts nothing.
/// Answers a verdict and, in microseconds, how far ahead the caller is now, or how long to wait. The clock is Redis's own, so that gateways agree.
const TEXT: &str = r"
local verdict = 0
if #KEYS == 3 then
    if redis.call('EXISTS', KEYS[2]) == 1 then return {1, 0} end
    if not marked(KEYS[3]) then verdict = 2 end
end
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
if interval == 0 then return {verdict, 0} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local ahead = due - now
if ahead > tolerance then return {3, ahead - tolerance} end
redis.call('SET', KEYS[1], string.format('%.0f', due + interval), 'PX', math.ceil((ahead + interval) / 1000))
return {verdict, ahead + interval}
";

/// What Redis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// So far ahead of the even pace is the caller now.
    Admitted(Duration),
    /// The session was revoked.
    Ended,
    /// Within the rate, but Redis does not know all revocations. Else as `Admitted`.
    Unknown(Duration),
    Limited(Duration),
}

pub(super) struct Script {
    redis: Redis,
    script: redis::Script,
}

impl Script {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            script: redis::Script::new(TEXT),
        }
    }

    /// Asks about a session and counts a request of its player or key, if a rate is given.
    pub(super) async fn session(
        &self,
        session: SessionId,
        rate: Option<(Counted, &Rate)>,
    ) -> Result<Verdict, RedisLost> {
        let shard = shard(session);
        let session_keys = [self.key(revoked(session)), self.key(revocations_complete(shard))];
        let no_rate = || self.key(format_args!("{{{shard}}}:rate:none"));
        let Some((counted, rate)) = rate else {
            return self.run(no_rate(), &session_keys, None).await;
        };
        let rate_key = match counted {
            Counted::Player(player) => self.key(format_args!("rate:player:{player}")),
            Counted::Key(key) => self.key(format_args!("rate:key:{key}")),
        };
        if !self.redis.is_cluster() {
            return self.run(rate_key, &session_keys, Some(rate)).await;
        }
        // A player has several sessions and one rate, so these are on different nodes.
        let (session, rate) = tokio::try_join!(
            self.run(no_rate(), &session_keys, None),
            self.run(rate_key, &[], Some(rate))
        )?;
        Ok(match (session, rate) {
            (Verdict::Ended, _) => Verdict::Ended,
            (Verdict::Unknown(_), Verdict::Admitted(ahead)) => Verdict::Unknown(ahead),
            (_, rate) => rate,
        })
    }

    /// Counts an attempt of an address.
    pub(super) async fn attempt(&self, address: IpAddr, rate: &Rate) -> Result<Verdict, RedisLost> {
        let key = self.key(format_args!("rate:sign-in:{address}"));
        self.run(key, &[], Some(rate)).await
    }

    fn key(&self, rest: impl Display) -> String {
        self.redis.key(rest)
    }

    async fn run(&self, rate_key: String, session_keys: &[String], rate: Option<&Rate>) -> Result<Verdict, RedisLost> {
        let micros = |time: fn(&Rate) -> Duration| rate.map_or(0, |rate| time(rate).as_micros());
        let (interval, tolerance) = (micros(|rate| rate.interval), micros(|rate| rate.tolerance));
        let keys: Vec<_> = std::iter::once(rate_key).chain(session_keys.iter().cloned()).collect();
        let arguments = [interval.to_string(), tolerance.to_string()];
        let (verdict, time): (u8, u64) = self.redis.run(&self.script, &keys, &arguments).await?;
        Ok(match verdict {
            0 => Verdict::Admitted(Duration::from_micros(time)),
            1 => Verdict::Ended,
            3 => Verdict::Limited(Duration::from_micros(time)),
            _ => Verdict::Unknown(Duration::from_micros(time)),
        })
    }
}
