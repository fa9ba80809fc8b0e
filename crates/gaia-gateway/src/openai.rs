//! OpenAI's wire format: a persona is a model, and any client of OpenAI's can talk to it.
//!
//! What such a client sends as instructions or as earlier messages anybody can write, so none of it is trusted: a persona
//! remembers what `chat` keeps, and the rest is shown to it as the player's own text.

mod answers;
mod asker;
mod completion;
mod kept;
mod models;
mod quotes;
mod refusal;
mod request;
mod stream;
mod thread;

use axum::{
    Json,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use gaia_protocol::api_keys::KeyScope;
use serde_json::Value;

use self::{asker::Admitted, completion::Completion, thread::Sent};
pub(crate) use self::{
    models::{list as list_models, read as read_model},
    refusal::{Refused, render},
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
    admitted.asker.must(KeyScope::Chat)?;
    let wanted = request::read(request).await?;
    let caller = admitted.asker.player(&game, &asked, wanted.player_name.clone()).await?;
    let completion = Completion::begin(&game, &asked, caller, wanted, &Sent::of(&headers)?).await?;
    Ok(admitted.tell(if completion.streams() {
        stream::answer(completion)
    } else {
        Json::<Value>(completion.whole().await?).into_response()
    }))
}
