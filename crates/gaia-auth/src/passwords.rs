//! Passwords: which are taken, and how they are kept (argon2id).

use std::sync::Arc;

use argon2::{
    Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{self},
};
use gaia_names::Secret;
use gaia_protocol::{ErrorCode, Fault};
use tokio::sync::Semaphore;

use crate::email::Email;

/// The shortest and the longest password, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 10..=128;
/// How many are hashed at once; each takes 19 MiB and a core for some 20 ms.
const AT_ONCE: usize = 2;
/// How many more may wait. At 20 ms each the last of them waits for a third of a second.
const WAITING: usize = 32;

/// The most common ones that are long enough. What people add to a word is covered by [`is_common`].
const COMMON: [&str; 40] = [
    "1234567890",
    "0123456789",
    "12345678910",
    "1234567891",
    "123456789a",
    "0987654321",
    "9876543210",
    "1234554321",
    "1122334455",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "q1w2e3r4t5",
    "q1w2e3r4t5y6",
    "1qaz2wsx3edc",
    "zaq12wsxcde3",
    "qwertyuiop",
    "qwertyuiop123",
    "qwerty1234",
    "qwerty12345",
    "qwerty123456",
    "asdfghjkl1",
    "asdfghjkl123",
    "abc1234567",
    "abcd123456",
    "abcdefghij",
    "a123456789",
    "password12",
    "password123",
    "password1234",
    "password!23",
    "passw0rd123",
    "mypassword",
    "passwordpassword",
    "administrator",
    "iloveyou123",
    "letmein123",
    "welcome123",
    "changeme123",
    "football123",
    "princess123",
];

/// Refuses what somebody else would guess.
pub(crate) fn check(password: &Secret, email: &Email) -> Result<(), Fault> {
    let text = password.expose();
    let refuse = |detail| Err(Fault::new(ErrorCode::InvalidInput, detail));
    if !LENGTH.contains(&text.chars().count()) {
        return refuse("The password must have 10 to 128 characters.");
    }
    if email.is_like(text) {
        return refuse("The password must not be the email.");
    }
    if is_common(text) {
        return refuse("This password is among the first that anybody would try; choose another.");
    }
    Ok(())
}

fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    different.len() < 3 || COMMON.contains(&lower.as_str())
}

/// The places where passwords are hashed. One process has few, so that a flood of sign-ins takes neither all memory
/// nor all cores; who finds the queue full is told so.
#[derive(Clone)]
pub(crate) struct Passwords {
    at_once: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }
}

/// What came of comparing a password.
pub(crate) enum Compared {
    /// It is another.
    Wrong,
    /// It is the one. The new hash is there where the kept one was made with other parameters than today's.
    Right {
        /// What to keep from now on.
        better: Option<String>,
    },
}

impl Passwords {
    /// The hash to keep, as a PHC string.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, Fault> {
        self.work(move || hash(&password)).await
    }

    /// Compares a password with a kept hash. Without one, the same work is done for nothing, so that the time of the
    /// answer does not tell whether there is such a player.
    pub(crate) async fn compare(&self, password: Secret, kept: Option<String>) -> Result<Compared, Fault> {
        if password.expose().chars().count() > *LENGTH.end() {
            return Ok(Compared::Wrong);
        }
        self.work(move || match kept {
            Some(kept) => compare(&password, &kept),
            None => hash(&password).map(|_| Compared::Wrong),
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let busy = || Fault::from(ErrorCode::Overloaded).retry_after_ms(1_000);
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| busy())?;
        let place = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| busy())?;
        let began = std::time::Instant::now();
        let done = tokio::task::spawn_blocking(move || {
            let done = job();
            // Only now: an asker who gave up does not stop the thread.
            drop((place, queued));
            done
        });
        let done = done.await.map_err(|_| Fault::from(ErrorCode::Internal))?;
        metrics::histogram!("gaia_auth_password_seconds").record(began.elapsed());
        done.map_err(|error| {
            tracing::error!(error = %error, "a password cannot be hashed: {error}");
            ErrorCode::Internal.into()
        })
    }
}

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane.
fn argon2() -> Argon2<'static> {
    Argon2::default()
}

fn hash(password: &Secret) -> Result<String, password_hash::Error> {
    Ok(argon2().hash_password(password.expose().as_bytes())?.to_string())
}

fn compare(password: &Secret, kept: &str) -> Result<Compared, password_hash::Error> {
    let kept = PasswordHash::new(kept)?;
    match argon2().verify_password(password.expose().as_bytes(), &kept) {
        Ok(()) if is_of_today(&kept) => Ok(Compared::Right { better: None }),
        Ok(()) => Ok(Compared::Right {
            better: Some(hash(password)?),
        }),
        Err(password_hash::Error::PasswordInvalid) => Ok(Compared::Wrong),
        Err(error) => Err(error),
    }
}

fn is_of_today(kept: &PasswordHash) -> bool {
    let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let today = argon2();
    kept.algorithm == argon2::ARGON2ID_IDENT
        && Params::try_from(kept).is_ok_and(|kept| costs(&kept) == costs(today.params()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_argon2id_with_the_parameters_of_owasp() {
        let kept = hash(&Secret::new("correct horse")).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    }

    #[test]
    fn a_hash_of_yesterday_is_replaced_when_the_password_is_right() {
        let yesterday = Argon2::new(
            argon2::Algorithm::Argon2id,
            argon2::Version::V0x13,
            Params::new(8 * 1024, 1, 1, None).unwrap(),
        );
        let kept = yesterday.hash_password(b"correct horse").unwrap().to_string();
        let right = compare(&Secret::new("correct horse"), &kept).unwrap();
        let Compared::Right { better: Some(better) } = right else {
            panic!("no better hash was made")
        };
        assert!(matches!(
            compare(&Secret::new("correct horse"), &better).unwrap(),
            Compared::Right { better: None }
        ));
        assert!(matches!(
            compare(&Secret::new("wrong horse"), &kept).unwrap(),
            Compared::Wrong
        ));
    }

    #[test]
    fn a_password_that_anybody_would_try_is_refused() {
        let email = Email::parse("Ada.Lovelace@example.org").unwrap();
        let long = "é".repeat(129);
        for bad in [
            "short",
            "Password123",
            "1234567890",
            "aaaaaaaaaaaa",
            "1212121212",
            "ada.lovelace@EXAMPLE.org",
            "Ada.Lovelace",
            &long,
        ] {
            assert!(check(&Secret::new(bad), &email).is_err(), "{bad} was taken");
        }
        for good in [
            "correct horse battery staple",
            "\u{1F9DF} zombies? no",
            &"xyz".repeat(40),
        ] {
            assert!(check(&Secret::new(good), &email).is_ok(), "{good} was refused");
        }
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once() {
        let passwords = Passwords::default();
        let _taken = Arc::clone(&passwords.queue)
            .acquire_many_owned(u32::try_from(AT_ONCE + WAITING).unwrap())
            .await
            .unwrap();
        let refused = passwords.hash(Secret::new("correct horse")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Overloaded);
    }
}
