//! What players can ask, one file per kind of thing.

pub(crate) mod conversations;
pub(crate) mod personas;
pub(crate) mod players;
pub(crate) mod sessions;
pub(crate) mod turns;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// 201 with the new thing and where it is.
pub(crate) fn created(location: &str, thing: &impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(thing)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
