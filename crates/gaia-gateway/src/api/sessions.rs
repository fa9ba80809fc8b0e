//! Sessions: signing in, going on, and signing out.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gaia_protocol::auth::{RefreshSession, SignIn, SignOut, SignedIn};

use super::created;
use crate::{
    asked::Asked,
    caller::{Attempt, SignedInPlayer},
    extract::Body,
    game::Shared,
    inputs::{Credentials, Refresh},
    problem::Refusal,
};

/// Sign in with email and password
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = Credentials,
    responses(
        (status = 201, description = "Signed in.", body = SignedIn),
        (status = 401, description = "The email or the password is wrong."),
        (status = 429)))]
pub(crate) async fn sign_in(
    State(game): State<Shared>,
    asked: Asked,
    _: Attempt,
    Body(Credentials { email, password }): Body<Credentials>,
) -> Result<Response, Refusal> {
    let signed_in = game.bus.ask(&asked.call(), &SignIn { email, password }).await?;
    Ok(created("/v1/sessions/current", &signed_in))
}

/// Exchange a refresh token for the next pair of tokens
///
/// Each refresh token can be used once. A second use ends the session, because one of the two users stole it.
#[utoipa::path(post, path = "/v1/sessions/refresh", tag = "sessions", request_body = Refresh,
    responses(
        (status = 200, description = "The next pair.", body = SignedIn),
        (status = 401, description = "The refresh token is not valid, was used before, or its session has ended."),
        (status = 429)))]
pub(crate) async fn refresh(
    State(game): State<Shared>,
    asked: Asked,
    _: Attempt,
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<Response, Refusal> {
    let signed_in = game.bus.ask(&asked.call(), &RefreshSession { refresh_token }).await?;
    Ok(Json(signed_in).into_response())
}

/// Sign out here
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "sessions", security(("token" = [])),
    responses((status = 204, description = "The session has ended; its tokens are refused from now on.")))]
pub(crate) async fn sign_out(
    State(game): State<Shared>,
    asked: Asked,
    player: SignedInPlayer,
) -> Result<StatusCode, Refusal> {
    end(&game, &asked, player, false).await
}

/// Sign out everywhere
#[utoipa::path(delete, path = "/v1/sessions", tag = "sessions", security(("token" = [])),
    responses((status = 204, description = "All your sessions have ended.")))]
pub(crate) async fn sign_out_everywhere(
    State(game): State<Shared>,
    asked: Asked,
    player: SignedInPlayer,
) -> Result<StatusCode, Refusal> {
    end(&game, &asked, player, true).await
}

async fn end(game: &Shared, asked: &Asked, player: SignedInPlayer, everywhere: bool) -> Result<StatusCode, Refusal> {
    let SignedInPlayer(caller) = player;
    let ended = game.bus.ask(&asked.call(), &SignOut { caller, everywhere }).await;
    // Even a failure may have ended the session: what was known before it is not relied on.
    game.admission.forget(caller.player);
    ended?;
    Ok(StatusCode::NO_CONTENT)
}
