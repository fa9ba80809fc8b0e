//! Events out of a provider's answer, with bounds on what it may send.

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource};
use futures::{Stream, StreamExt};

use super::models::RouteFault;

/// The longest line.
const LONGEST_LINE: usize = 1024 * 1024;
/// The most bytes of one answer.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// How many events that have arrived together are read together.
const TOGETHER: usize = 64;

/// The data of events, as many at once as have arrived.
pub(super) fn events(
    bytes: impl Stream<Item = reqwest::Result<Bytes>> + Send,
) -> impl Stream<Item = Vec<Result<String, RouteFault>>> + Send {
    let (mut line, mut all) = (0, 0);
    let bounded = bytes.map(move |chunk| {
        let chunk = chunk.map_err(|error| RouteFault::Broken(Box::new(error)))?;
        all += chunk.len();
        line = match chunk.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => chunk.len() - end - 1,
            None => line + chunk.len(),
        };
        if line > LONGEST_LINE || all > MOST_BYTES {
            return Err(RouteFault::TooLarge);
        }
        Ok(chunk)
    });
    bounded
        .eventsource()
        .map(|event| match event {
            Ok(event) => Ok(event.data),
            Err(EventStreamError::Transport(fault)) => Err(fault),
            Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => Err(RouteFault::Garbage),
        })
        .ready_chunks(TOGETHER)
}
