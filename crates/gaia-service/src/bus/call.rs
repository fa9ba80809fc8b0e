//! What travels with every question: who asked it first, until when, and as part of which trace.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use gaia_protocol::subjects::{DEADLINE_HEADER, REQUEST_HEADER, TRACEPARENT_HEADER};

/// The longest that anybody waits. A header that asks for more is cut to this.
const LONGEST: Duration = Duration::from_secs(120);

/// How long a question waits for somebody to be there: a service that has just started, or whose only instance is being
/// exchanged, is about to listen.
const NOBODY_YET: Duration = Duration::from_millis(500);

/// A question's origin and deadline.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request id that the gateway gave: in logs and in the answer to the client.
    pub request: String,
    /// W3C Trace Context, where traces are on.
    pub traceparent: Option<String>,
    /// When the asker stops waiting, in milliseconds since the Unix epoch.
    deadline_ms: u64,
    /// How long it waits for somebody to be there.
    nobody_yet: Duration,
}

impl Call {
    /// A call that waits this long from now.
    #[must_use]
    pub fn new(request: impl Into<String>, wait: Duration) -> Self {
        let deadline_ms = now_ms() + millis(wait.min(LONGEST));
        Self {
            request: request.into(),
            traceparent: None,
            deadline_ms,
            nobody_yet: NOBODY_YET,
        }
    }

    /// The same call as part of a trace.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// The same call to somebody who is there now or never, such as whoever works on a turn.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.nobody_yet = Duration::ZERO;
        self
    }

    /// Until when the question is asked again if nobody is there.
    pub(super) fn asked_again_until(&self) -> Instant {
        Instant::now() + self.nobody_yet.min(self.remaining())
    }

    /// How long the asker still waits.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.saturating_sub(now_ms()))
    }

    pub(super) fn of(headers: Option<&HeaderMap>) -> Self {
        let asked = super::header(headers, DEADLINE_HEADER).and_then(|text| text.parse().ok());
        let latest = now_ms() + millis(LONGEST);
        Self {
            request: super::header(headers, REQUEST_HEADER).unwrap_or_default(),
            traceparent: super::header(headers, TRACEPARENT_HEADER),
            deadline_ms: asked.unwrap_or(latest).min(latest),
            nobody_yet: NOBODY_YET,
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(DEADLINE_HEADER, self.deadline_ms.to_string());
        // A header with a line break in it would be a panic in the client; ids never have one, but input decides.
        if self.request.bytes().all(|byte| byte.is_ascii_graphic()) {
            headers.insert(REQUEST_HEADER, self.request.as_str());
        }
        if let Some(traceparent) = &self.traceparent {
            headers.insert(TRACEPARENT_HEADER, traceparent.as_str());
        }
        headers
    }
}

fn now_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
