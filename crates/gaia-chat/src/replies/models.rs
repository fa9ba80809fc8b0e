//! Calling a model: one request, one stream, and what can go wrong with both.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::BoxStream};
use gaia_names::Secret;
use gaia_protocol::bundle::{Provider, Route};
use gaia_service::trace;
use reqwest::{RequestBuilder, Response, StatusCode, header};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, field};

use super::{
    Question, anthropic,
    draft::{Call, Draft, Tokens},
    openai,
    prompt::{self, Prompt},
    sse,
    tools::{ToolUse, WantedCall},
    voice::Voice,
    wanted::{CallPiece, WantedCalls},
};
use crate::{
    budget::{self, Exhausted},
    game::Game,
};

/// How long a connection may take to end after the reply did, so that it can be used again.
const CLOSING: Duration = Duration::from_secs(1);

/// How long a model may write a call of a tool without a sign of it.
const WRITING: Duration = Duration::from_secs(8);

/// What a provider sends, as it arrives.
pub(super) type Events = BoxStream<'static, Vec<Result<String, RouteFault>>>;

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
    /// It refuses a request that only has become strange or long by what tools answered.
    #[error("it does not take what the tools answered: status {0}")]
    NotTaken(StatusCode),
    /// The asker's own limit left no room for a word. That says nothing of the route.
    #[error("the reply's limit left no room for a word")]
    NoRoom,
    /// No first token in time.
    #[error("its first token took over {} ms", .0.as_millis())]
    Slow(Duration),
    /// Nothing more for too long.
    #[error("it fell silent for {} ms", .0.as_millis())]
    Silent(Duration),
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
            Self::NoRoom => "no_room",
            Self::NotTaken(_) => "not_taken",
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
    /// More of the calls of tools that it asks for.
    pub(super) calls: Vec<CallPiece>,
    /// What the call uses so far.
    pub(super) tokens: Option<Tokens>,
    /// The tokens are those of the whole call.
    pub(super) is_whole_count: bool,
    /// The reply is whole; the count may follow.
    pub(super) is_end: bool,
    /// Nothing follows.
    pub(super) is_last: bool,
    /// The reply ended because it had reached its limit.
    pub(super) is_cut: bool,
}

/// A route that has begun to speak. Dropping it ends the call.
pub(super) struct Answering {
    pub(super) route: Route,
    pub(super) call: Call,
    events: Events,
    first: Part,
    span: Span,
}

/// Asks a route, and waits for its first words, or for the first call of a tool that it asks for.
pub(super) async fn ask(
    game: &Arc<Game>,
    route: &Route,
    key: Option<&Secret>,
    question: &Question,
    tools: &ToolUse,
    draft: &Arc<Draft>,
    until: Instant,
) -> Result<Answering, RouteFault> {
    let span = tracing::info_span!("call_model", otel.kind = "client", otel.status_code = field::Empty,
        route = %route.name, model = %route.model, error.type = field::Empty);
    let traceparent = trace::traceparent(&span).or_else(|| question.traceparent.clone());
    let asked = async {
        let began = Instant::now();
        let first_by = (began + Duration::from_millis(route.first_token_ms.into())).min(until);
        let (request, prompt_bytes) = request(game, route, key, Prompt::of(question, tools));
        let held = reserve(game, route, question, prompt_bytes).await?;
        let request = match traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        };
        let too_slow = || RouteFault::Slow(first_by.duration_since(began));
        let call = draft.begin_call(route, question.turn, prompt_bytes, began.into_std(), held);
        let response = match timeout_at(first_by, request.send()).await {
            // It may have been read, so it is not given back.
            Err(_) => return Err(too_slow()),
            Ok(Err(error)) => {
                if error.is_connect() {
                    call.was_not_taken().await;
                }
                return Err(RouteFault::Unreachable(error.without_url()));
            }
            Ok(Ok(response)) => response,
        };
        if let Err(fault) = check_head(&response) {
            // Only a refusal costs nothing: who answers with anything else may have done the work.
            return Err(match fault {
                RouteFault::Refused(status) => {
                    call.was_not_taken().await;
                    let is_ours = matches!(status.as_u16(), 400 | 413 | 422) && !tools.rounds.is_empty();
                    if is_ours { RouteFault::NotTaken(status) } else { fault }
                }
                fault => fault,
            });
        }
        let mut events = sse::events(response.bytes_stream()).boxed();
        let first = timeout_at(first_by, first_words(route.provider, &mut events, &call));
        match first.await.map_err(|_| too_slow())? {
            Ok(first) => Ok((call, events, first)),
            // A model that thinks first can use up a small limit before it says a word.
            Err(RouteFault::Empty) if call.is_cut() && question.options.reply_tokens.is_some() => {
                Err(RouteFault::NoRoom)
            }
            Err(fault) => Err(fault),
        }
    };
    let asked = asked.instrument(span.clone()).await;
    let (call, events, first) = asked.inspect_err(|fault| mark(&span, fault))?;
    let route = route.clone();
    Ok(Answering {
        route,
        call,
        events,
        first,
        span,
    })
}

async fn first_words(provider: Provider, events: &mut Events, call: &Call) -> Result<Part, RouteFault> {
    let mut all = Part::default();
    while let Some(batch) = events.next().await {
        let heard = gather(provider, batch, call);
        all.text.push_str(&heard.part.text);
        all.calls.extend(heard.part.calls);
        all.is_end |= heard.part.is_end;
        all.is_last |= heard.part.is_last;
        if !all.text.trim().is_empty() || !all.calls.is_empty() {
            // What went wrong right behind the words is met again when more is asked for.
            return Ok(all);
        }
        if let Some(fault) = heard.fault {
            return Err(fault);
        }
        if all.is_last {
            break;
        }
    }
    Err(RouteFault::Empty)
}

/// Lets a route say the rest of the reply. What it wants done before it goes on is the answer.
pub(super) async fn listen(
    game: &Arc<Game>,
    answering: Answering,
    voice: &mut Voice,
    silence: Duration,
    until: Instant,
) -> Result<Vec<WantedCall>, RouteFault> {
    let Answering {
        route,
        call,
        mut events,
        first,
        span,
    } = answering;
    let heard = async {
        let mut heard = Heard {
            part: first,
            fault: None,
        };
        let mut is_end = false;
        let mut wanted = WantedCalls::default();
        loop {
            let has_room = voice.say(&heard.part.text).await;
            is_end |= heard.part.is_end;
            for piece in heard.part.calls {
                wanted.add(piece)?;
            }
            if let Some(fault) = heard.fault {
                return Err(fault);
            }
            if heard.part.is_last || !has_room {
                finish_connection(game, events);
                return whole(wanted, !has_room || call.is_cut());
            }
            // A vendor may hold a call's arguments back until they are whole.
            let silence = if wanted.is_empty() {
                silence
            } else {
                silence.max(WRITING)
            };
            let patience = (Instant::now() + silence).min(until);
            heard = match timeout_at(patience, more(route.provider, &mut events, &call)).await {
                Ok(Some(heard)) => heard,
                // The reply is there; only the count or the goodbye is missing.
                _ if is_end => return whole(wanted, call.is_cut()),
                Ok(None) => return Err(RouteFault::EndedEarly),
                Err(_) => return Err(RouteFault::Silent(silence)),
            };
        }
    };
    let heard = heard.instrument(span.clone()).await;
    heard.inspect_err(|fault| mark(&span, fault))
}

/// The calls that were asked for, if none of them is only half there.
fn whole(wanted: WantedCalls, is_cut: bool) -> Result<Vec<WantedCall>, RouteFault> {
    if is_cut && !wanted.is_empty() {
        return Err(RouteFault::NoRoom);
    }
    Ok(wanted.into_calls())
}

/// Notes in the trace that a call failed.
fn mark(span: &Span, fault: &RouteFault) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", fault.kind());
}

/// What comes next that means something.
pub(super) async fn more(provider: Provider, events: &mut Events, call: &Call) -> Option<Heard> {
    loop {
        let heard = gather(provider, events.next().await?, call);
        let part = &heard.part;
        let says = !part.text.is_empty() || !part.calls.is_empty() || part.is_end || part.is_last;
        if says || heard.fault.is_some() {
            return Some(heard);
        }
    }
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
pub(super) fn most_tokens(stable: &str, prompt_bytes: usize) -> u64 {
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
    if matches!(fault, RouteFault::NoRoom | RouteFault::NotTaken(_)) {
        return;
    }
    let (name, chain) = (&route.name, gaia_service::telemetry::chain(fault));
    if let RouteFault::Exhausted(why) = fault {
        // What one character or player has used up says nothing of the route.
        if why.is_of_game() && game.route_states.cannot_be_used(name, fault.to_string()) {
            tracing::warn!(game.name = %game.id, route = %name, error = %chain, "route `{name}` waits: {chain}");
        }
        return;
    }
    if game.route_states.fails(name, fault.to_string()) {
        tracing::warn!(game.name = %game.id, route = %name, error = %chain, "route `{name}` fails: {chain}");
    }
}

/// A request, and how many bytes are sent with it.
pub(super) fn request(game: &Game, route: &Route, key: Option<&Secret>, prompt: Prompt<'_>) -> (RequestBuilder, usize) {
    let (url, body) = match route.provider {
        Provider::Anthropic => (anthropic::url(&route.base_url), anthropic::body(route, prompt)),
        Provider::Openai => (openai::url(&route.base_url), openai::body(route, prompt)),
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

pub(super) fn check_head(response: &Response) -> Result<(), RouteFault> {
    if response.status() != StatusCode::OK {
        return Err(RouteFault::Refused(response.status()));
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream { Ok(()) } else { Err(RouteFault::Garbage) }
}

/// What arrived together, as one: a player gains nothing from tokens in messages of their own.
pub(super) struct Heard {
    pub(super) part: Part,
    pub(super) fault: Option<RouteFault>,
}

fn gather(provider: Provider, batch: Vec<Result<String, RouteFault>>, call: &Call) -> Heard {
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
            call.told(|told| *told = told.replaced_by(tokens), part.is_whole_count);
        }
        call.said(part.text.len() + part.calls.iter().map(|piece| piece.arguments.len()).sum::<usize>());
        all.text.push_str(&part.text);
        all.calls.extend(part.calls);
        if part.is_cut {
            call.cut();
        }
        all.is_end |= part.is_end;
        all.is_last |= part.is_last;
        if all.is_last {
            break;
        }
    }
    Heard { part: all, fault: None }
}

/// Reads to the end of the answer, which is all but there, so that the connection can be used again.
fn finish_connection(game: &Game, mut events: Events) {
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
