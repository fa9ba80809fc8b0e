//! How the routes have been doing: how soon they begin to speak, whether they can be relied on, and which to ask first.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gaia_protocol::bundle::Route;
use tokio::sync::watch;

/// How many first tokens of a route are remembered.
const SAMPLES: usize = 64;
/// How long they count. A route that was slow is tried again after that.
const SAMPLE_AGE: Duration = Duration::from_secs(60);
/// The fewest samples that say something about a tail.
const ENOUGH: usize = 8;
/// A route with so many strikes is not asked any more. A failure is two, a race that it lost one: five races in a row
/// that a healthy route loses are one in three million, as a race begins when it is slower than 19 times out of 20.
const STRIKES: u32 = 5;
const FAILED: u32 = 2;
const OUTRUN: u32 = 1;
/// How long a route is left alone at first; twice as long after each probe that fails.
const LEFT_ALONE: Duration = Duration::from_secs(2);
const LEFT_ALONE_LONGEST: Duration = Duration::from_secs(60);
/// How long a probe may be under way before another is sent.
const PROBE: Duration = Duration::from_secs(30);
/// The share of calls that may be raced by a second one, and how many of them may come at once.
const HEDGED_SHARE: f64 = 0.05;
const HEDGED_AT_ONCE: f64 = 5.0;

/// All routes of one game.
pub(crate) struct RouteStates {
    held: Mutex<Held>,
    /// Counts how often a route was given up, so that those who wait for one can look elsewhere.
    given_up: watch::Sender<u64>,
}

struct Held {
    routes: HashMap<String, RouteState>,
    hedges: f64,
}

#[derive(Default)]
struct RouteState {
    /// When each was, and how long it took; of a call that was cancelled before, how long it had taken by then.
    firsts: VecDeque<(Instant, Duration)>,
    strikes: u32,
    left_alone: Option<LeftAlone>,
    /// Why it failed when it was last asked.
    failing: Option<String>,
}

#[derive(Clone, Copy)]
struct LeftAlone {
    until: Instant,
    long: Duration,
}

impl Default for RouteStates {
    fn default() -> Self {
        let held = Held {
            routes: HashMap::new(),
            hedges: HEDGED_AT_ONCE,
        };
        Self {
            held: Mutex::new(held),
            given_up: watch::Sender::new(0),
        }
    }
}

impl RouteStates {
    /// Which routes to ask, in order: those whose first token has lately come in time nine times out of ten, or of which
    /// nothing is known, as the config has them; then the slower ones, the quickest first. One that was left alone for
    /// long enough is probed by this call; one that is still left alone is not among them.
    pub(super) fn order<'a>(&self, routes: impl Iterator<Item = &'a Route>, target: Duration) -> Vec<&'a Route> {
        let now = Instant::now();
        let mut held = self.lock();
        let mut in_time = Vec::new();
        let mut late = Vec::new();
        for route in routes {
            let state = held.routes.entry(route.name.clone()).or_default();
            if let Some(left_alone) = &mut state.left_alone {
                if now < left_alone.until {
                    continue;
                }
                left_alone.until = now + PROBE;
            }
            match state.quantile(0.9, now) {
                Some(p90) if p90 > target => late.push((p90, route)),
                _ => in_time.push(route),
            }
        }
        late.sort_by_key(|(p90, _)| *p90);
        in_time.extend(late.into_iter().map(|(_, route)| route));
        in_time
    }

    /// A call begins, which earns the right to race one in twenty.
    pub(super) fn count_call(&self) {
        let mut held = self.lock();
        held.hedges = (held.hedges + HEDGED_SHARE).min(HEDGED_AT_ONCE);
    }

    /// Takes the right to race a call.
    pub(super) fn may_hedge(&self) -> bool {
        let mut held = self.lock();
        let may = held.hedges >= 1.0;
        if may {
            held.hedges -= 1.0;
        }
        may
    }

    /// How long to wait for a route's first token before another is asked, too: as long as it takes 19 times out of 20,
    /// but not over half the target.
    pub(super) fn patience(&self, route: &str, target: Duration) -> Duration {
        let p95 = self
            .lock()
            .routes
            .get(route)
            .and_then(|state| state.quantile(0.95, Instant::now()));
        p95.map_or(target / 2, |p95| p95.min(target / 2))
    }

    /// The first token came.
    pub(super) fn began(&self, route: &str, took: Duration) {
        let mut held = self.lock();
        let state = held.routes.entry(route.to_owned()).or_default();
        state.sample(took);
        state.strikes /= 2;
        state.left_alone = None;
    }

    /// The reply came to its end.
    pub(super) fn works(&self, route: &str) {
        if let Some(state) = self.lock().routes.get_mut(route) {
            state.failing = None;
        }
    }

    /// Another route was asked later and spoke sooner.
    pub(super) fn outrun(&self, route: &str, waited: Duration) {
        let mut held = self.lock();
        let state = held.routes.entry(route.to_owned()).or_default();
        state.sample(waited);
        if state.strike(OUTRUN) {
            state.failing.get_or_insert_with(|| "it is too slow".to_owned());
            drop(held);
            self.announce(route);
        }
    }

    /// It failed. True if it worked before.
    pub(super) fn fails(&self, route: &str, why: String) -> bool {
        let mut held = self.lock();
        let state = held.routes.entry(route.to_owned()).or_default();
        let is_new = state.failing.replace(why).is_none();
        if state.strike(FAILED) {
            drop(held);
            self.announce(route);
        }
        is_new
    }

    /// It was not asked, for a reason that is none of its own. True if there was none before.
    pub(super) fn cannot_be_used(&self, route: &str, why: String) -> bool {
        let mut held = self.lock();
        let state = held.routes.entry(route.to_owned()).or_default();
        state.failing.replace(why).is_none()
    }

    /// Why it failed when it was last asked.
    pub(super) fn failing(&self, route: &str) -> Option<String> {
        self.lock().routes.get(route)?.failing.clone()
    }

    /// Resolves when any route is given up.
    pub(super) fn given_up(&self) -> watch::Receiver<u64> {
        self.given_up.subscribe()
    }

    /// Whether it is left alone just now.
    pub(super) fn is_left_alone(&self, route: &str) -> bool {
        let held = self.lock();
        held.routes.get(route).is_some_and(|state| state.left_alone.is_some())
    }

    fn announce(&self, route: &str) {
        tracing::warn!(route, "route `{route}` is left alone for a while");
        self.given_up.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RouteState {
    fn sample(&mut self, took: Duration) {
        if self.firsts.len() == SAMPLES {
            self.firsts.pop_front();
        }
        self.firsts.push_back((Instant::now(), took));
    }

    /// Nothing where too little is known.
    fn quantile(&self, share: f64, now: Instant) -> Option<Duration> {
        let recent = self
            .firsts
            .iter()
            .filter(|(when, _)| now.duration_since(*when) < SAMPLE_AGE);
        let mut times: Vec<_> = recent.map(|(_, took)| *took).collect();
        if times.len() < ENOUGH {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 64 samples"
        )]
        let place = ((times.len() - 1) as f64 * share).ceil() as usize;
        Some(*times.select_nth_unstable(place).1)
    }

    /// True if it is given up by this.
    fn strike(&mut self, weight: u32) -> bool {
        self.strikes = (self.strikes + weight).min(STRIKES);
        match self.left_alone {
            // A probe failed.
            Some(before) => {
                let long = (before.long * 2).min(LEFT_ALONE_LONGEST);
                self.left_alone = Some(LeftAlone {
                    until: Instant::now() + long,
                    long,
                });
                false
            }
            None if self.strikes >= STRIKES => {
                let (until, long) = (Instant::now() + LEFT_ALONE, LEFT_ALONE);
                self.left_alone = Some(LeftAlone { until, long });
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use gaia_protocol::bundle::Provider;

    use super::*;

    const TARGET: Duration = Duration::from_millis(500);

    fn route(name: &str) -> Route {
        Route {
            name: name.to_owned(),
            provider: Provider::Openai,
            base_url: String::new(),
            model: "some".to_owned(),
            key: None,
            first_token_ms: 1,
            silence_ms: 1,
            prices: Vec::new(),
        }
    }

    fn order(states: &RouteStates, routes: &[Route]) -> Vec<String> {
        let ordered = states.order(routes.iter(), TARGET);
        ordered.into_iter().map(|route| route.name.clone()).collect()
    }

    #[test]
    fn a_route_that_is_late_stands_behind_those_that_are_in_time() {
        let states = RouteStates::default();
        let routes = ["slow", "slower", "quick", "unknown"].map(route);
        for (name, milliseconds) in [("slow", 700), ("slower", 900), ("quick", 90)] {
            for _ in 0..ENOUGH {
                states.began(name, Duration::from_millis(milliseconds));
            }
        }
        assert_eq!(order(&states, &routes), ["quick", "unknown", "slow", "slower"]);
    }

    #[test]
    fn a_route_that_fails_again_and_again_is_left_alone_then_probed_once() {
        let states = RouteStates::default();
        let routes = ["first", "second"].map(route);
        let mut given_up = states.given_up();
        for _ in 0..3 {
            assert_eq!(order(&states, &routes), ["first", "second"]);
            states.fails("first", "no".to_owned());
        }
        assert!(given_up.has_changed().unwrap() && states.is_left_alone("first"));
        given_up.mark_unchanged();
        assert_eq!(order(&states, &routes), ["second"]);
        let make_due = || {
            let mut held = states.lock();
            let left_alone = &mut held.routes.get_mut("first").unwrap().left_alone;
            left_alone.as_mut().unwrap().until = Instant::now();
        };
        make_due();
        assert_eq!(order(&states, &routes), ["first", "second"], "one call probes it");
        assert_eq!(order(&states, &routes), ["second"], "and no other meanwhile");
        states.fails("first", "still no".to_owned());
        assert_eq!(order(&states, &routes), ["second"]);
        assert!(!given_up.has_changed().unwrap(), "nobody was waiting for it");
        make_due();
        states.began("first", Duration::from_millis(9));
        assert_eq!(order(&states, &routes), ["first", "second"]);
    }

    #[test]
    fn losing_a_race_now_and_then_is_no_failure_but_losing_all_is() {
        let states = RouteStates::default();
        for _ in 0..100 {
            states.outrun("first", TARGET);
            states.began("first", TARGET);
        }
        assert!(!states.is_left_alone("first"));
        for _ in 0..STRIKES {
            states.outrun("first", TARGET);
        }
        assert!(states.is_left_alone("first"));
    }

    #[test]
    fn one_call_in_twenty_may_be_raced() {
        let states = RouteStates::default();
        let mut raced = 0;
        for _ in 0..1_000 {
            states.count_call();
            raced += u32::from(states.may_hedge());
        }
        assert!((50..=55).contains(&raced), "{raced}");
    }

    #[test]
    fn a_route_is_given_as_long_as_it_usually_takes_but_not_over_half_the_target() {
        let states = RouteStates::default();
        assert_eq!(states.patience("first", TARGET), TARGET / 2);
        for milliseconds in 1..=40 {
            states.began("first", Duration::from_millis(milliseconds));
        }
        assert_eq!(states.patience("first", TARGET), Duration::from_millis(39));
        for _ in 0..SAMPLES {
            states.began("first", Duration::from_secs(3));
        }
        assert_eq!(states.patience("first", TARGET), TARGET / 2);
    }
}
