//! Logs as JSON on standard error, metrics for Prometheus, traces over OTLP.
//!
//! - `GAIA_LOG`: what to log, as `tracing` directives. Default `info`.
//! - `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go, over HTTP. Default: nowhere.

use std::sync::OnceLock;

use gaia_names::{InstanceId, Service};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Starts logs and, where a receiver is named, traces. Once per process.
///
/// # Errors
///
/// Where the environment asks for what cannot be.
pub fn start(service: Service, instance: InstanceId) -> Result<Telemetry, TelemetryFault> {
    let filter = match crate::run::environment("GAIA_LOG") {
        Some(directives) => EnvFilter::try_new(directives)?,
        None => EnvFilter::new("info"),
    };
    let traces = match crate::run::environment("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Some(_) => Some(traces(service, instance)?),
        None => None,
    };
    let layer = traces.as_ref().map(|provider| {
        // Dependencies open spans of their own; what is traced is ours.
        let ours = tracing_subscriber::filter::filter_fn(|metadata| metadata.target().starts_with("gaia"));
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("gaia"))
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

fn traces(service: Service, instance: InstanceId) -> Result<SdkTracerProvider, TelemetryFault> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder()
        .with_service_name(format!("gaia-{service}"))
        .with_attribute(KeyValue::new("service.instance.id", instance.to_string()))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

impl Telemetry {
    /// Sends what has not been sent.
    pub fn flush(&self) {
        if let Some(Err(error)) = self.traces.as_ref().map(SdkTracerProvider::shutdown) {
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
