//! `GET /openai/v1/models`: the personas.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use gaia_names::GameId;
use gaia_protocol::{
    api_keys::KeyScope,
    chat::{ListPersonas, PersonaCard},
};
use serde_json::{Value, json};

use super::{Refused, asker::Admitted};
use crate::{asked::Asked, game::Shared};

/// Lists the personas, in the game's order.
pub(crate) async fn list(State(game): State<Shared>, asked: Asked, admitted: Admitted) -> Result<Response, Refused> {
    let personas = personas(&game, &asked, &admitted).await?;
    let data: Vec<_> = personas.iter().map(|persona| model(&game.id, persona)).collect();
    let list = json!({ "object": "list", "data": data });
    Ok(admitted.tell(Json(list).into_response()))
}

/// Reads one.
pub(crate) async fn read(
    State(game): State<Shared>,
    asked: Asked,
    wanted: Result<Path<String>, PathRejection>,
    admitted: Admitted,
) -> Result<Response, Refused> {
    // What is no text is no persona's name either.
    let wanted = wanted.map(|Path(wanted)| wanted).unwrap_or_default();
    let personas = personas(&game, &asked, &admitted).await?;
    let found = personas.iter().find(|persona| persona.id.as_str() == wanted);
    let found = found.ok_or_else(|| Refused::no_model(&wanted))?;
    Ok(admitted.tell(Json(model(&game.id, found)).into_response()))
}

/// Whoever may talk to them may see them.
async fn personas(game: &Shared, asked: &Asked, admitted: &Admitted) -> Result<Vec<PersonaCard>, Refused> {
    let chat = admitted.asker.must(KeyScope::Chat);
    chat.or_else(|_| admitted.asker.must(KeyScope::Models))?;
    Ok(game.bus.ask(&asked.call(), &ListPersonas {}).await?)
}

/// When a persona was written nobody knows, and the format wants a number.
fn model(game: &GameId, persona: &PersonaCard) -> Value {
    json!({
        "id": persona.id,
        "object": "model",
        "created": 0,
        "owned_by": game,
        "name": persona.name,
        "description": persona.role,
    })
}
