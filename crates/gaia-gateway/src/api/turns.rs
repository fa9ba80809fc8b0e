//! Turns: saying something, hearing the reply, and coming back to it.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use gaia_names::TurnId;
use gaia_protocol::{
    ErrorCode,
    chat::{ListTurns, Page, PlayerAnswer, ReadTurn, Turn, TurnEvent, TurnState},
};
use serde_json::Value;

use super::created;
use crate::{
    accept,
    asked::Asked,
    caller::SignedInPlayer,
    extract::{Body, Listing, Named, OneConversation, OneTurn, TurnPage},
    game::{Raw, Shared},
    inputs::{NewAnswer, NewTurn},
    problem::Refusal,
    routes,
    turns::{Following, Place, answer as answer_turn, cancel as cancel_turn, events},
};

/// List a conversation's turns
///
/// The newest comes first.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/turns", tag = "turns", security(("token" = [])),
    params(OneConversation, TurnPage),
    responses((status = 200, description = "One page.", body = Page<Turn>)))]
pub(crate) async fn list(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneConversation { conversation }): Named<OneConversation>,
    Listing { limit, before }: Listing,
) -> Result<Raw, Refusal> {
    let question = ListTurns {
        caller,
        conversation,
        limit,
        before,
    };
    game.hand_on(&asked, &question).await
}

/// Say something
///
/// With `Accept: text/event-stream` the reply comes word by word, as the events `accepted`, `delta`, `final` and `error`;
/// `interim` bridges a long wait with a line that is no part of the reply, `tool` tells that the persona uses a tool, and
/// `ask` asks the player something before a tool goes on: answer it with `POST .../answers`.
/// Otherwise the answer is the whole turn, once it is done. A client that goes away does not stop the turn: come back to
/// it with `GET`. Sending the same turn id again is safe.
#[utoipa::path(post, path = "/v1/conversations/{conversation}/turns", tag = "turns", security(("token" = [])),
    params(OneConversation), request_body = NewTurn,
    responses(
        (status = 200, description = "The turn's events.", body = String, content_type = "text/event-stream"),
        (status = 201, description = "The whole turn.", body = Turn),
        (status = 409, description = "The conversation's last turn is still running, or the id stands for other words.")))]
pub(crate) async fn take(
    State(game): State<Shared>,
    asked: Asked,
    headers: HeaderMap,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneConversation { conversation }): Named<OneConversation>,
    Body(NewTurn { text, turn }): Body<NewTurn>,
) -> Result<Response, Refusal> {
    let turn = turn.unwrap_or_else(TurnId::fresh);
    let place = Place {
        caller,
        conversation,
        turn,
    };
    let wants_events = wants_events(&headers);
    let mut following = Following::take(&game, &asked, place, text, None, wants_events).await?;
    let first = following.first().await?;
    if wants_events {
        return Ok(events::answer(asked, first, following));
    }
    let turn = whole(first, following).await?;
    let location = format!("/v1/conversations/{conversation}/turns/{}", turn.id);
    Ok(created(&location, &turn))
}

/// Read a turn, or come back to it
///
/// With `Accept: text/event-stream` the events go on after `Last-Event-ID`, as long as the turn runs; for a turn that is
/// done it is just `final`.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/turns/{turn}", tag = "turns", security(("token" = [])),
    params(OneTurn, ("Last-Event-ID" = Option<u32>, Header, minimum = 0, maximum = 4294967295_u32,
        description = "The number of the last delta that you have. Only with `Accept: text/event-stream`.")),
    responses((status = 200, description = "The turn, or its events.", content(
        (Turn = "application/json"), (String = "text/event-stream")))))]
pub(crate) async fn read(
    State(game): State<Shared>,
    asked: Asked,
    headers: HeaderMap,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneTurn { conversation, turn }): Named<OneTurn>,
) -> Result<Response, Refusal> {
    let after = last_event(&headers)?;
    let question = ReadTurn {
        caller,
        conversation,
        turn,
    };
    let kept = game.bus.ask(&asked.call(), &question).await?;
    if !wants_events(&headers) {
        return Ok(Json(kept).into_response());
    }
    let place = Place {
        caller,
        conversation,
        turn,
    };
    let mut following = match kept.state {
        TurnState::Interrupted => return Err(ErrorCode::TurnInterrupted.into()),
        TurnState::Done | TurnState::Cancelled => Following::finished(&game, &asked, place, kept),
        TurnState::Running => Following::resume(&game, &asked, place, after).await?,
    };
    let first = following.first().await?;
    Ok(events::answer(asked, first, following))
}

/// Stop a turn
///
/// What had been said until then is kept, and `final` follows to whoever listens.
#[utoipa::path(post, path = "/v1/conversations/{conversation}/turns/{turn}/cancel", tag = "turns",
    security(("token" = [])), params(OneTurn),
    responses(
        (status = 202, description = "It is being stopped."),
        (status = 409, description = "The turn is not running any more.")))]
pub(crate) async fn cancel(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneTurn { conversation, turn }): Named<OneTurn>,
) -> Result<StatusCode, Refusal> {
    let place = Place {
        caller,
        conversation,
        turn,
    };
    cancel_turn(&game, &asked, place).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Answer what a turn asks
///
/// A tool may need the player's yes, or values, before it goes on: the turn's events then hold an `ask`. Without an answer
/// the turn goes on after a while as if the player had declined.
#[utoipa::path(post, path = "/v1/conversations/{conversation}/turns/{turn}/answers", tag = "turns",
    security(("token" = [])), params(OneTurn), request_body = NewAnswer,
    responses(
        (status = 204, description = "The turn goes on with it."),
        (status = 404, description = "Nobody waits for this answer."),
        (status = 409, description = "The turn is not running any more.")))]
pub(crate) async fn answer(
    State(game): State<Shared>,
    asked: Asked,
    SignedInPlayer(caller): SignedInPlayer,
    Named(OneTurn { conversation, turn }): Named<OneTurn>,
    Body(NewAnswer { number, answer, values }): Body<NewAnswer>,
) -> Result<StatusCode, Refusal> {
    let place = Place {
        caller,
        conversation,
        turn,
    };
    let answer = PlayerAnswer {
        verdict: answer,
        values: values.map(Value::Object),
    };
    answer_turn(&game, &asked, place, number, answer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Waits for the whole turn.
async fn whole(first: TurnEvent, mut following: Following) -> Result<Turn, Refusal> {
    let mut event = first;
    loop {
        if let TurnEvent::Final { turn, .. } = event {
            return Ok(turn);
        }
        event = following
            .next()
            .await
            .ok_or_else(|| Refusal::from(ErrorCode::TurnInterrupted))??;
    }
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept::choose(accept, routes::TURN) == Some("text/event-stream")
}

fn last_event(headers: &HeaderMap) -> Result<u32, Refusal> {
    let Some(given) = headers.get("last-event-id") else {
        return Ok(0);
    };
    let text = given.to_str().unwrap_or_default();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or_else(|| {
        Refusal::new(
            ErrorCode::InvalidInput,
            "`Last-Event-ID` must be the number of a delta, from 0.",
        )
    })
}
