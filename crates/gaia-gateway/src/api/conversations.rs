//! Conversations: rows of turns with one persona.

use axum::{extract::State, http::StatusCode, response::Response};
use gaia_protocol::chat::{
    Conversation, DeleteConversation, ListConversations, Page, ReadConversation, StartConversation,
};

use super::created;
use crate::{
    asked::Asked,
    caller::SignedInPlayer,
    extract::{Body, ConversationPage, Listing, Named, OneConversation},
    game::{Raw, Shared},
    inputs::NewConversation,
    problem::Refusal,
};

/// Begin to talk to a character
#[utoipa::path(post, path = "/v1/conversations", tag = "conversations", security(("token" = [])),
    request_body = NewConversation,
    responses(
        (status = 201, description = "The conversation.", body = Conversation),
        (status = 404, description = "The game has no such character.")))]
pub(crate) async fn start(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Body(NewConversation {
        persona,
        title,
        may_answer_later,
    }): Body<NewConversation>,
) -> Result<Response, Refusal> {
    let question = StartConversation {
        caller,
        persona,
        title,
        may_answer_later,
    };
    let conversation = game.bus.ask(&asked.call(), &question).await?;
    Ok(created(
        &format!("/v1/conversations/{}", conversation.id),
        &conversation,
    ))
}

/// List your conversations
///
/// The one you talked in last comes first.
#[utoipa::path(get, path = "/v1/conversations", tag = "conversations", security(("token" = [])), params(ConversationPage),
    responses((status = 200, description = "One page.", body = Page<Conversation>)))]
pub(crate) async fn list(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Listing { limit, before }: Listing,
) -> Result<Raw, Refusal> {
    game.hand_on(&asked, &ListConversations { caller, limit, before }).await
}

/// Read a conversation
#[utoipa::path(get, path = "/v1/conversations/{conversation}", tag = "conversations", security(("token" = [])),
    params(OneConversation),
    responses((status = 200, description = "The conversation.", body = Conversation)))]
pub(crate) async fn read(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneConversation { conversation }): Named<OneConversation>,
) -> Result<Raw, Refusal> {
    game.hand_on(&asked, &ReadConversation { caller, conversation }).await
}

/// Delete a conversation with all its turns
#[utoipa::path(delete, path = "/v1/conversations/{conversation}", tag = "conversations", security(("token" = [])),
    params(OneConversation),
    responses(
        (status = 204, description = "Deleted."),
        (status = 409, description = "A turn of it is still running: cancel it first.")))]
pub(crate) async fn delete(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneConversation { conversation }): Named<OneConversation>,
) -> Result<StatusCode, Refusal> {
    game.bus
        .ask(&asked.call(), &DeleteConversation { caller, conversation })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
