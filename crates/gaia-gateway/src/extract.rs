//! What handlers take from a request, with every way in which it can be wrong turned into a refusal.

mod costs;
mod listing;

use std::time::Duration;

use axum::{
    body::Body as HttpBody,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::PathRejection},
    http::{HeaderMap, header, request::Parts},
};
use futures::StreamExt;
use gaia_names::{ConversationId, PersonaId, TurnId};
use gaia_protocol::{ErrorCode, Fault};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

pub(crate) use self::{
    costs::CostsQuestion,
    listing::{ConversationPage, Listing, TurnPage},
};
use crate::{
    inputs::{Checked, hyphenated},
    problem::Refusal,
};

/// The largest body of the player's API, in bytes.
pub(crate) const LARGEST_BODY: usize = 64 * 1024;
/// How long the whole body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);

/// A JSON body that keeps its rules.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Checked> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let input: T = json(request, LARGEST_BODY).await?;
        input.check()?;
        Ok(Self(input))
    }
}

/// Reads a whole body of a bounded size in a bounded time and parses it.
pub(crate) async fn json<T: DeserializeOwned>(request: Request, most: usize) -> Result<T, Refusal> {
    Ok(parse(&json_bytes(request, most).await?)?)
}

/// Reads a whole body of a bounded size in a bounded time that says it is JSON.
pub(crate) async fn json_bytes(request: Request, most: usize) -> Result<Vec<u8>, Refusal> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(ErrorCode::UnsupportedMediaType.into());
    }
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > most) {
        return Err(too_large(most));
    }
    tokio::time::timeout(BODY_TIME, whole(body, most))
        .await
        .map_err(|_| Refusal::from(ErrorCode::RequestTimeout))?
}

async fn whole(body: HttpBody, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::new(ErrorCode::BadRequest, "The body broke off."))?;
        if bytes.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(
        ErrorCode::BodyTooLarge,
        format!("The body must have at most {} KiB.", most / 1024),
    )
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Parses JSON. The message names the field and the place, and never a value.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    parse_at(bytes).map_err(|(_, fault)| fault)
}

/// The same, with the field that cannot be taken, where it is one.
pub(crate) fn parse_at<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (Option<String>, Fault)> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let input = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = (path != "." && error.inner().is_data()).then(|| shown(&path));
        (field, told(&path, error.inner()))
    })?;
    deserializer.end().map_err(|error| (None, told(".", &error)))?;
    Ok(input)
}

fn told(path: &str, error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    if !error.is_data() {
        let detail = format!("The body is not valid JSON at line {line}, column {column}.");
        return Fault::new(ErrorCode::BadRequest, detail);
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    // serde's messages have the value before "expected" and only our own words after it.
    let expected = text.rsplit_once("expected ").map(|(_, expected)| expected);
    let rule = match expected {
        _ if text.starts_with("missing field") || text.starts_with("duplicate field") => text.to_owned(),
        Some(expected) if text.starts_with("unknown field") => format!("unknown field, expected {expected}"),
        Some(expected) => format!("expected {expected}"),
        None => "the value cannot be taken".to_owned(),
    };
    let detail = match path {
        "." => format!("In the body at line {line}, column {column}: {rule}."),
        _ => format!("`{}` at line {line}, column {column}: {rule}.", shown(path)),
    };
    Fault::new(ErrorCode::InvalidInput, detail)
}

/// The beginning of a field's name, which may be hostile.
fn shown(path: &str) -> String {
    path.chars().take(40).flat_map(char::escape_default).collect()
}

/// Names in a path.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(PathRejection::FailedToDeserializePathParams(_)) => Err(Refusal::new(
                ErrorCode::InvalidInput,
                "A name in the path cannot be taken: conversations, turns and players are UUIDs with hyphens, games and \
                 personas are words in lower case.",
            )),
            Err(_) => Err(ErrorCode::NotFound.into()),
        }
    }
}

/// `/v1/personas/{persona}`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OnePersona {
    /// The persona's name.
    #[param(value_type = String, min_length = 2, max_length = 40, pattern = "^[a-z][a-z0-9_-]{0,38}[a-z0-9]$")]
    pub(crate) persona: PersonaId,
}

/// `/v1/conversations/{conversation}`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OneConversation {
    /// The conversation's id.
    #[serde(deserialize_with = "hyphenated")]
    #[param(value_type = uuid::Uuid)]
    pub(crate) conversation: ConversationId,
}

/// `/v1/conversations/{conversation}/turns/{turn}`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OneTurn {
    /// The conversation's id.
    #[serde(deserialize_with = "hyphenated")]
    #[param(value_type = uuid::Uuid)]
    pub(crate) conversation: ConversationId,
    /// The turn's id.
    #[serde(deserialize_with = "hyphenated")]
    #[param(value_type = uuid::Uuid)]
    pub(crate) turn: TurnId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::{NewPlayer, NewTurn};

    fn refused<T: DeserializeOwned>(body: &str) -> Fault {
        parse::<T>(body.as_bytes()).err().expect("it was taken")
    }

    #[test]
    fn a_refused_body_names_the_field_and_never_the_value() {
        for (body, code, names) in [
            ("{", ErrorCode::BadRequest, "line 1"),
            ("", ErrorCode::BadRequest, "line 1"),
            ("{} {}", ErrorCode::InvalidInput, "`email`"),
            ("[]", ErrorCode::InvalidInput, "expected"),
            (r#"{"email":"a@b.c"}"#, ErrorCode::InvalidInput, "`password`"),
            (r#"{"email":7654321,"password":""}"#, ErrorCode::InvalidInput, "`email`"),
            (
                r#"{"email":"x","password":["hunter2"]}"#,
                ErrorCode::InvalidInput,
                "`password`",
            ),
            (
                r#"{"email":"x","password":"hunter2","is_admin":true}"#,
                ErrorCode::InvalidInput,
                "`is_admin`",
            ),
            (r#"{"email":"x","email":"hunter2"}"#, ErrorCode::InvalidInput, "email"),
        ] {
            let fault = refused::<NewPlayer>(body);
            assert_eq!(fault.code, code, "{body}: {fault}");
            assert!(fault.detail.contains(names), "{body}: {fault}");
            assert!(
                !fault.detail.contains("hunter2") && !fault.detail.contains("7654321"),
                "{fault}"
            );
        }
    }

    #[test]
    fn a_hostile_key_is_shown_short_and_escaped() {
        let body = format!(r#"{{"text":"hi","{}":1}}"#, "\\u001b[2J".repeat(5_000));
        let detail = refused::<NewTurn>(&body).detail;
        assert!(detail.len() < 600 && !detail.contains('\u{1b}'), "{detail}");
    }

    #[test]
    fn text_after_the_body_is_refused() {
        assert_eq!(refused::<NewTurn>(r#"{"text":"hi"} x"#).code, ErrorCode::BadRequest);
    }
}
