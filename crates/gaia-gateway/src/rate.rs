//! How often somebody may ask: the generic cell rate algorithm, which spreads requests evenly and keeps one number each.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many callers are remembered at once. Beyond that the ones whose time has passed go first.
const MOST_REMEMBERED: usize = 50_000;

/// A rate with a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// The time that one request takes up.
    pub(crate) interval: Duration,
    /// How far ahead of the even pace a caller may be.
    pub(crate) tolerance: Duration,
}

impl Rate {
    /// So many in a minute, evenly, with a burst of a sixth of it.
    pub(crate) fn per_minute(count: u32) -> Self {
        let count = count.max(1);
        let interval = (Duration::from_secs(60) / count).max(Duration::from_micros(1));
        Self {
            interval,
            tolerance: interval * (count / 6).max(1).saturating_sub(1),
        }
    }

    /// So many in a second, evenly, with a burst.
    pub(crate) fn per_second(count: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / count.max(1);
        Self {
            interval,
            tolerance: interval * burst.saturating_sub(1),
        }
    }

    /// Takes one request in, or says how long to wait. `due` is when the caller would be back at the even pace.
    pub(crate) fn take(&self, due: &mut Instant, now: Instant) -> Result<(), Duration> {
        let begins = (*due).max(now);
        let ahead = begins - now;
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        *due = begins + self.interval;
        Ok(())
    }

    /// How many requests may come at once from somebody who has not asked for a while.
    pub(crate) fn burst(&self) -> u32 {
        self.room(Duration::ZERO)
    }

    /// How many more may come at once from somebody who is so far ahead of the even pace.
    pub(crate) fn room(&self, ahead: Duration) -> u32 {
        let Some(left) = self.tolerance.checked_sub(ahead) else {
            return 0;
        };
        let whole = left.as_nanos() / self.interval.as_nanos().max(1);
        u32::try_from(whole).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// Rates kept in this process's memory, for when Redis cannot be asked. Each instance then counts for itself.
pub(crate) struct Rates<K> {
    due: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq> Default for Rates<K> {
    fn default() -> Self {
        Self {
            due: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Hash + Eq> Rates<K> {
    /// Whether a request of a caller could be taken in, or how long to wait.
    pub(crate) fn look(&self, caller: &K, rate: &Rate, now: Instant) -> Result<(), Duration> {
        let all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = all.get(caller).copied().unwrap_or(now);
        rate.take(&mut due, now)
    }

    /// Takes one request of a caller in, or says how long to wait.
    pub(crate) fn take(&self, caller: K, rate: &Rate, now: Instant) -> Result<(), Duration> {
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_REMEMBERED {
            all.retain(|_, due| *due > now);
        }
        if all.len() >= MOST_REMEMBERED {
            // Only a flood of different callers gets here; forgetting is better than growing.
            all.clear();
        }
        rate.take(all.entry(caller).or_insert(now), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_at_once(rate: &Rate) -> usize {
        let now = Instant::now();
        let mut due = now;
        (0..10_000).take_while(|_| rate.take(&mut due, now).is_ok()).count()
    }

    #[test]
    fn a_sixth_of_a_minutes_requests_may_come_at_once() {
        assert_eq!(taken_at_once(&Rate::per_minute(600)), 100);
        assert_eq!(taken_at_once(&Rate::per_minute(12)), 2);
        assert_eq!(taken_at_once(&Rate::per_minute(1)), 1);
        assert_eq!(taken_at_once(&Rate::per_second(20, 40)), 40);
        for rate in [Rate::per_minute(600), Rate::per_minute(1), Rate::per_minute(u32::MAX)] {
            assert_eq!(rate.room(rate.interval), rate.burst() - 1);
        }
        assert_eq!(Rate::per_minute(600).burst(), 100);
    }

    #[test]
    fn whoever_waits_as_long_as_told_is_let_in() {
        let rate = Rate::per_minute(60);
        let begin = Instant::now();
        let mut due = begin;
        for _ in 0..10 {
            rate.take(&mut due, begin).unwrap();
        }
        let wait = rate.take(&mut due, begin).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        assert!(rate.take(&mut due, begin + wait - Duration::from_millis(1)).is_err());
        assert_eq!(rate.take(&mut due, begin + wait), Ok(()));
    }

    #[test]
    fn over_ten_minutes_nobody_gets_more_than_the_rate_and_one_burst() {
        let rate = Rate::per_minute(60);
        let begin = Instant::now();
        let mut due = begin;
        let taken = (0..60_000)
            .filter(|step| rate.take(&mut due, begin + Duration::from_millis(step * 10)).is_ok())
            .count();
        assert!((600..=610).contains(&taken), "{taken}");
    }

    #[test]
    fn callers_do_not_share_a_rate_and_a_flood_of_them_is_bounded() {
        let (rates, rate, now) = (Rates::default(), Rate::per_minute(6), Instant::now());
        assert_eq!(rates.take(1_u64, &rate, now), Ok(()));
        assert!(rates.take(1, &rate, now).is_err());
        for caller in 2..200_000 {
            assert_eq!(rates.take(caller, &rate, now), Ok(()));
        }
        assert!(rates.due.lock().unwrap().len() <= MOST_REMEMBERED);
    }
}
