//! Refusals as `application/problem+json` (RFC 9457).
//!
//! A handler answers with a [`Refusal`]; `edge` turns it into the body, where the request's id is known.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gaia_names::GameId;
use gaia_protocol::{ErrorCode, Fault};
use serde::Serialize;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A request that was not done, and why.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(pub(crate) Fault);

impl Refusal {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Fault::new(code, detail))
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self(code.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a request was refused.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Problem<'a> {
    /// What kind of refusal it is, as a link into the documentation.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    kind: String,
    /// The kind in one sentence.
    title: &'static str,
    /// The HTTP status again.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// This occurrence, in a sentence that says what to do next.
    detail: &'a str,
    /// The stable code: match on this.
    code: ErrorCode,
    /// The request's id, as in `X-Request-Id`: give it to whoever looks after the game.
    request: &'a str,
}

impl<'a> Problem<'a> {
    pub(crate) fn of(fault: &'a Fault, request: &'a str) -> Self {
        Self {
            kind: format!("/docs#{}", fault.code),
            title: fault.code.title(),
            status: fault.code.status(),
            detail: &fault.detail,
            code: fault.code,
            request,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The whole answer to a refused request.
pub(crate) fn render(mut response: Response, refusal: &Refusal, request: &str, game: Option<&GameId>) -> Response {
    let fault = &refusal.0;
    let text = Problem::of(fault, request).to_json();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    if let Some(wait) = fault.retry_after_ms {
        headers.insert(header::RETRY_AFTER, wait.div_ceil(1_000).max(1).into());
    }
    if fault.code.status() == 401
        && let Ok(challenge) = HeaderValue::from_str(&challenge(fault.code, game))
    {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    *response.body_mut() = Body::from(text);
    response
}

/// What to authenticate with (RFC 6750, section 3). Whoever sent no token gets no error beside it.
fn challenge(code: ErrorCode, game: Option<&GameId>) -> String {
    let realm = game.map_or("admin", GameId::as_str);
    match code {
        ErrorCode::TokenExpired | ErrorCode::TokenInvalid | ErrorCode::SessionEnded => format!(
            "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{}\"",
            code.title()
        ),
        _ => format!("Bearer realm=\"{realm}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(fault: Fault) -> Response {
        let refusal = Refusal(fault);
        render(
            refusal.clone().into_response(),
            &refusal,
            "req_1",
            "kos".parse().ok().as_ref(),
        )
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let response = rendered(Fault::from(ErrorCode::RateLimited).retry_after_ms(1_001));
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn a_bad_token_is_told_from_none() {
        let bad = rendered(ErrorCode::TokenExpired.into());
        let none = rendered(ErrorCode::SignInFirst.into());
        let challenge = |response: &Response| {
            response.headers()[header::WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert!(challenge(&bad).contains("invalid_token"), "{}", challenge(&bad));
        assert_eq!(challenge(&none), "Bearer realm=\"kos\"");
    }

    #[test]
    fn every_code_has_a_status_that_a_problem_may_have() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
            assert!(StatusCode::from_u16(code.status()).is_ok(), "{code}");
        }
    }
}
