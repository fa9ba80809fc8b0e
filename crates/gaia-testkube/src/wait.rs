//! Waiting on conditions instead of sleeping.

use std::time::{Duration, Instant};

/// Waits up to a minute until an answer is there.
///
/// # Panics
///
/// When it never came.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(Duration::from_secs(60), what, ask).await
}

/// Waits until an answer is there.
///
/// # Panics
///
/// When it did not come within the limit.
pub async fn eventually_within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
