//! Everything around a handler: the request's id, limits, time, refusals as problems, metrics and the log.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use gaia_names::{GameId, Service};
use gaia_protocol::{ErrorCode, Fault};
use tower::ServiceExt;
use tracing::{Instrument, Span};

use crate::{
    accept,
    asked::Asked,
    openai,
    problem::{self, Refusal},
    routes::{Refusals, Route},
};

/// The longest path with its query, in bytes.
const LONGEST_TARGET: usize = 4 * 1024;
/// Handlers keep their own time; this ends the ones that do not.
const SLACK: Duration = Duration::from_secs(2);

/// Lets a router answer one request. `game` is none for the admin API.
pub(crate) async fn answer(
    router: Router,
    game: Option<&GameId>,
    route: &'static Route,
    asked: Asked,
    mut request: Request,
) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    let response = match refused_at_once(&request, route) {
        Some(refusal) => refusal.into_response(),
        None => {
            let span = asked.span.clone();
            request.extensions_mut().insert(asked.clone());
            guarded(router, route, request).instrument(span).await
        }
    };
    let response = finish(response, game, route.refusals, &asked, &method);
    tell(&response, game, route, &asked, &method, began.elapsed());
    response
}

fn refused_at_once(request: &Request, route: &Route) -> Option<Refusal> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > LONGEST_TARGET {
        let detail = format!("The path with its query must have at most {LONGEST_TARGET} bytes.");
        return Some(Refusal::new(ErrorCode::BadRequest, detail));
    }
    let accept = request.headers().get(header::ACCEPT)?.to_str().ok()?;
    if route.forms.is_empty() || accept::choose(Some(accept), route.forms).is_some() {
        return None;
    }
    let detail = format!("This path answers with {}.", route.forms.join(" or "));
    Some(Refusal::new(ErrorCode::NotAcceptable, detail))
}

/// A handler that panics or hangs is a bug of ours, but its client gets an answer.
async fn guarded(router: Router, route: &Route, request: Request) -> Response {
    let answer = AssertUnwindSafe(router.oneshot(request)).catch_unwind();
    match tokio::time::timeout(route.time + SLACK, answer).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_)) => Refusal::from(ErrorCode::Internal).into_response(),
        Err(_) => Refusal::from(ErrorCode::DeadlineExceeded).into_response(),
    }
}

fn finish(
    mut response: Response,
    game: Option<&GameId>,
    refusals: Refusals,
    asked: &Asked,
    method: &Method,
) -> Response {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        if method == Method::OPTIONS && refusal.0.code == ErrorCode::MethodNotAllowed {
            // The path is there, and `Allow` says what it answers to: that is what was asked for.
            *response.status_mut() = StatusCode::NO_CONTENT;
        } else {
            response = match refusals {
                Refusals::Problems => problem::render(response, &refusal, &asked.id, game),
                Refusals::OpenAi => openai::render(response, &refusal),
            };
            response.extensions_mut().insert(refusal);
        }
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&asked.id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn tell(
    response: &Response,
    game: Option<&GameId>,
    route: &'static Route,
    asked: &Asked,
    method: &Method,
    took: Duration,
) {
    let game = game.map_or("", GameId::as_str);
    let (status, seconds) = (response.status().as_u16(), took.as_secs_f64());
    let labels = [
        ("game", game.to_owned()),
        ("route", route.pattern.to_owned()),
        ("method", known(method).to_owned()),
    ];
    metrics::histogram!("gaia_http_request_seconds", &labels).record(seconds);
    metrics::counter!("gaia_http_requests_total",
        "game" => game.to_owned(), "route" => route.pattern, "method" => known(method), "status" => response.status().as_str().to_owned())
    .increment(1);
    let fault = response.extensions().get::<Refusal>().map(|refusal| &refusal.0);
    if let Some(Fault { code, .. }) = fault {
        metrics::counter!("gaia_refusals_total", "game" => game.to_owned(), "service" => Service::Gateway.as_str(),
            "verb" => route.pattern, "code" => code.as_str())
        .increment(1);
    }
    let code = fault.map_or("", |fault| fault.code.as_str());
    let (request, pattern, elapsed_ms) = (&*asked.id, route.pattern, took.as_millis());
    trace(&asked.span, game, status);
    if status >= 500 {
        let trace_id = asked.trace_id();
        tracing::warn!(
            game.name = game,
            request,
            trace_id,
            http.route = pattern,
            http.status = status,
            code,
            elapsed_ms,
            "`{method} {pattern}` was answered with {status} {code} after {elapsed_ms} ms"
        );
    } else {
        tracing::debug!(
            game.name = game,
            request,
            http.route = pattern,
            http.status = status,
            code,
            elapsed_ms,
            "`{method} {pattern}` was answered with {status} after {elapsed_ms} ms"
        );
    }
}

/// Completes what is traced of a request.
fn trace(span: &Span, game: &str, status: u16) {
    if span.is_disabled() {
        return;
    }
    span.record("game.name", game);
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Methods by name; what clients make up is not a label.
pub(crate) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
