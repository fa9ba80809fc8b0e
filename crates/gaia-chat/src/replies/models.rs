//! Calling a model: one request, one stream, and what can go wrong with both.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use gaia_names::Secret;
use gaia_protocol::bundle::{Provider, Route};
use gaia_service::trace;
use reqwest::{RequestBuilder, Response, StatusCode, header};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{
    Question, anthropic,
    draft::{Draft, Tokens},
    openai, prompt, sse,
    voice::Voice,
};
use crate::{
    budget::{self, Exhausted},
    game::Game,
};

/// How long a connection may take to end after the reply did, so that it can be used again.
const CLOSING: Duration = Duration::from_secs(1);

/// Why a route did not give a whole reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteFault {
    /// There is no money left for it.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// No connection, or it broke before the answer's head.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It answered with another status than 200.
    #[error("it refuses with status {0}")]
    Refused(StatusCode),
    /// The answer is no stream of events, or the events are not the format's.
    #[error("it answers with what its format does not allow")]
    Garbage,
    /// The stream ended without a word.
    #[error("it says nothing")]
    Empty,
    /// No first token in time.
    #[error("its first token took over {0} ms")]
    Slow(u32),
    /// Nothing more for too long.
    #[error("it fell silent for {0} ms")]
    Silent(u32),
    /// The connection broke.
    #[error("its stream broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream ended without saying that it was the end.
    #[error("its stream ended early")]
    EndedEarly,
    /// It sends more than any reply has.
    #[error("it sends too much")]
    TooLarge,
    /// It reported an error within the stream.
    #[error("it reports an error: {0}")]
    Reported(String),
}

impl RouteFault {
    /// A short name, for metrics.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Exhausted(_) => "exhausted",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Garbage => "garbage",
            Self::Empty => "empty",
            Self::Slow(_) => "slow",
            Self::Silent(_) => "silent",
            Self::Broken(_) => "broken",
            Self::EndedEarly => "ended_early",
            Self::TooLarge => "too_large",
            Self::Reported(_) => "reported",
        }
    }
}

/// What one event of a provider means.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Part {
    /// More of the reply.
    pub(super) text: String,
    /// What the call uses so far.
    pub(super) tokens: Option<Tokens>,
    /// The tokens are those of the whole call.
    pub(super) is_whole_count: bool,
    /// The reply is whole; the count may follow.
    pub(super) is_end: bool,
    /// Nothing follows.
    pub(super) is_last: bool,
}

/// Lets a route say the reply.
pub(super) async fn speak(
    game: &Arc<Game>,
    route: &Route,
    key: Option<&Secret>,
    question: &Question,
    draft: &Draft,
    voice: &mut Voice,
    until: Instant,
) -> Result<(), RouteFault> {
    let span = tracing::info_span!("call_model", route = %route.name, model = %route.model);
    let traceparent = trace::traceparent(&span).or_else(|| question.traceparent.clone());
    async {
        let began = Instant::now();
        let first_by = (began + Duration::from_millis(route.first_token_ms.into())).min(until);
        let (request, prompt_bytes) = request(game, route, key, question);
        let held = reserve(game, route, question, prompt_bytes).await?;
        let request = match traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        };
        let response = match timeout_at(first_by, request.send()).await {
            // It may have been read, so it is not given back.
            Err(_) => return Err(RouteFault::Slow(route.first_token_ms)),
            Ok(Err(error)) => {
                if error.is_connect() {
                    held.never_began().await;
                }
                return Err(RouteFault::Unreachable(error.without_url()));
            }
            Ok(Ok(response)) => response,
        };
        if let Err(fault) = check_head(&response) {
            held.never_began().await;
            return Err(fault);
        }
        draft.began_call(route, question.turn, prompt_bytes, began.into_std(), held);
        let outcome = listen(game, route, response, draft, voice, (first_by, until)).await;
        draft.ended_call();
        outcome
    }
    .instrument(span)
    .await
}

/// Sets aside what the call can cost.
async fn reserve(
    game: &Game,
    route: &Route,
    question: &Question,
    prompt_bytes: usize,
) -> Result<budget::Held, RouteFault> {
    let call = budget::Call {
        bundle: question.bundle(),
        persona: question.persona(),
        route,
        player: question.context.player,
        turn: question.turn,
        prompt_bytes,
        most_input: most_tokens(prompt::stable(question), prompt_bytes),
    };
    Ok(game.budget.reserve(&call).await?)
}

/// The most tokens that a prompt can have. No token is shorter than a byte, and a player may send what has one for each;
/// what the author wrote has at most one for two bytes of ASCII.
fn most_tokens(stable: &str, prompt_bytes: usize) -> u64 {
    let ascii = stable.bytes().filter(u8::is_ascii).count();
    (prompt_bytes.saturating_sub(ascii / 2)) as u64
}

/// Logs and counts that a route failed. The provider's own words may hold a key or a player's words, so they are not
/// in it.
pub(super) fn note(game: &Game, route: &Route, fault: &RouteFault) {
    let labels = [
        ("game", game.id.to_string()),
        ("route", route.name.clone()),
        ("kind", fault.kind().to_owned()),
    ];
    metrics::counter!("gaia_chat_route_failures_total", &labels).increment(1);
    let (name, chain) = (&route.name, gaia_service::telemetry::chain(fault));
    // What one character or player has used up says nothing of the route.
    if matches!(fault, RouteFault::Exhausted(why) if !why.is_of_game()) {
        return;
    }
    if game.route_states.fails(name, fault.to_string()) {
        tracing::warn!(game.name = %game.id, route = %name, error = %chain, "route `{name}` fails: {chain}");
    }
}

fn request(game: &Game, route: &Route, key: Option<&Secret>, question: &Question) -> (RequestBuilder, usize) {
    let (url, body) = match route.provider {
        Provider::Anthropic => (anthropic::url(&route.base_url), anthropic::body(route, question)),
        Provider::Openai => (openai::url(&route.base_url), openai::body(route, question)),
    };
    let mut request = game
        .http
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "text/event-stream");
    request = match (route.provider, key) {
        (Provider::Anthropic, Some(key)) => request.header("x-api-key", key.expose()),
        (Provider::Openai, Some(key)) => request.bearer_auth(key.expose()),
        (_, None) => request,
    };
    if route.provider == Provider::Anthropic {
        request = request.header("anthropic-version", anthropic::VERSION);
    }
    let bytes = body.len();
    (request.body(body), bytes)
}

fn check_head(response: &Response) -> Result<(), RouteFault> {
    if response.status() != StatusCode::OK {
        return Err(RouteFault::Refused(response.status()));
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream { Ok(()) } else { Err(RouteFault::Garbage) }
}

async fn listen(
    game: &Arc<Game>,
    route: &Route,
    response: Response,
    draft: &Draft,
    voice: &mut Voice,
    (first_by, until): (Instant, Instant),
) -> Result<(), RouteFault> {
    let mut events = sse::events(response.bytes_stream()).boxed();
    let silence = Duration::from_millis(route.silence_ms.into());
    let (mut patience, mut is_end) = (first_by, false);
    loop {
        let Ok(batch) = timeout_at(patience, events.next()).await else {
            return match (is_end, voice.has_spoken()) {
                // The reply is there; only the count or the goodbye is missing.
                (true, true) => Ok(()),
                (_, true) => Err(RouteFault::Silent(route.silence_ms)),
                (_, false) => Err(RouteFault::Slow(route.first_token_ms)),
            };
        };
        let Some(batch) = batch else { break };
        let heard = gather(route.provider, batch, draft);
        let before = voice.length();
        let has_room = voice.say(&heard.part.text).await;
        draft.said(voice.length() - before);
        is_end |= heard.part.is_end;
        if let Some(fault) = heard.fault {
            return Err(fault);
        }
        if heard.part.is_last || !has_room {
            finish_connection(game, events);
            is_end = true;
            break;
        }
        if voice.length() > before {
            patience = (Instant::now() + silence).min(until);
        }
    }
    match (voice.has_spoken(), is_end) {
        (false, _) => Err(RouteFault::Empty),
        (true, false) => Err(RouteFault::EndedEarly),
        (true, true) => Ok(()),
    }
}

/// What arrived together, as one: a player gains nothing from tokens in messages of their own.
struct Heard {
    part: Part,
    fault: Option<RouteFault>,
}

fn gather(provider: Provider, batch: Vec<Result<String, RouteFault>>, draft: &Draft) -> Heard {
    let mut all = Part::default();
    for event in batch {
        let part = event.and_then(|data| match provider {
            Provider::Anthropic => anthropic::read(&data),
            Provider::Openai => openai::read(&data),
        });
        let part = match part {
            Ok(part) => part,
            // After the end, nothing can go wrong any more.
            Err(_) if all.is_end => break,
            Err(fault) => {
                return Heard {
                    part: all,
                    fault: Some(fault),
                };
            }
        };
        if let Some(tokens) = part.tokens {
            draft.told(|told| *told = told.replaced_by(tokens), part.is_whole_count);
        }
        all.text.push_str(&part.text);
        all.is_end |= part.is_end;
        all.is_last |= part.is_last;
        if all.is_last {
            break;
        }
    }
    Heard { part: all, fault: None }
}

/// Reads to the end of the answer, which is all but there, so that the connection can be used again.
fn finish_connection<S>(game: &Game, mut events: S)
where
    S: futures::Stream<Item = Vec<Result<String, RouteFault>>> + Send + Unpin + 'static,
{
    if let Some(None) = events.next().now_or_never() {
        return;
    }
    game.tasks.spawn(async move {
        let rest = async {
            while let Some(batch) = events.next().await {
                if batch.iter().any(Result::is_err) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(CLOSING, rest).await;
    });
}
