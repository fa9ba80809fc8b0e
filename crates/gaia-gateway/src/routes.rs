//! The paths by pattern: what a request is counted as, which forms its answer has, and how long it may take.

use std::time::Duration;

use gaia_protocol::chat::LATEST_ANSWER;

const JSON: &[&str] = &["application/json"];
pub(crate) const TURN: &[&str] = &["application/json", "text/event-stream"];
const PAGE: &[&str] = &["text/html"];

/// How long a request may take until its answer begins.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long a turn may take for whoever waits for the whole of it.
pub(crate) const TURN_TIME: Duration = Duration::from_secs(120);
/// How long a turn's events are followed.
pub(crate) const FOLLOW_TIME: Duration = Duration::from_secs(LATEST_ANSWER.as_secs() + TURN_TIME.as_secs());

/// A path of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The pattern, as in the OpenAPI document.
    pub(crate) pattern: &'static str,
    /// The media types that its answers come in.
    pub(crate) forms: &'static [&'static str],
    /// How long it may take until its answer begins.
    pub(crate) time: Duration,
    /// How a refusal looks.
    pub(crate) refusals: Refusals,
}

/// How a refusal looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// A problem (RFC 9457).
    Problems,
    /// As OpenAI's clients expect it.
    OpenAi,
}

/// Every path. A request to another one is counted as [`ELSEWHERE`].
const ROUTES: &[Route] = &[
    route("/v1/conversations", JSON),
    turns("/v1/conversations/{conversation}/turns"),
    route("/v1/conversations/{conversation}", JSON),
    turns("/v1/conversations/{conversation}/turns/{turn}"),
    route("/v1/conversations/{conversation}/turns/{turn}/cancel", JSON),
    route("/v1/conversations/{conversation}/turns/{turn}/answers", JSON),
    route("/v1/players/me", JSON),
    route("/v1/players/guest", JSON),
    route("/v1/players", JSON),
    route("/v1/sessions", JSON),
    route("/v1/sessions/refresh", JSON),
    route("/v1/sessions/current", JSON),
    route("/v1/personas", JSON),
    route("/v1/personas/{persona}", JSON),
    route("/v1/realtime", JSON),
    route("/.well-known/jwks.json", JSON),
    route("/openapi.json", JSON),
    route("/asyncapi.json", JSON),
    route("/docs", PAGE),
    route("/health/live", JSON),
    openai("/openai/v1/models", REQUEST_TIME),
    openai("/openai/v1/models/{model}", REQUEST_TIME),
    openai("/openai/v1/chat/completions", TURN_TIME),
    openai("/openai/v1/responses", TURN_TIME),
];

/// What OpenAI's clients take for OpenAI's paths, there or not.
const OPENAI: &str = "/openai/";

/// A path that is not there. It has no form of its own, so that it is refused as not found and nothing else.
const ELSEWHERE: Route = route("elsewhere", &[]);
/// The same where OpenAI's clients look.
const ELSEWHERE_OPENAI: Route = openai("elsewhere", REQUEST_TIME);

const fn route(pattern: &'static str, forms: &'static [&'static str]) -> Route {
    Route {
        pattern,
        forms,
        time: REQUEST_TIME,
        refusals: Refusals::Problems,
    }
}

/// The body says which form the answer has, so that `Accept` decides nothing.
const fn openai(pattern: &'static str, time: Duration) -> Route {
    Route {
        pattern,
        forms: &[],
        time,
        refusals: Refusals::OpenAi,
    }
}

const fn turns(pattern: &'static str) -> Route {
    Route {
        pattern,
        forms: TURN,
        time: TURN_TIME,
        refusals: Refusals::Problems,
    }
}

/// The route of a request's path.
pub(crate) fn of(path: &str) -> &'static Route {
    let found = ROUTES.iter().find(|route| fits(route.pattern, path));
    found.unwrap_or(match path.starts_with(OPENAI) {
        true => const { &ELSEWHERE_OPENAI },
        false => const { &ELSEWHERE },
    })
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut given = path.split('/');
    let all_fit = pattern.split('/').all(|segment| match given.next() {
        Some(text) if segment.starts_with('{') => !text.is_empty(),
        Some(text) => segment == text,
        None => false,
    });
    all_fit && given.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_its_pattern() {
        for route in ROUTES {
            assert_eq!(of(route.pattern), route);
        }
        let turn = "/v1/conversations/0192/turns/0193";
        assert_eq!(of(turn).pattern, "/v1/conversations/{conversation}/turns/{turn}");
        assert_eq!(of("/v1/players/me").pattern, "/v1/players/me");
        for nowhere in [
            "/",
            "",
            "/v1/conversations/",
            "/v1/personas/a/b",
            "/V1/personas",
            "//v1/personas",
            "/docs/",
        ] {
            assert_eq!(of(nowhere), &ELSEWHERE, "{nowhere}");
        }
        for nowhere in ["/openai/", "/openai/v1/embeddings", "/openai/v1/models/"] {
            assert_eq!(of(nowhere), &ELSEWHERE_OPENAI, "{nowhere}");
        }
    }

    #[test]
    fn every_documented_path_is_counted_under_its_own_name() {
        let documented = crate::documents::openapi();
        for path in documented["paths"].as_object().unwrap().keys() {
            assert_eq!(of(path).pattern, path);
        }
    }
}
