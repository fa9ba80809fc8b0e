//! What is known of a request before its handler runs.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, request::Parts},
};
use gaia_names::GameId;
use gaia_protocol::ErrorCode;
use gaia_service::{Call, trace};
use tracing::{Span, field};
use uuid::Uuid;

use crate::{edge::known, problem::Refusal, routes::REQUEST_TIME};

/// Where a request comes from and how it is called. An extension of every request.
#[derive(Clone)]
pub(crate) struct Asked {
    /// The request's id, in logs, in answers and on the way to services.
    pub(crate) id: Arc<str>,
    /// Whom the connection came from.
    pub(crate) peer: IpAddr,
    /// What it does is told under this span.
    pub(crate) span: Span,
}

impl Asked {
    pub(crate) fn new(headers: &HeaderMap, peer: IpAddr, method: &Method, pattern: &'static str) -> Self {
        let method = known(method);
        let given = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let id: Arc<str> = match given("x-request-id").filter(|id| is_id(id)) {
            Some(id) => id.into(),
            None => format!("req_{}", Uuid::now_v7().simple()).into(),
        };
        let span = tracing::debug_span!(
            "request",
            otel.kind = "server",
            otel.name = %format_args!("{method} {pattern}"),
            otel.status_code = field::Empty,
            game.name = field::Empty,
            request = &*id,
            http.route = pattern,
            http.request.method = method,
            http.response.status_code = field::Empty,
        );
        if !span.is_disabled() {
            trace::adopt(&span, given("traceparent"));
        }
        Self { id, peer, span }
    }

    /// The same asker with one message of a long connection, which has a trace of its own: the connection's would end
    /// with the connection.
    pub(crate) fn message(&self, game: &GameId, kind: &'static str) -> Self {
        let span = tracing::debug_span!(parent: None, "message", otel.kind = "server", otel.name = kind,
            game.name = %game, request = &*self.id);
        Self { span, ..self.clone() }
    }

    /// The trace that it is part of, where traces are on.
    pub(crate) fn trace_id(&self) -> Option<String> {
        trace::trace_id(&self.span)
    }

    /// A question on behalf of this request.
    pub(crate) fn call(&self) -> Call {
        self.call_for(REQUEST_TIME)
    }

    /// The same, waiting this long.
    pub(crate) fn call_for(&self, wait: Duration) -> Call {
        let call = Call::new(&*self.id, wait);
        if self.span.is_disabled() {
            call
        } else {
            call.traced(trace::traceparent(&self.span))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ErrorCode::Internal.into())
    }
}

/// Whether a request's id is one that we take over into logs.
fn is_id(text: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(may_be)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn id_for(given: &'static str) -> Arc<str> {
        let headers = HeaderMap::from_iter([("x-request-id".parse().unwrap(), given.parse().unwrap())]);
        Asked::new(&headers, Ipv4Addr::LOCALHOST.into(), &Method::GET, "/v1/personas").id
    }

    #[test]
    fn a_clients_own_request_id_is_kept_if_it_is_harmless() {
        assert_eq!(&*id_for("run-7_A"), "run-7_A");
        for bad in ["", "a b", "a\tb", "<script>", "ünder"] {
            assert!(id_for(bad).starts_with("req_"), "{bad}");
        }
        assert!(id_for(Box::leak("a".repeat(65).into_boxed_str())).starts_with("req_"));
    }
}
