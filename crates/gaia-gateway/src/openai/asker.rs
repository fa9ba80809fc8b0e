//! Who asks: a player with an access token, or a program with one of the game's keys that speaks for a player.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, request::Parts},
    response::Response,
};
use gaia_protocol::{
    ErrorCode, Fault,
    api_keys::{KeyScope, LONGEST_PLAYER_NAME, game_of_key},
    auth::Caller,
};

use super::Refused;
use crate::{admission::Standing, api_keys::HeldKey, asked::Asked, caller::bearer, game::Shared};

/// Somebody who was let in, and how their requests stand now.
pub(crate) struct Admitted {
    pub(super) asker: Asker,
    standing: Standing,
}

/// Who asks.
pub(super) enum Asker {
    Player(Caller),
    Key(Arc<HeldKey>),
}

impl FromRequestParts<Shared> for Admitted {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, game: &Shared) -> Result<Self, Refused> {
        let asked = Asked::from_request_parts(parts, game)
            .await
            .map_err(|refusal| refusal.0)?;
        let given = bearer(&parts.headers)?.ok_or_else(|| {
            let detail = "Send an API key or an access token of this game as `Authorization: Bearer ...`.";
            Fault::new(ErrorCode::SignInFirst, detail)
        })?;
        let call = asked.call();
        if game_of_key(given).is_some() {
            let key = game.api_keys.check(&call, asked.peer, given).await?;
            let standing = game.admission.admit_key(&call, &key).await?;
            let asker = Asker::Key(key);
            return Ok(Self { asker, standing });
        }
        let caller = game.tokens.check(&call, given).await?.caller;
        let standing = game.admission.admit(&call, &caller).await?;
        let asker = Asker::Player(caller);
        Ok(Self { asker, standing })
    }
}

impl Admitted {
    /// Refuses whoever may not talk to personas.
    pub(super) fn must_chat(&self) -> Result<(), Refused> {
        self.asker.must(KeyScope::Chat)
    }

    /// Says in OpenAI's headers how the caller's requests stand.
    pub(super) fn tell(&self, mut response: Response) -> Response {
        let Standing {
            limit,
            remaining,
            reset,
        } = self.standing;
        let headers = response.headers_mut();
        let mut tell = |name, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
        tell("x-ratelimit-limit-requests", limit.into());
        tell("x-ratelimit-remaining-requests", remaining.into());
        if let Ok(reset) = HeaderValue::from_str(&duration(reset)) {
            tell("x-ratelimit-reset-requests", reset);
        }
        response
    }
}

/// A time as OpenAI writes it: `17ms`, `1.5s`.
pub(super) fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1_000 => format!("{millis}ms"),
        _ => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
    }
}

impl Asker {
    /// Refuses a key that was not made for this. A player may do what players may.
    pub(super) fn must(&self, scope: KeyScope) -> Result<(), Refused> {
        match self {
            Self::Key(key) if !key.may(scope) => {
                let detail = format!("The key is not for this: it lacks the scope `{}`.", scope.as_str());
                Err(Fault::new(ErrorCode::Forbidden, detail).into())
            }
            _ => Ok(()),
        }
    }

    /// Which player it is. Only the holder of a key can name another than itself: what a player's own client names is
    /// not even looked at.
    pub(super) async fn player(&self, game: &Shared, asked: &Asked, named: Option<String>) -> Result<Caller, Refused> {
        match self {
            Self::Player(caller) => Ok(*caller),
            Self::Key(key) => {
                if named.as_ref().is_some_and(|name| name.len() > LONGEST_PLAYER_NAME) {
                    let detail = format!("`safety_identifier` must have at most {LONGEST_PLAYER_NAME} bytes.");
                    return Err(Refused::of("safety_identifier", detail));
                }
                let player = game.api_keys.player(&asked.call(), key.id, named).await?;
                Ok(key.caller(player))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_openai_writes_it() {
        for (millis, text) in [(0, "0ms"), (999, "999ms"), (1_000, "1.0s"), (61_250, "61.2s")] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
