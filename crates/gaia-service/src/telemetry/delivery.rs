//! Spans on their way to the receiver: counted, with one line in the log when they cease to arrive and one when they
//! arrive again.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

/// An exporter whose failures are told once and not with every batch.
#[derive(Debug)]
pub(super) struct Delivery<E> {
    exporter: E,
    fails: AtomicBool,
}

impl<E> Delivery<E> {
    pub(super) const fn by(exporter: E) -> Self {
        Self {
            exporter,
            fails: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Delivery<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let outcome = self.exporter.export(batch).await;
        let failed_before = self.fails.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Ok(()) => metrics::counter!("gaia_spans_sent_total").increment(spans),
            Err(_) => metrics::counter!("gaia_spans_lost_total").increment(spans),
        }
        match &outcome {
            Err(error) if !failed_before => {
                tracing::warn!(error = %error, "traces do not arrive at OTEL_EXPORTER_OTLP_ENDPOINT and are dropped: {error}");
            }
            Ok(()) if failed_before => tracing::info!("traces arrive again"),
            _ => {}
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
