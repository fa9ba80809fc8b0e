//! Guessing one player's password is slow: ten failures in ten minutes, then a wait. The gateway limits each address;
//! this limits each account, from however many addresses.

use aws_lc_rs::digest::{SHA256, digest};
use gaia_protocol::{ErrorCode, Fault};
use gaia_service::{Redis, redis::RedisLost};

use crate::email::Email;

const FAILURES: i64 = 10;
const WINDOW_SECONDS: i64 = 10 * 60;

/// One attempt to sign in, counted before the password is compared, so that many at once do not slip through together.
pub(crate) struct Attempt<'a> {
    redis: &'a Redis,
    key: String,
}

impl<'a> Attempt<'a> {
    /// Counts an attempt, whether or not there is such a player. A lost Redis counts nothing: then players sign in
    /// without this limit rather than not at all.
    ///
    /// # Errors
    ///
    /// After too many failures.
    pub(crate) async fn begin(redis: &'a Redis, email: &Email) -> Result<Self, Fault> {
        // The key shows no address to who may look at Redis, and has one length.
        let hash = digest(&SHA256, email.key.as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let attempt = Self {
            redis,
            key: redis.key(format_args!("sign-in-failures:{hash}")),
        };
        match attempt.count(1).await {
            Ok((attempts, wait_ms)) if attempts > FAILURES => {
                let detail = "Too many wrong passwords for this email; wait before trying again.";
                let wait_ms = u64::try_from(wait_ms).unwrap_or(1_000);
                Err(Fault::new(ErrorCode::RateLimited, detail).retry_after_ms(wait_ms))
            }
            Ok(_) | Err(_) => Ok(attempt),
        }
    }

    /// The password was right: the failures before are forgotten.
    pub(crate) async fn succeeded(self) {
        let key = self.key;
        let forgotten: Result<(), RedisLost> = self
            .redis
            .ask(|mut connection| async move { redis::cmd("DEL").arg(key).query_async(&mut connection).await })
            .await;
        drop(forgotten);
    }

    /// The password was not compared, so this was no failure.
    pub(crate) async fn take_back(self) {
        drop(self.count(-1).await);
    }

    /// The count so far and how long it stays, in milliseconds.
    async fn count(&self, step: i64) -> Result<(i64, i64), RedisLost> {
        let mut count = redis::pipe();
        count.atomic().cmd("INCRBY").arg(&self.key).arg(step);
        count
            .cmd("EXPIRE")
            .arg(&self.key)
            .arg(WINDOW_SECONDS)
            .arg("NX")
            .ignore();
        count.cmd("PTTL").arg(&self.key);
        self.redis
            .ask(|mut connection| async move { count.query_async(&mut connection).await })
            .await
    }
}
