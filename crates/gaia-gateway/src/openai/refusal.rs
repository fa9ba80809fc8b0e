//! Refusals as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gaia_protocol::{ErrorCode, Fault};
use serde_json::{Value, json};

use super::asker::duration;
use crate::problem::Refusal;

/// A request that was not done, why, and which parameter is to blame.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(super) fault: Fault,
    blamed: Blamed,
}

/// What OpenAI's clients are told beyond what ours are. It travels with the answer until it is rendered.
#[derive(Clone, Debug, Default)]
struct Blamed {
    param: Option<Cow<'static, str>>,
    code: Option<&'static str>,
}

impl Refused {
    /// A parameter whose value cannot be taken.
    pub(super) fn of(param: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::from(Fault::new(ErrorCode::InvalidInput, detail)).blaming(param, None)
    }

    /// Something that OpenAI's models can do and a persona cannot.
    pub(super) fn unsupported(param: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::from(Fault::new(ErrorCode::InvalidInput, detail)).blaming(param, Some("unsupported_parameter"))
    }

    /// No persona of this name.
    pub(super) fn no_model(model: &str) -> Self {
        // What was asked for may be hostile and long.
        let model: String = model.chars().take(60).flat_map(char::escape_default).collect();
        let detail = format!("The model `{model}` does not exist; the game's characters are listed under `/models`.");
        Self::from(Fault::new(ErrorCode::NotFound, detail)).blaming("model", Some("model_not_found"))
    }

    pub(super) fn blaming(mut self, param: impl Into<Cow<'static, str>>, code: Option<&'static str>) -> Self {
        let param = Some(param.into());
        self.blamed = Blamed { param, code };
        self
    }

    /// The body.
    pub(super) fn to_json(&self) -> Value {
        body(&self.fault, &self.blamed)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let blamed = Blamed::default();
        Self { fault, blamed }
    }
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Fault::from(code).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Refusal(self.fault).into_response();
        response.extensions_mut().insert(self.blamed);
        response
    }
}

/// The whole answer to a refused request.
pub(crate) fn render(mut response: Response, refusal: &Refusal) -> Response {
    let fault = &refusal.0;
    let blamed = response.extensions_mut().remove::<Blamed>().unwrap_or_default();
    let text = body(fault, &blamed).to_string();
    *response.status_mut() = status(fault.code);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    if let Some(wait) = fault.retry_after_ms {
        headers.insert(header::RETRY_AFTER, wait.div_ceil(1_000).max(1).into());
        headers.insert(HeaderName::from_static("retry-after-ms"), wait.into());
        let reset = HeaderValue::from_str(&duration(Duration::from_millis(wait)));
        if let (ErrorCode::RateLimited, Ok(reset)) = (fault.code, reset) {
            headers.insert(
                HeaderName::from_static("x-ratelimit-remaining-requests"),
                HeaderValue::from_static("0"),
            );
            headers.insert(HeaderName::from_static("x-ratelimit-reset-requests"), reset);
        }
    }
    if fault.code.status() == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = Body::from(text);
    response
}

fn body(fault: &Fault, blamed: &Blamed) -> Value {
    json!({ "error": {
        "message": fault.detail,
        "type": kind(fault.code),
        "param": blamed.param,
        "code": blamed.code.unwrap_or_else(|| word(fault.code)),
    }})
}

/// OpenAI has no 422: a value that cannot be taken is a bad request, and so is a key that was used for something else.
/// A conflict its clients would only send again.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidInput | ErrorCode::TurnMismatch => StatusCode::BAD_REQUEST,
        _ => StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn kind(code: ErrorCode) -> &'static str {
    match code.status() {
        _ if code == ErrorCode::RateLimited => "requests",
        403 => "permission_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// OpenAI's word where it has one, else ours.
fn word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::SignInFirst | ErrorCode::TokenInvalid => "invalid_api_key",
        ErrorCode::InvalidInput => "invalid_value",
        ErrorCode::RateLimited => "rate_limit_exceeded",
        ErrorCode::NotFound => "unknown_url",
        _ => code.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_parameter_and_openais_word() {
        let body = Refused::no_model("gpt-4o\u{1b}[2J").to_json();
        let error = &body["error"];
        assert_eq!(
            (&error["param"], &error["code"]),
            (&json!("model"), &json!("model_not_found"))
        );
        assert!(error["message"].as_str().unwrap().contains("gpt-4o\\u{1b}"), "{error}");
        let plain = Refused::from(ErrorCode::TokenInvalid).to_json();
        assert_eq!(plain["error"]["param"], Value::Null);
        assert_eq!(plain["error"]["code"], "invalid_api_key");
    }

    #[test]
    fn no_refusal_has_a_status_that_openais_clients_do_not_know() {
        for code in ErrorCode::ALL {
            assert_ne!(status(*code).as_u16(), 422, "{code}");
            assert_eq!(kind(*code) == "server_error", status(*code).is_server_error(), "{code}");
        }
    }
}
