//! Authority as an argument: a handler that takes a [`SignedInPlayer`] cannot be reached without one.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use gaia_protocol::{ErrorCode, Fault, auth::Caller};

use crate::{asked::Asked, game::Shared, problem::Refusal, tokens::Verified};

/// A player with a token of this game whose session holds, within their rate.
pub(crate) struct SignedInPlayer(pub(crate) Caller);

impl FromRequestParts<Shared> for SignedInPlayer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, game: &Shared) -> Result<Self, Refusal> {
        let token = bearer(&parts.headers)?.ok_or(ErrorCode::SignInFirst)?;
        let verified = admitted(game, asked(parts)?, token).await?;
        Ok(Self(verified.caller))
    }
}

/// Somebody who may be signed in: a guest who signs up stays the same player.
pub(crate) struct MaybePlayer(pub(crate) Option<Caller>);

impl FromRequestParts<Shared> for MaybePlayer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, game: &Shared) -> Result<Self, Refusal> {
        let Some(token) = bearer(&parts.headers)? else {
            return Ok(Self(None));
        };
        let verified = admitted(game, asked(parts)?, token).await?;
        Ok(Self(Some(verified.caller)))
    }
}

/// An attempt to get tokens, within the rate of its address.
pub(crate) struct Attempt;

impl FromRequestParts<Shared> for Attempt {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, game: &Shared) -> Result<Self, Refusal> {
        game.admission.admit_attempt(asked(parts)?.peer).await?;
        Ok(Self)
    }
}

/// Checks a token and its session, and counts the request.
pub(crate) async fn admitted(game: &Shared, asked: &Asked, token: &str) -> Result<Verified, Fault> {
    let call = asked.call();
    let verified = game.tokens.check(&call, token).await?;
    game.admission.admit(&call, &verified.caller).await?;
    Ok(verified)
}

/// The bearer token, if there is an `Authorization` header at all.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ErrorCode> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return match headers.contains_key(header::AUTHORIZATION) {
            true => Err(ErrorCode::TokenInvalid),
            false => Ok(None),
        };
    };
    let text = header.to_str().map_err(|_| ErrorCode::TokenInvalid)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(ErrorCode::TokenInvalid),
    }
}

fn asked(parts: &Parts) -> Result<&Asked, Refusal> {
    parts
        .extensions
        .get::<Asked>()
        .ok_or_else(|| ErrorCode::Internal.into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_token_is_taken() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(bearer(&headers(&[])), Ok(None));
        assert_eq!(bearer(&headers(&["Bearer abc"])), Ok(Some("abc")));
        assert_eq!(bearer(&headers(&["bearer  abc"])), Ok(Some("abc")));
        for bad in [
            &["Basic YTpi"][..],
            &["Bearer"],
            &["abc"],
            &["Bearer a", "Bearer b"],
            &[""],
        ] {
            assert_eq!(bearer(&headers(bad)), Err(ErrorCode::TokenInvalid), "{bad:?}");
        }
    }
}
