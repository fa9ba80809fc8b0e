//! Players: coming in, signing up, and looking after oneself.

use axum::{extract::State, http::StatusCode, response::Response};
use gaia_protocol::auth::{DeletePlayer, EnterAsGuest, Player, ReadPlayer, RenamePlayer, SignUp, SignedIn};

use super::created;
use crate::{
    asked::Asked,
    caller::{Attempt, MaybePlayer, SignedInPlayer},
    extract::Body,
    game::{Raw, Shared},
    inputs::{NewGuest, NewName, NewPlayer},
    problem::Refusal,
};

/// Come in as a guest
///
/// The same device is the same player until that player signs up.
#[utoipa::path(post, path = "/v1/players/guest", tag = "players", request_body = NewGuest,
    responses((status = 201, description = "Signed in.", body = SignedIn), (status = 429)))]
pub(crate) async fn enter_as_guest(
    State(game): State<Shared>,
    asked: Asked,
    _: Attempt,
    Body(guest): Body<NewGuest>,
) -> Result<Response, Refusal> {
    let question = EnterAsGuest {
        device_id: guest.device_id,
        display_name: guest.display_name,
    };
    let signed_in = game.bus.ask(&asked.call(), &question).await?;
    Ok(created("/v1/players/me", &signed_in))
}

/// Sign up
///
/// A guest who sends a token beside stays the same player, with everything that belongs to them.
#[utoipa::path(post, path = "/v1/players", tag = "players", request_body = NewPlayer, security((), ("token" = [])),
    responses(
        (status = 201, description = "Signed in.", body = SignedIn),
        (status = 403, description = "The player whose token was sent has signed up already."),
        (status = 409, description = "There is a player with this email already."),
        (status = 429)))]
pub(crate) async fn sign_up(
    State(game): State<Shared>,
    asked: Asked,
    _: Attempt,
    MaybePlayer(caller): MaybePlayer,
    Body(player): Body<NewPlayer>,
) -> Result<Response, Refusal> {
    let question = SignUp {
        caller,
        email: player.email,
        password: player.password,
        display_name: player.display_name,
    };
    let signed_in = game.bus.ask(&asked.call(), &question).await?;
    Ok(created("/v1/players/me", &signed_in))
}

/// Read yourself
#[utoipa::path(get, path = "/v1/players/me", tag = "players", security(("token" = [])),
    responses((status = 200, description = "You.", body = Player)))]
pub(crate) async fn read_me(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
) -> Result<Raw, Refusal> {
    game.hand_on(&asked, &ReadPlayer { caller }).await
}

/// Change your name
#[utoipa::path(patch, path = "/v1/players/me", tag = "players", security(("token" = [])), request_body = NewName,
    responses((status = 200, description = "You, with the new name.", body = Player)))]
pub(crate) async fn rename_me(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Body(NewName { display_name }): Body<NewName>,
) -> Result<Raw, Refusal> {
    game.hand_on(&asked, &RenamePlayer { caller, display_name }).await
}

/// Delete your account
///
/// Everything that is kept of you goes with it: conversations, memories and sessions.
#[utoipa::path(delete, path = "/v1/players/me", tag = "players", security(("token" = [])),
    responses((status = 204, description = "Deleted.")))]
pub(crate) async fn delete_me(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
) -> Result<StatusCode, Refusal> {
    let deleted = game.bus.ask(&asked.call(), &DeletePlayer { caller }).await;
    // Even a failure may have ended the player's sessions: what was known before it is not relied on.
    game.admission.forget(caller.player);
    deleted?;
    Ok(StatusCode::NO_CONTENT)
}
