//! Every path of a game's port, grouped by who calls.

use axum::{
    Router,
    routing::{get, post},
};
use gaia_protocol::ErrorCode;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{conversations, personas, players, sessions, turns},
    documents,
    game::Shared,
    openai,
    problem::Refusal,
    realtime,
};

fn contents() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(documents::head())
        // For everybody: coming in.
        .routes(routes!(players::enter_as_guest))
        .routes(routes!(players::sign_up))
        .routes(routes!(sessions::sign_in, sessions::sign_out_everywhere))
        .routes(routes!(sessions::refresh))
        // For players: themselves.
        .routes(routes!(players::read_me, players::rename_me, players::delete_me))
        .routes(routes!(sessions::sign_out))
        // For players: talking.
        .routes(routes!(personas::list))
        .routes(routes!(personas::read))
        .routes(routes!(conversations::list, conversations::start))
        .routes(routes!(conversations::read, conversations::delete))
        .routes(routes!(turns::list, turns::take))
        .routes(routes!(turns::read))
        .routes(routes!(turns::cancel))
        .routes(routes!(turns::answer))
        .route("/v1/realtime", get(realtime::open))
        // For OpenAI's clients. What these take and give is OpenAI's to describe, so they are not in our document.
        .route("/openai/v1/models", get(openai::list_models))
        .route("/openai/v1/models/{model}", get(openai::read_model))
        .route("/openai/v1/chat/completions", post(openai::complete))
        .route("/openai/v1/responses", post(openai::respond))
        // For developers.
        .routes(routes!(documents::openapi_json))
        .routes(routes!(documents::asyncapi_json))
        .routes(routes!(documents::docs))
        // For others who check tokens, and for load balancers.
        .routes(routes!(documents::jwks))
        .routes(routes!(documents::live))
}

/// The router of one game.
pub(crate) fn router(game: &Shared) -> Router {
    contents()
        .split_for_parts()
        .0
        .fallback(|| async { Refusal::new(ErrorCode::NotFound, "There is no such path; see /docs.") })
        .method_not_allowed_fallback(|| async { Refusal::from(ErrorCode::MethodNotAllowed) })
        .with_state(game.clone())
}

/// What the paths say of themselves.
pub(crate) fn described() -> OpenApi {
    contents().split_for_parts().1
}
