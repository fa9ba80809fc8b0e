//! Personas: whom one can talk to.

use axum::{Json, extract::State};
use gaia_protocol::{
    ErrorCode,
    chat::{ListPersonas, PersonaCard},
};

use crate::{
    asked::Asked,
    caller::SignedInPlayer,
    extract::{Named, OnePersona},
    game::{Raw, Shared},
    problem::Refusal,
};

/// List the characters
#[utoipa::path(get, path = "/v1/personas", tag = "personas", security(("token" = [])),
    responses((status = 200, description = "All of them, in the game's order.", body = Vec<PersonaCard>)))]
pub(crate) async fn list(State(game): State<Shared>, asked: Asked, _: SignedInPlayer) -> Result<Raw, Refusal> {
    game.hand_on(&asked, &ListPersonas {}).await
}

/// Read one character
#[utoipa::path(get, path = "/v1/personas/{persona}", tag = "personas", security(("token" = [])), params(OnePersona),
    responses((status = 200, description = "The character.", body = PersonaCard)))]
pub(crate) async fn read(
    State(game): State<Shared>,
    asked: Asked,
    _: SignedInPlayer,
    Named(OnePersona { persona }): Named<OnePersona>,
) -> Result<Json<PersonaCard>, Refusal> {
    let all = game.bus.ask(&asked.call(), &ListPersonas {}).await?;
    let found = all.into_iter().find(|card| card.id == persona);
    let found = found.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "This game has no such character."))?;
    Ok(Json(found))
}
