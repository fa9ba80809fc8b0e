//! OpenAI's wire format: a persona is a model, and any client of OpenAI's can talk to it.
//!
//! What such a client sends as instructions or as earlier messages anybody can write, so none of it is trusted: a persona
//! remembers what `chat` keeps, and the rest is shown to it as the player's own text.

mod answers;
mod asker;
mod completion;
mod form;
mod kept;
mod models;
mod quotes;
mod refusal;
mod request;
mod responses;
mod stream;
mod thread;
mod wanted;

use axum::{
    Json,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use gaia_names::TurnId;
use serde_json::Value;

use self::{
    answers::ChatCompletion, asker::Admitted, completion::Completion, form::Form, request::Body, thread::Sent,
    wanted::Wanted,
};
pub(crate) use self::{
    kept::Kept,
    models::{list as list_models, read as read_model},
    refusal::{Refused, render},
    responses::respond,
};
use crate::{asked::Asked, game::Shared};

/// The headers that OpenAI's own clients send along; pages in browsers must be allowed to.
pub(crate) const CLIENT_HEADERS: [&str; 13] = [
    "idempotency-key",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "x-stainless-arch",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
];

/// `POST /openai/v1/chat/completions`: says the last message to the persona.
pub(crate) async fn complete(
    State(game): State<Shared>,
    asked: Asked,
    headers: HeaderMap,
    admitted: Admitted,
    request: Request,
) -> Result<Response, Refused> {
    admitted.must_chat()?;
    let body: Body = wanted::read(request).await?;
    let includes_usage = body.includes_usage();
    let wanted = body.wanted()?;
    let model = wanted.persona.clone();
    answer(&game, &asked, &headers, &admitted, wanted, |turn| {
        ChatCompletion::of(turn, &model, includes_usage)
    })
    .await
}

/// Takes the turn, and tells the reply in a form of which only the turn is missing.
async fn answer<F: Form>(
    game: &Shared,
    asked: &Asked,
    headers: &HeaderMap,
    admitted: &Admitted,
    wanted: Wanted,
    form: impl FnOnce(TurnId) -> F,
) -> Result<Response, Refused> {
    let caller = admitted.asker.player(game, asked, wanted.player_name.clone()).await?;
    let completion = Completion::begin(game, asked, caller, wanted, &Sent::of(headers)?).await?;
    let form = form(completion.turn());
    Ok(admitted.tell(if completion.streams() {
        stream::answer(completion, form)
    } else {
        Json::<Value>(completion.whole(&form).await?).into_response()
    }))
}
