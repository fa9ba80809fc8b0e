//! What the server counts, as Prometheus reads it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::http::StatusCode;

use crate::cache::Found;

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    answered: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
    failed: AtomicU64,
    texts_from_memory: AtomicU64,
    texts_from_disk: AtomicU64,
    texts_from_model: AtomicU64,
    passes: AtomicU64,
    pass_texts: AtomicU64,
    pass_microseconds: AtomicU64,
}

/// What is looked at when the metrics are read.
pub(super) struct Now {
    pub(super) ready: bool,
    pub(super) free_places: usize,
    pub(super) kept: usize,
}

impl Metrics {
    pub(super) fn count_answer(&self, status: StatusCode) {
        let counter = match status {
            status if status.is_success() => &self.answered,
            StatusCode::SERVICE_UNAVAILABLE => &self.unavailable,
            status if status.is_server_error() => &self.failed,
            _ => &self.refused,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn count_text(&self, found: Option<Found>) {
        let counter = match found {
            Some(Found::Memory) => &self.texts_from_memory,
            Some(Found::Disk) => &self.texts_from_disk,
            None => &self.texts_from_model,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_pass(&self, texts: usize, elapsed: Duration) {
        self.passes.fetch_add(1, Relaxed);
        self.pass_texts.fetch_add(texts as u64, Relaxed);
        self.pass_microseconds
            .fetch_add(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// All of it in Prometheus' text format.
    pub(super) fn text(&self, now: &Now) -> String {
        let value = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let mut page = Page(String::new());
        page.title(
            "requests_total",
            "counter",
            "Requests for embeddings by how they ended.",
        );
        page.row("requests_total{answer=\"ok\"}", value(&self.answered));
        page.row("requests_total{answer=\"refused\"}", value(&self.refused));
        page.row("requests_total{answer=\"unavailable\"}", value(&self.unavailable));
        page.row("requests_total{answer=\"failed\"}", value(&self.failed));
        page.title("texts_total", "counter", "Texts by where their embedding came from.");
        page.row("texts_total{from=\"memory\"}", value(&self.texts_from_memory));
        page.row("texts_total{from=\"disk\"}", value(&self.texts_from_disk));
        page.row("texts_total{from=\"model\"}", value(&self.texts_from_model));
        page.title("passes_total", "counter", "Forward passes of the model.");
        page.row("passes_total", value(&self.passes));
        page.title("pass_texts_total", "counter", "Texts in those passes.");
        page.row("pass_texts_total", value(&self.pass_texts));
        page.title("pass_seconds_total", "counter", "Time in those passes.");
        page.row("pass_seconds_total", value(&self.pass_microseconds) / 1e6);
        page.title("free_places", "gauge", "How many more texts may wait.");
        page.row("free_places", now.free_places as f64);
        page.title("kept_texts", "gauge", "Embeddings on disk.");
        page.row("kept_texts", now.kept as f64);
        page.title("ready", "gauge", "1 when the model is loaded.");
        page.row("ready", f64::from(u8::from(now.ready)));
        page.0
    }
}

/// A page of metrics in the making. Writing into a string cannot fail.
struct Page(String);

impl Page {
    fn title(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP gaia_inference_{name} {help}\n# TYPE gaia_inference_{name} {kind}"
        );
    }

    fn row(&mut self, name: &str, value: f64) {
        let _ = writeln!(self.0, "gaia_inference_{name} {value}");
    }
}
