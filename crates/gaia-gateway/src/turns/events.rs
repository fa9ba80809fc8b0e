//! A turn as server-sent events.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::stream::{self, StreamExt};
use gaia_protocol::{Fault, chat::TurnEvent};

use super::Following;
use crate::{asked::Asked, problem::Problem};

/// Chat says every second that it is alive; every tenth is told on, to keep proxies from closing the connection.
const ALIVES_TO_A_COMMENT: u8 = 10;

/// 200 with the first event and all that follow. What is not read stays in bounded buffers: when they are full, deltas
/// are dropped on the way and asked for again.
pub(crate) fn answer(asked: Asked, first: TurnEvent, following: Following) -> Response {
    let request = asked.id;
    let is_over = first.is_last();
    let begin = stream::once(std::future::ready(event(&first)));
    let rest = stream::unfold(
        (following, is_over, 0_u8),
        move |(mut following, is_over, mut alives)| {
            let request = request.clone();
            async move {
                if is_over {
                    return None;
                }
                loop {
                    let (text, is_over) = match following.next().await? {
                        Ok(TurnEvent::Alive {}) => {
                            alives += 1;
                            if alives < ALIVES_TO_A_COMMENT {
                                continue;
                            }
                            alives = 0;
                            (": alive\n\n".to_owned(), false)
                        }
                        Ok(next) => (event(&next), next.is_last()),
                        Err(fault) => (error(&fault, &request), true),
                    };
                    return Some((text, (following, is_over, alives)));
                }
            }
        },
    );
    let body = Body::from_stream(begin.chain(rest).map(|text| Ok::<_, Infallible>(Bytes::from(text))));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold the words back.
        (
            "x-accel-buffering".parse().expect("it is a name"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, body).into_response()
}

fn event(event: &TurnEvent) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    match event {
        TurnEvent::Accepted { .. } => format!("event: accepted\nid: 0\ndata: {data}\n\n"),
        TurnEvent::Delta { number, .. } => format!("event: delta\nid: {number}\ndata: {data}\n\n"),
        TurnEvent::Interim { .. } => format!("event: interim\ndata: {data}\n\n"),
        TurnEvent::Tool(_) => format!("event: tool\ndata: {data}\n\n"),
        TurnEvent::Ask(_) => format!("event: ask\ndata: {data}\n\n"),
        TurnEvent::Final { .. } => format!("event: final\ndata: {data}\n\n"),
        TurnEvent::Alive {} => ": alive\n\n".to_owned(),
    }
}

fn error(fault: &Fault, request: &str) -> String {
    let data = Problem::of(fault, request).to_json();
    format!("event: error\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use gaia_protocol::ErrorCode;

    use super::*;

    #[test]
    fn words_cannot_break_out_of_their_event() {
        let text = event(&TurnEvent::Delta {
            number: 7,
            text: "a\n\nevent: final\r\ndata: {}\u{2028}".to_owned(),
        });
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("event: delta\nid: 7\ndata: {"), "{text}");
        assert!(text.ends_with("}\n\n"), "{text}");
    }

    #[test]
    fn a_lost_turn_is_told_as_a_problem() {
        let text = error(&ErrorCode::TurnInterrupted.into(), "req_1");
        assert!(text.starts_with("event: error\ndata: {\"type\":"), "{text}");
        assert!(text.contains("turn_interrupted") && text.contains("req_1"), "{text}");
    }
}
