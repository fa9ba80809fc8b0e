//! Logs as JSON on standard error, metrics for Prometheus, traces over OTLP.
//!
//! - `GAIA_LOG`: what to log, as `tracing` directives. Default `info`.
//! - `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: where traces go, over HTTP. Default: nowhere.
//! - `OTEL_SDK_DISABLED`: `true` sends none all the same.
//! - `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`: which. Default: all.
//! - What else OpenTelemetry's own library reads: `OTEL_BSP_*`, `OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES`.

mod delivery;

use std::{sync::OnceLock, time::Duration};

use gaia_names::{InstanceId, Service};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use self::delivery::Delivery;
use crate::run::environment;

/// How long the last traces may take to leave a process that ends. It fits into what the supervisor gives beyond the
/// drain.
const FLUSH: Duration = Duration::from_secs(2);

/// What must be flushed when the process ends.
#[derive(Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Why logs or traces cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryFault {
    /// `GAIA_LOG` cannot be read.
    #[error("GAIA_LOG cannot be read: give directives such as `info` or `gaia_chat=debug,warn`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The receiver of traces is no address.
    #[error("traces cannot be sent to OTEL_EXPORTER_OTLP_ENDPOINT")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The log's directives: what `GAIA_LOG` says, else `info`. The library that speaks MCP writes whole messages of tool
/// servers at `info`, words and sizes of somebody else's, so it is quieter unless it is named.
#[must_use]
pub fn directives(wanted: Option<&str>) -> String {
    format!("rmcp=warn,{}", wanted.unwrap_or("info"))
}

/// Starts logs and, where a receiver is named, traces. Once per process.
///
/// # Errors
///
/// Where the environment asks for what cannot be.
pub fn start(service: Service, instance: InstanceId) -> Result<Telemetry, TelemetryFault> {
    let filter = EnvFilter::try_new(directives(environment("GAIA_LOG").as_deref()))?;
    let traces = if has_receiver() {
        Some(traces(service, instance)?)
    } else {
        None
    };
    let layer = traces.as_ref().map(|provider| {
        // Dependencies open spans of their own; what is traced is ours.
        let ours = tracing_subscriber::filter::filter_fn(|metadata| metadata.target().starts_with("gaia"));
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("gaia"))
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    });
    let logs = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(layer)
        .with(logs.with_filter(filter))
        .init();
    Ok(Telemetry { traces })
}

fn has_receiver() -> bool {
    let is_named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| environment(name).is_some());
    is_named && !environment("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"))
}

fn traces(service: Service, instance: InstanceId) -> Result<SdkTracerProvider, TelemetryFault> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder()
        .with_service_name(format!("gaia-{service}"))
        .with_attribute(KeyValue::new("service.instance.id", instance.to_string()))
        .build();
    let mut provider = SdkTracerProvider::builder()
        .with_batch_exporter(Delivery::by(exporter))
        .with_resource(resource);
    if service == Service::Gateway {
        let (named, share) = (
            environment("OTEL_TRACES_SAMPLER"),
            environment("OTEL_TRACES_SAMPLER_ARG"),
        );
        provider = provider.with_sampler(of_strangers(named.as_deref(), share.as_deref()));
    }
    Ok(provider.build())
}

/// Which traces the gateway keeps. The parents there are strangers: a player's `traceparent` names the trace, but whether
/// it is kept is not the player's to say. The services behind do as the gateway did.
fn of_strangers(named: Option<&str>, share: Option<&str>) -> Sampler {
    let share = share.and_then(|share| share.parse().ok()).unwrap_or(1.0);
    match named.map(|named| named.trim_start_matches("parentbased_")) {
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => Sampler::TraceIdRatioBased(share),
        _ => Sampler::AlwaysOn,
    }
}

impl Telemetry {
    /// Sends what has not been sent, for two seconds at most.
    pub fn flush(&self) {
        let traces = self.traces.as_ref();
        if let Some(Err(error)) = traces.map(|traces| traces.shutdown_with_timeout(FLUSH)) {
            tracing::warn!(error = %error, "the last traces could not be sent: {error}");
        }
    }
}

/// The process's metrics. The recorder is installed on first use, so that services that share a process in tests share
/// it.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let seconds = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 30.0,
        ];
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
            .expect("buckets are not empty")
            .build_recorder();
        let handle = recorder.handle();
        // Somebody else's recorder stays: then `/metrics` is empty, which is better than no service.
        let _ = ::metrics::set_global_recorder(recorder);
        handle
    })
}

/// An error with its causes in one line, for the log.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_does_not_decide_which_traces_are_kept() {
        let chosen = |named, share| format!("{:?}", of_strangers(named, share));
        assert_eq!(chosen(None, None), "AlwaysOn");
        assert_eq!(chosen(Some("parentbased_always_on"), None), "AlwaysOn");
        assert_eq!(chosen(Some("always_off"), None), "AlwaysOff");
        assert_eq!(
            chosen(Some("parentbased_traceidratio"), Some("0.25")),
            "TraceIdRatioBased(0.25)"
        );
        assert_eq!(chosen(Some("traceidratio"), Some("a lot")), "TraceIdRatioBased(1.0)");
    }
}
