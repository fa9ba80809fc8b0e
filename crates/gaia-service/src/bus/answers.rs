//! Answering: one subscription per question, a bounded number in hand, and `overloaded` for the rest.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use async_nats::{Message, Subscriber};
use futures::{FutureExt, StreamExt};
use gaia_names::GameId;
use gaia_protocol::{ErrorCode, Fault, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, field};

use super::{Bus, BusFault, Call, EventSink, decode};
use crate::{Tasks, trace};

/// Answers the questions of one game as one service. Instances of the service share the questions.
#[derive(Clone)]
pub struct Answers {
    bus: Bus,
    tasks: Tasks,
    places: Arc<Semaphore>,
}

impl Answers {
    /// At most `places` questions are in hand at once; the next one is told that the service is busy.
    #[must_use]
    pub fn new(bus: &Bus, tasks: &Tasks, places: usize) -> Self {
        Self {
            bus: bus.clone(),
            tasks: tasks.clone(),
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// Answers one kind of question.
    ///
    /// # Errors
    ///
    /// Where the subscription is refused.
    pub async fn to<R, F, A>(&self, answer: F) -> Result<(), BusFault>
    where
        R: Request,
        F: Fn(Call, R) -> A + Send + Sync + 'static,
        A: Future<Output = Result<R::Reply, Fault>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        self.take_in::<R>(move |call, question: Result<R, Fault>, sink: EventSink| {
            let answer = Arc::clone(&answer);
            async move {
                let result = match question {
                    Ok(question) => guarded(answer(call, question)).await.unwrap_or_else(Err),
                    Err(fault) => Err(fault),
                };
                let code = result.as_ref().err().map(|fault| fault.code);
                sink.publish(&result).await;
                code
            }
        })
        .await
    }

    /// Answers one kind of question with a stream of events; a refusal ends it.
    ///
    /// # Errors
    ///
    /// Where the subscription is refused.
    pub async fn to_stream<R, F, A>(&self, answer: F) -> Result<(), BusFault>
    where
        R: Request,
        F: Fn(Call, R, EventSink) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        self.take_in::<R>(move |call, question: Result<R, Fault>, sink: EventSink| {
            let answer = Arc::clone(&answer);
            async move {
                let result = match question {
                    Ok(question) => guarded(answer(call, question, sink.clone())).await.unwrap_or_else(Err),
                    Err(fault) => Err(fault),
                };
                let fault = result.err()?;
                let code = fault.code;
                sink.refuse(fault).await;
                Some(code)
            }
        })
        .await
    }

    async fn take_in<R: Request>(&self, work: impl Work<R>) -> Result<(), BusFault> {
        let subject = R::subject(&self.bus.game);
        let messages = self.bus.client.queue_subscribe(subject, R::SERVICE.to_string()).await?;
        self.tasks.spawn(self.clone().until_draining(messages, work));
        Ok(())
    }

    async fn until_draining<R: Request>(self, mut messages: Subscriber, work: impl Work<R>) {
        let labels = [
            ("game", self.bus.game.to_string()),
            ("service", R::SERVICE.to_string()),
            ("verb", R::VERB.to_owned()),
        ];
        let seconds = metrics::histogram!("gaia_request_seconds", &labels);
        let work = Arc::new(work);
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = self.tasks.draining() => {
                    // What NATS has already handed to us is still ours to answer.
                    let _ = messages.drain().await;
                    messages.next().await
                }
            };
            let Some(message) = message else { return };
            let Some(sink) = self.bus.sink_for(&message) else {
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.refuse_overloaded(&labels, sink);
                continue;
            };
            let (work, seconds, labels) = (Arc::clone(&work), seconds.clone(), labels.clone());
            let (bus, tasks) = (self.bus.clone(), self.tasks.clone());
            self.tasks.spawn(async move {
                let began = Instant::now();
                let code = one(&*work, &message, bus.game(), sink, place).await;
                seconds.record(began.elapsed());
                if let Some(code) = code {
                    count_refusal(&labels, code);
                }
                if tasks.is_draining() {
                    // The process may end as soon as this task has, and the answer must not end with it.
                    bus.flush().await;
                }
            });
        }
    }

    fn refuse_overloaded(&self, labels: &[(&'static str, String); 3], sink: EventSink) {
        count_refusal(labels, ErrorCode::Overloaded);
        let fault = Fault::from(ErrorCode::Overloaded).retry_after_ms(500);
        self.tasks.spawn(async move { sink.refuse(fault).await });
    }
}

/// What is done with one question; says with which code it was refused, if it was.
trait Work<R>: Send + Sync + 'static {
    fn work(
        &self,
        call: Call,
        question: Result<R, Fault>,
        sink: EventSink,
    ) -> impl Future<Output = Option<ErrorCode>> + Send;
}

impl<R, F, A> Work<R> for F
where
    F: Fn(Call, Result<R, Fault>, EventSink) -> A + Send + Sync + 'static,
    A: Future<Output = Option<ErrorCode>> + Send,
{
    fn work(
        &self,
        call: Call,
        question: Result<R, Fault>,
        sink: EventSink,
    ) -> impl Future<Output = Option<ErrorCode>> + Send {
        self(call, question, sink)
    }
}

async fn one<R: Request>(
    work: &impl Work<R>,
    message: &Message,
    game: &GameId,
    sink: EventSink,
    _place: OwnedSemaphorePermit,
) -> Option<ErrorCode> {
    let mut call = Call::of(message.headers.as_ref());
    let span = tracing::info_span!("answer", otel.kind = "server", game.name = %game, verb = R::VERB,
        request = %call.request, trace_id = field::Empty);
    trace::adopt(&span, call.traceparent.as_deref());
    if let Some(traceparent) = trace::traceparent(&span) {
        call.traceparent = Some(traceparent);
    }
    let question = if call.remaining().is_zero() {
        Err(ErrorCode::DeadlineExceeded.into())
    } else {
        decode(&message.payload)
    };
    work.work(call, question, sink).instrument(span).await
}

/// A panic while answering is a bug, but the asker must not wait for nothing.
async fn guarded<T>(answer: impl Future<Output = T>) -> Result<T, Fault> {
    AssertUnwindSafe(answer)
        .catch_unwind()
        .await
        .map_err(|_| ErrorCode::Internal.into())
}

fn count_refusal(labels: &[(&'static str, String); 3], code: ErrorCode) {
    let mut labels = labels.to_vec();
    labels.push(("code", code.as_str().to_owned()));
    metrics::counter!("gaia_refusals_total", &labels).increment(1);
}
