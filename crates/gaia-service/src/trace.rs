//! One trace from the gateway to the call of a model: W3C Trace Context in, through NATS, and out.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span a child of what a `traceparent` names. Without one, or with a malformed one, the span starts a trace. Its
/// field `trace_id`, if it has one, is filled in, so that lines of the log lead to the trace.
pub fn adopt(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(parse) {
        // The layer is absent when no receiver is configured; then there is nothing to adopt for.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
    if let Some(id) = trace_id(span) {
        span.record("trace_id", id);
    }
}

/// The trace that a span is part of, in hexadecimal, or none where traces are off.
#[must_use]
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let here = span.span_context();
    here.is_valid().then(|| here.trace_id().to_string())
}

/// The `traceparent` that calls made inside a span carry, or none where traces are off.
#[must_use]
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let here = span.span_context();
    here.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            here.trace_id(),
            here.span_id(),
            here.trace_flags().to_u8()
        )
    })
}

/// Reads a `traceparent` of version 00.
fn parse(header: &str) -> Option<SpanContext> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || parts.next().is_some() || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_traceparent_is_not_adopted() {
        assert!(parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
        for bad in [
            "",
            "00",
            "00-0-0-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "01-x-y-z",
            "💥",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
