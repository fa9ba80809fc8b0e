//! What was fetched, kept for a while: bounded, one fetch at a time for each key, and the old rather than nothing.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long after a failed fetch the next one is tried.
const REST: Duration = Duration::from_secs(15);

/// Keeps the newest value of each key.
pub(crate) struct Cache<K, T, E> {
    slots: Mutex<HashMap<K, Kept<T, E>>>,
    most: usize,
    fresh: Duration,
    /// For how long an old value is better than none.
    stale: Duration,
}

struct Kept<T, E> {
    slot: Arc<tokio::sync::Mutex<Slot<T, E>>>,
    used: Instant,
}

struct Slot<T, E> {
    value: Option<(Instant, T)>,
    failed: Option<(Instant, E)>,
}

/// A value and how old it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aged<T> {
    pub(crate) value: T,
    pub(crate) age: Duration,
    /// Why there is no newer one, although it is time.
    pub(crate) stale_because: Option<String>,
}

impl<K: Eq + Hash + Clone, T: Clone, E: Clone + ToString> Cache<K, T, E> {
    pub(crate) fn new(most: usize, fresh: Duration, stale: Duration) -> Self {
        Self {
            slots: Mutex::new(HashMap::new()),
            most,
            fresh,
            stale,
        }
    }

    /// The kept value while it is fresh, else a fetched one, else the kept one while it is not too old. Who asks for the
    /// same key meanwhile waits for the same fetch.
    pub(crate) async fn get<F>(&self, key: &K, fetch: impl FnOnce() -> F) -> Result<Aged<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some((at, value)) = &slot.value
            && at.elapsed() < self.fresh
        {
            return Ok(Aged {
                value: value.clone(),
                age: at.elapsed(),
                stale_because: None,
            });
        }
        let failed = slot.failed.as_ref().filter(|(at, _)| at.elapsed() < REST);
        let fetched = match failed {
            Some((_, fault)) => Err(fault.clone()),
            None => {
                let fetched = fetch().await;
                slot.failed = fetched.as_ref().err().map(|fault| (Instant::now(), fault.clone()));
                fetched
            }
        };
        match (fetched, &slot.value) {
            (Ok(value), _) => {
                slot.value = Some((Instant::now(), value.clone()));
                Ok(Aged {
                    value,
                    age: Duration::ZERO,
                    stale_because: None,
                })
            }
            (Err(fault), Some((at, value))) if at.elapsed() < self.stale => Ok(Aged {
                value: value.clone(),
                age: at.elapsed(),
                stale_because: Some(fault.to_string()),
            }),
            (Err(fault), _) => Err(fault),
        }
    }

    fn slot(&self, key: &K) -> Arc<tokio::sync::Mutex<Slot<T, E>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(key) && slots.len() >= self.most {
            let oldest = slots
                .iter()
                .min_by_key(|(_, kept)| kept.used)
                .map(|(key, _)| key.clone());
            oldest.and_then(|oldest| slots.remove(&oldest));
        }
        let kept = slots.entry(key.clone()).or_insert_with(|| {
            let (value, failed) = (None, None);
            let slot = Arc::new(tokio::sync::Mutex::new(Slot { value, failed }));
            let used = Instant::now();
            Kept { slot, used }
        });
        kept.used = Instant::now();
        Arc::clone(&kept.slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    async fn counted(fetches: &AtomicUsize) -> Result<usize, String> {
        tokio::task::yield_now().await;
        Ok(fetches.fetch_add(1, Ordering::SeqCst))
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_one_fetch() {
        let (cache, fetches) = (Cache::new(4, LONG, LONG), AtomicUsize::new(0));
        let asked = (0..50).map(|_| cache.get(&"key", || counted(&fetches)));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().value == 0));
        assert_eq!(fetches.into_inner(), 1);
    }

    #[tokio::test]
    async fn an_old_value_is_better_than_a_fault_and_a_fault_is_not_repeated_at_once() {
        let (cache, fetches) = (Cache::new(4, Duration::ZERO, LONG), AtomicUsize::new(0));
        cache.get(&"key", || counted(&fetches)).await.unwrap();
        let failing = || async {
            fetches.fetch_add(1, Ordering::SeqCst);
            Err("down".to_owned())
        };
        for _ in 0..3 {
            let answer = cache.get(&"key", failing).await.unwrap();
            assert_eq!((answer.value, answer.stale_because.as_deref()), (0, Some("down")));
        }
        assert_eq!(cache.get(&"other", failing).await, Err("down".to_owned()));
        assert_eq!(fetches.into_inner(), 3, "one that worked, one that failed for each key");
    }

    #[tokio::test]
    async fn no_more_keys_are_kept_than_allowed() {
        let (cache, fetches) = (Cache::new(2, LONG, LONG), AtomicUsize::new(0));
        for key in ["one", "two", "one", "three", "one", "two"] {
            cache.get(&key, || counted(&fetches)).await.unwrap();
        }
        assert_eq!(cache.slots.lock().unwrap().len(), 2);
        assert_eq!(fetches.into_inner(), 4, "`two` was used longest ago when `three` came");
    }
}
