//! Whether a request is let in: does the session still hold, and is the caller within its rate?
//!
//! Redis answers both in one round trip. Where it cannot, `auth` answers the first and this process's memory the second.

mod script;
mod sessions;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use gaia_names::{KeyId, PlayerId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{Caller, SessionState},
    settings::GatewayGame,
};
use gaia_service::{Bus, Call, Redis};

use self::{
    script::{Script, Verdict},
    sessions::Sessions,
};
use crate::{
    api_keys::HeldKey,
    rate::{Rate, Rates},
};

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Player(PlayerId),
    Key(KeyId),
}

/// How a caller's requests stand after one more was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// How many may come at once from somebody who has not asked for a while.
    pub(crate) limit: u32,
    /// How many more may come at once now.
    pub(crate) remaining: u32,
    /// How long until all of them may again.
    pub(crate) reset: Duration,
}

/// Lets requests of one game in.
pub(crate) struct Admission {
    script: Script,
    sessions: Sessions,
    of_a_player: Rate,
    of_an_address: Rate,
    callers_here: Rates<Counted>,
    addresses_here: Rates<IpAddr>,
}

impl Admission {
    pub(crate) fn new(settings: &GatewayGame, bus: &Bus, redis: &Redis) -> Self {
        Self {
            script: Script::new(redis),
            sessions: Sessions::new(bus),
            of_a_player: Rate::per_minute(settings.requests_per_minute),
            of_an_address: Rate::per_minute(settings.sign_ins_per_minute),
            callers_here: Rates::default(),
            addresses_here: Rates::default(),
        }
    }

    /// Lets one request of a player in.
    ///
    /// # Errors
    ///
    /// `session_ended`, `rate_limited`, or `unavailable` where nobody can say whether the session holds.
    pub(crate) async fn admit(&self, call: &Call, caller: &Caller) -> Result<Standing, Fault> {
        self.let_in(call, caller, Counted::Player(caller.player), &self.of_a_player)
            .await
    }

    /// Lets one request with a key in, counted for the key whomever it speaks for.
    ///
    /// # Errors
    ///
    /// `token_invalid` where it was revoked, `rate_limited`, or `unavailable` where nobody can say whether it was.
    pub(crate) async fn admit_key(&self, call: &Call, key: &HeldKey) -> Result<Standing, Fault> {
        // What is known of it is forgotten under its own id, not under that of a player.
        let caller = key.caller(PlayerId(key.id.0));
        let admitted = self.let_in(call, &caller, Counted::Key(key.id), &key.rate).await;
        admitted.map_err(|fault| match fault.code {
            ErrorCode::SessionEnded => Fault::new(ErrorCode::TokenInvalid, "The key was revoked."),
            _ => fault,
        })
    }

    async fn let_in(&self, call: &Call, caller: &Caller, counted: Counted, rate: &Rate) -> Result<Standing, Fault> {
        let standing = |ahead| Standing {
            limit: rate.burst(),
            remaining: rate.room(ahead),
            reset: ahead,
        };
        match self.script.session(caller.session, Some((counted, rate))).await {
            Ok(Verdict::Admitted(ahead)) => Ok(standing(ahead)),
            Ok(Verdict::Ended) => Err(ErrorCode::SessionEnded.into()),
            Ok(Verdict::Limited(wait)) => Err(limited(wait)),
            Ok(Verdict::Unknown(ahead)) => self.ask_auth(call, caller).await.map(|()| standing(ahead)),
            Err(_) => {
                self.callers_here.take(counted, rate, Instant::now()).map_err(limited)?;
                // Counted here alone, so only that there was room for this one is known.
                self.ask_auth(call, caller).await.map(|()| standing(rate.interval))
            }
        }
    }

    /// Whether a session still holds, without counting a request.
    ///
    /// # Errors
    ///
    /// `session_ended`, or `unavailable` where nobody can say.
    pub(crate) async fn still_holds(&self, call: &Call, caller: &Caller) -> Result<(), Fault> {
        match self.script.session(caller.session, None).await {
            Ok(Verdict::Ended) => Err(ErrorCode::SessionEnded.into()),
            Ok(Verdict::Admitted(_) | Verdict::Limited(_)) => Ok(()),
            Ok(Verdict::Unknown(_)) | Err(_) => self.ask_auth(call, caller).await,
        }
    }

    /// Lets one attempt to sign in, sign up or refresh in. They are counted by address.
    ///
    /// # Errors
    ///
    /// `rate_limited`.
    pub(crate) async fn admit_attempt(&self, peer: IpAddr) -> Result<(), Fault> {
        let network = network(peer);
        match self.script.attempt(network, &self.of_an_address).await {
            Ok(Verdict::Limited(wait)) => Err(limited(wait)),
            Ok(_) => Ok(()),
            Err(_) => self
                .addresses_here
                .take(network, &self.of_an_address, Instant::now())
                .map_err(limited),
        }
    }

    /// Forgets what is known of a player's sessions, because the player has just ended some.
    pub(crate) fn forget(&self, player: PlayerId) {
        self.sessions.forget(player);
    }

    async fn ask_auth(&self, call: &Call, caller: &Caller) -> Result<(), Fault> {
        match Box::pin(self.sessions.state(call, caller)).await? {
            SessionState::Open => Ok(()),
            SessionState::Ended => Err(ErrorCode::SessionEnded.into()),
        }
    }
}

fn limited(wait: Duration) -> Fault {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    Fault::from(ErrorCode::RateLimited).retry_after_ms(wait)
}

/// What counts as one address: an IPv6 subscriber has at least a /64 to choose from.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(prefix.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_subscriber_is_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
