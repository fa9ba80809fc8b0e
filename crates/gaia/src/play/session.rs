//! Who plays: a guest by the device's secret, with tokens that are renewed before they expire.

use std::time::{Duration, Instant};

use gaia_names::Secret;
use gaia_protocol::auth::SignedIn;

use super::{api::Api, fault::ApiFault, screen::Screen};

/// How long the game may be away before a question is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long before its end a token is exchanged.
const EARLY: Duration = Duration::from_secs(60);

/// A player who is signed in, or will be with the next question.
pub(super) struct Session {
    api: Api,
    device: Secret,
    tokens: Option<Tokens>,
}

struct Tokens {
    access: Secret,
    refresh: Secret,
    renew_at: Instant,
}

impl Session {
    pub(super) fn new(api: Api, device: Secret) -> Self {
        Self {
            api,
            device,
            tokens: None,
        }
    }

    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// An access token that holds for a while.
    pub(super) async fn token(&mut self) -> Result<Secret, ApiFault> {
        if let Some(tokens) = &self.tokens {
            if Instant::now() < tokens.renew_at {
                return Ok(tokens.access.clone());
            }
            match self.api.refresh(&tokens.refresh).await {
                Ok(signed_in) => return Ok(self.keep(signed_in)),
                Err(fault) if fault.worth_waiting().is_some() => return Err(fault),
                // The session is over, so the device signs in again and is the same player.
                Err(_) => self.tokens = None,
            }
        }
        let signed_in = self.api.enter_as_guest(&self.device).await?;
        Ok(self.keep(signed_in))
    }

    /// Takes note of a refusal. Whether asking again with another token may help.
    pub(super) fn learns(&mut self, fault: &ApiFault) -> bool {
        if fault.wants_sign_in() {
            self.tokens = None;
        } else if fault.wants_fresh_token() {
            if let Some(tokens) = &mut self.tokens {
                tokens.renew_at = Instant::now();
            }
        } else {
            return false;
        }
        true
    }

    /// Asks until there is an answer, a refusal that stays, or patience ends.
    pub(super) async fn ask<T>(
        &mut self,
        screen: &mut Screen,
        question: impl AsyncFn(&Api, &Secret) -> Result<T, ApiFault>,
    ) -> Result<T, ApiFault> {
        let mut waiting = Waiting::default();
        loop {
            let fault = match self.token().await {
                Ok(token) => match question(&self.api, &token).await {
                    Ok(answer) => return Ok(answer),
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            waiting.after(fault, self, screen).await?;
        }
    }

    fn keep(&mut self, signed_in: SignedIn) -> Secret {
        let lasts = Duration::from_secs(u64::try_from(signed_in.expires_in).unwrap_or(0));
        let access = signed_in.access_token.clone();
        self.tokens = Some(Tokens {
            access: signed_in.access_token,
            refresh: signed_in.refresh_token,
            renew_at: Instant::now() + lasts.saturating_sub(EARLY),
        });
        access
    }
}

/// Waits between attempts, longer each time, and gives up when patience ends.
pub(super) struct Waiting {
    since: Instant,
    attempts: u32,
    fresh_tokens: u32,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            attempts: 0,
            fresh_tokens: 0,
        }
    }
}

impl Waiting {
    /// Returns when it is time to ask again.
    ///
    /// # Errors
    ///
    /// The fault itself, where asking again does not help or has not helped for long enough.
    pub(super) async fn after(
        &mut self,
        fault: ApiFault,
        session: &mut Session,
        screen: &mut Screen,
    ) -> Result<(), ApiFault> {
        if session.learns(&fault) {
            self.fresh_tokens += 1;
            return if self.fresh_tokens > 3 { Err(fault) } else { Ok(()) };
        }
        let Some(wait) = fault.worth_waiting() else {
            return Err(fault);
        };
        if self.since.elapsed() + wait > PATIENCE {
            return Err(fault);
        }
        if self.attempts == 2 {
            screen.note(&format!("({fault}; trying again)"));
        }
        self.attempts += 1;
        let longer = Duration::from_millis(250) * self.attempts.min(8);
        tokio::time::sleep(wait.max(longer)).await;
        Ok(())
    }
}
