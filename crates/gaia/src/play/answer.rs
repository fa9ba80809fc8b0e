//! Reads what the gateway answers: bounded, and refusals as problem+json.

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt, stream};
use gaia_protocol::chat::TurnEvent;
use reqwest::{RequestBuilder, Response, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::fault::{ApiFault, Problem};

/// The largest answer, and the largest whole stream, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;

/// One value.
pub(super) async fn answer<T: DeserializeOwned>(ask: RequestBuilder) -> Result<T, ApiFault> {
    let response = ask.send().await?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let body = whole(response).await?;
    serde_json::from_slice(&body).map_err(|fault| ApiFault::Garbled(fault.to_string()))
}

/// The rows of a list: a page of them or all.
pub(super) async fn rows<T: DeserializeOwned>(ask: RequestBuilder) -> Result<Vec<T>, ApiFault> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rows<T> {
        All(Vec<T>),
        Page { items: Vec<T> },
    }
    Ok(match answer::<Rows<T>>(ask).await? {
        Rows::All(rows) | Rows::Page { items: rows } => rows,
    })
}

/// What a refusal says.
pub(super) async fn refusal(response: Response) -> ApiFault {
    let status = response.status().as_u16();
    let wait = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
    let said = whole(response)
        .await
        .ok()
        .and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
    // A proxy in between may refuse without a problem document.
    let problem = said.unwrap_or_else(|| Problem::of_status(status));
    ApiFault::Refused(Problem {
        retry_after_ms: wait.map(|seconds| seconds.saturating_mul(1_000)),
        ..problem
    })
}

/// The events of a turn, until the connection ends.
pub(super) fn events(response: Response) -> impl Stream<Item = Result<TurnEvent, ApiFault>> + Send {
    let mut room = LARGEST;
    let bytes = response.bytes_stream().map(move |piece| {
        let piece = piece.map_err(ApiFault::from)?;
        room = room.checked_sub(piece.len()).ok_or(ApiFault::TooLarge)?;
        Ok::<_, ApiFault>(piece)
    });
    bytes.eventsource().flat_map(|event| {
        stream::iter(match event {
            Ok(event) => read_event(&event.event, &event.data).transpose(),
            Err(eventsource_stream::EventStreamError::Transport(fault)) => Some(Err(fault)),
            Err(fault) => Some(Err(ApiFault::Garbled(fault.to_string()))),
        })
    })
}

/// One event; none for a kind that this version does not know, which is for it to ignore.
fn read_event(kind: &str, data: &str) -> Result<Option<TurnEvent>, ApiFault> {
    let garbled = |fault: serde_json::Error| ApiFault::Garbled(fault.to_string());
    let value: Value = serde_json::from_str(data).map_err(garbled)?;
    match kind {
        "accepted" | "interim" | "tool" | "ask" | "delta" | "alive" | "final" => {
            serde_json::from_value(value).map(Some).map_err(garbled)
        }
        "error" => Err(ApiFault::Refused(serde_json::from_value(value).map_err(garbled)?)),
        _ => Ok(None),
    }
}

async fn whole(mut response: Response) -> Result<Vec<u8>, ApiFault> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > LARGEST {
            return Err(ApiFault::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
