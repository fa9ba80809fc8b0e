//! The answers to a question with many, which is asked again while nobody is there to hear it.

use std::{marker::PhantomData, time::Instant};

use async_nats::{Client, HeaderMap, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use gaia_protocol::{ErrorCode, Fault};
use serde::de::DeserializeOwned;

use super::{ASK_AGAIN, Call, decode};

/// The answers to a question with many.
pub struct Events<E> {
    messages: Subscriber,
    /// The question, until somebody has heard it.
    again: Option<Again>,
    events: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Events<E> {
    pub(super) fn new(messages: Subscriber, again: Again) -> Self {
        Self {
            messages,
            again: Some(again),
            events: PhantomData,
        }
    }

    /// The next one; none when the connection was lost for good. Nothing is lost if the wait for it is given up.
    ///
    /// # Errors
    ///
    /// The refusal that ends the stream, or that nobody took the question.
    pub async fn next(&mut self) -> Option<Result<E, Fault>> {
        loop {
            if let Some(again) = &mut self.again
                && let Err(fault) = again.ask_when_due().await
            {
                return Some(Err(fault));
            }
            let message = self.messages.next().await?;
            if message.status != Some(StatusCode::NO_RESPONDERS) {
                self.again = None;
                return Some(decode::<Result<E, Fault>>(&message.payload).and_then(|answer| answer));
            }
            if !self.again.as_mut().is_some_and(Again::is_due_again) {
                return Some(Err(Fault::from(ErrorCode::Unavailable).retry_after_ms(500)));
            }
        }
    }
}

/// A question that can be asked again.
pub(super) struct Again {
    client: Client,
    subject: String,
    inbox: String,
    headers: HeaderMap,
    payload: Bytes,
    until: Instant,
    due: Option<Instant>,
}

impl Again {
    pub(super) fn new(client: Client, (subject, inbox): (String, String), call: &Call, payload: Bytes) -> Self {
        Self {
            client,
            subject,
            inbox,
            headers: call.headers(),
            payload,
            until: call.asked_again_until(),
            due: None,
        }
    }

    pub(super) async fn ask(&self) -> Result<(), Fault> {
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        let asked =
            self.client
                .publish_with_reply_and_headers(subject, inbox, self.headers.clone(), self.payload.clone());
        asked.await.map_err(|_| ErrorCode::Unavailable.into())
    }

    async fn ask_when_due(&mut self) -> Result<(), Fault> {
        let Some(due) = self.due else { return Ok(()) };
        tokio::time::sleep_until(due.into()).await;
        self.ask().await?;
        self.due = None;
        Ok(())
    }

    /// Nobody has heard it. Whether it is asked once more.
    fn is_due_again(&mut self) -> bool {
        let now = Instant::now();
        self.due = (now < self.until).then_some(now + ASK_AGAIN);
        self.due.is_some()
    }
}
