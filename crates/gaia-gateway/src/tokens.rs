//! Who an access token belongs to: a JWT of this game, signed with EdDSA by one of its keys.

mod keys;
mod verified;

use std::time::{SystemTime, UNIX_EPOCH};

use gaia_names::GameId;
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{ACCESS_TOKEN_SECONDS, Caller, Claims, ISSUER},
};
use gaia_service::{Bus, Call};
use jsonwebtoken::{Algorithm, Validation};
use serde_json::Value;

use self::{keys::Keys, verified::VerifiedTokens};

/// Longer than any token of ours. What is longer is not looked at.
const LONGEST_TOKEN: usize = 2_048;

/// How long a token may hold from now on, in seconds: as long as one of ours, and what two clocks may differ.
const LONGEST_LIFE: i64 = ACCESS_TOKEN_SECONDS + 300;

/// A token that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) caller: Caller,
    /// In seconds since the Unix epoch.
    pub(crate) expires_at: i64,
}

/// Checks the access tokens of one game.
pub(crate) struct Tokens {
    keys: Keys,
    verified: VerifiedTokens,
    validation: Validation,
}

impl Tokens {
    pub(crate) fn new(game: &GameId, bus: &Bus) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[game.as_str()]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // The one place that compares with the clock is `unexpired`, for cached and fresh tokens alike.
        validation.validate_exp = false;
        Self {
            keys: Keys::new(bus),
            verified: VerifiedTokens::default(),
            validation,
        }
    }

    /// Who a token belongs to. Whether the session still holds is another question.
    ///
    /// # Errors
    ///
    /// `token_invalid`, `token_expired`, or `unavailable` where the game's keys cannot be had.
    pub(crate) async fn check(&self, call: &Call, token: &str) -> Result<Verified, Fault> {
        if token.len() > LONGEST_TOKEN {
            return Err(ErrorCode::TokenInvalid.into());
        }
        let digest = verified::digest(token);
        if let Some(known) = self.verified.get(&digest) {
            return unexpired(known);
        }
        let verified = Box::pin(self.verify(call, token)).await?;
        let verified = unexpired(verified)?;
        self.verified.insert(digest, verified);
        Ok(verified)
    }

    async fn verify(&self, call: &Call, token: &str) -> Result<Verified, Fault> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Fault::from(ErrorCode::TokenInvalid))?;
        let name = header.kid.filter(|_| header.alg == Algorithm::EdDSA);
        let name = name.ok_or_else(|| Fault::from(ErrorCode::TokenInvalid))?;
        let key = self.keys.named(call, &name).await?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)
            .map_err(|_| Fault::from(ErrorCode::TokenInvalid))?
            .claims;
        // Nobody of ours signs for longer, and a token that was checked holds whatever becomes of its key.
        if claims.exp > now() + LONGEST_LIFE {
            return Err(ErrorCode::TokenInvalid.into());
        }
        Ok(Verified {
            caller: Caller {
                player: claims.sub,
                session: claims.sid,
                role: claims.role,
            },
            expires_at: claims.exp,
        })
    }

    /// The game's public keys, for others who check its tokens.
    ///
    /// # Errors
    ///
    /// `unavailable` where they cannot be had.
    pub(crate) async fn public_keys(&self, call: &Call) -> Result<Value, Fault> {
        self.keys.document(call).await
    }
}

fn unexpired(token: Verified) -> Result<Verified, Fault> {
    if token.expires_at > now() {
        Ok(token)
    } else {
        Err(ErrorCode::TokenExpired.into())
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
