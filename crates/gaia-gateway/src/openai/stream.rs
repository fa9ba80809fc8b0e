//! A reply piece by piece, as server-sent events.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::stream::{self, StreamExt};
use gaia_protocol::{
    Fault,
    chat::{Turn, TurnEvent, TurnUsage},
};

use super::{
    Refused,
    completion::Completion,
    form::{Form, guessed},
};

/// Chat says every second that it is alive; every tenth is told on, to keep proxies from closing the connection.
const ALIVES_TO_A_COMMENT: u8 = 10;

/// A reply on its way. Dropping it in the middle stops the turn: a client of OpenAI's cannot come back to it.
struct Stream<F> {
    completion: Completion,
    form: F,
    heard: String,
    is_over: bool,
    alives: u8,
}

/// 200 with all pieces.
pub(super) fn answer(completion: Completion, mut form: impl Form) -> Response {
    let begin = stream::once(std::future::ready(form.begin()));
    let stream = Stream {
        completion,
        form,
        heard: String::new(),
        is_over: false,
        alives: 0,
    };
    let rest = stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((text, stream))
    });
    let body = Body::from_stream(begin.chain(rest).map(|text| Ok::<_, Infallible>(Bytes::from(text))));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold the words back.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, body).into_response()
}

impl<F: Form> Stream<F> {
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        loop {
            match self.completion.next().await {
                Ok(TurnEvent::Delta { text, .. }) => return Some(self.say(&text)),
                Ok(TurnEvent::Tool(news)) if self.completion.shows_tools => {
                    return Some(self.form.tool(&news));
                }
                Ok(TurnEvent::Final { turn, usage }) => return Some(self.end(&turn, usage).await),
                Ok(TurnEvent::Alive {}) => {
                    self.alives += 1;
                    if self.alives >= ALIVES_TO_A_COMMENT {
                        self.alives = 0;
                        return Some(": alive\n\n".to_owned());
                    }
                }
                // Whatever else is told of a turn is no part of the reply.
                Ok(_) => {}
                Err(fault) => return Some(self.fail(fault).await),
            }
        }
    }

    fn say(&mut self, text: &str) -> String {
        self.heard.push_str(text);
        self.form.say(text)
    }

    async fn end(&mut self, turn: &Turn, usage: Option<TurnUsage>) -> String {
        let reply = turn.reply.as_ref().map_or("", |reply| reply.text.as_str());
        // A turn that was over when it was looked up comes without its pieces.
        let mut text = match reply.strip_prefix(self.heard.as_str()) {
            Some(rest) if !rest.is_empty() => self.say(rest),
            _ => String::new(),
        };
        // Before the client knows that it is the end, so that it can go on at once.
        self.is_over = true;
        self.completion.goes_on(&self.heard).await;
        let usage = usage.unwrap_or_else(|| guessed(turn));
        text.push_str(&self.form.end(turn, &usage));
        text
    }

    async fn fail(&mut self, fault: Fault) -> String {
        self.is_over = true;
        self.completion.goes_back().await;
        self.form.fail(&Refused::from(fault))
    }
}

impl<F> Drop for Stream<F> {
    fn drop(&mut self) {
        if !self.is_over {
            self.completion.leave(std::mem::take(&mut self.heard));
        }
    }
}
