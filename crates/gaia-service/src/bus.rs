//! Speaking over NATS: questions with one answer, questions with a stream of answers, and answering both.

mod answers;
mod call;
mod events;

use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subscriber, client::RequestErrorKind};
use bytes::Bytes;
use gaia_names::{GameId, InstanceId, Service};
use gaia_protocol::{ErrorCode, Fault, Request, settings::NatsAccess, subjects};
use serde::{Serialize, de::DeserializeOwned};

use self::events::Again;
pub use self::{answers::Answers, call::Call, events::Events};

/// How many messages wait for a slow reader before more are dropped. A dropped delta is repaired from chat.
const WAITING_MESSAGES: usize = 4_096;

/// How long it takes until a question that nobody heard is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// How long the last words of a process may take to leave it.
const FLUSH: Duration = Duration::from_millis(500);

/// One game's connection, as one service. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    game: GameId,
}

/// NATS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BusFault {
    /// The address or the credentials cannot be used.
    #[error("cannot connect to nats")]
    Connect(#[from] async_nats::ConnectError),
    /// A subscription was refused.
    #[error("cannot listen on nats")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// Not connected just now; the client keeps trying.
    #[error("not connected to nats")]
    Away,
}

impl Bus {
    /// Connects as one service of one game, and again whenever the connection breaks. Returns at once: a NATS that is
    /// not there yet is waited for in the background.
    ///
    /// # Errors
    ///
    /// Where the address cannot be read.
    pub async fn connect(
        access: &NatsAccess,
        game: &GameId,
        service: Service,
        instance: InstanceId,
    ) -> Result<Self, BusFault> {
        let options = ConnectOptions::with_user_and_password(access.user.clone(), access.password.expose().to_owned())
            .name(format!("{game}/{service}/{instance}"))
            .custom_inbox_prefix(subjects::inbox_prefix(service))
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(None)
            .ping_interval(Duration::from_secs(5))
            .subscription_capacity(WAITING_MESSAGES)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(u64::try_from(attempts).unwrap_or(20).clamp(1, 20) * 50)
            })
            .max_reconnects(None)
            .retry_on_initial_connect();
        let servers: Vec<&str> = access.address.split(',').collect();
        let client = options.connect(servers).await?;
        Ok(Self {
            client,
            game: game.clone(),
        })
    }

    /// The game that this connection belongs to.
    #[must_use]
    pub fn game(&self) -> &GameId {
        &self.game
    }

    /// Whether NATS is connected.
    ///
    /// # Errors
    ///
    /// Where it is not, just now.
    pub fn check(&self) -> Result<(), BusFault> {
        match self.client.connection_state() {
            async_nats::connection::State::Connected => Ok(()),
            _ => Err(BusFault::Away),
        }
    }

    /// Asks a service and waits for its answer, up to the call's deadline.
    ///
    /// # Errors
    ///
    /// The service's own refusal, or that it did not answer.
    pub async fn ask<R: Request>(&self, call: &Call, question: &R) -> Result<R::Reply, Fault> {
        self.ask_at(R::subject(&self.game), call, question).await
    }

    /// Asks on a subject of its own, such as a turn's.
    ///
    /// # Errors
    ///
    /// The answer's own refusal, or that nobody answered.
    pub async fn ask_at<Q, A>(&self, subject: String, call: &Call, question: &Q) -> Result<A, Fault>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let payload = encode(question)?;
        let again_until = call.asked_again_until();
        let answer = loop {
            let request = async_nats::Request::new()
                .payload(payload.clone())
                .headers(call.headers())
                .timeout(Some(call.remaining()));
            match self.client.send_request(subject.clone(), request).await {
                Ok(answer) => break answer,
                // Nobody has heard it, so asking again cannot do anything twice.
                Err(error) if error.kind() == RequestErrorKind::NoResponders && Instant::now() < again_until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => return Err(self.no_answer(&subject, error.kind())),
            }
        };
        decode::<Result<A, Fault>>(&answer.payload)?
    }

    /// Asks a question that is answered with a stream of `E`.
    ///
    /// # Errors
    ///
    /// Where NATS is away.
    pub async fn ask_stream<E: DeserializeOwned>(
        &self,
        subject: String,
        call: &Call,
        question: &(impl Serialize + Sync),
    ) -> Result<Events<E>, Fault> {
        let away = |_| Fault::from(ErrorCode::Unavailable);
        let inbox = self.client.new_inbox();
        let messages = self.client.subscribe(inbox.clone()).await.map_err(away)?;
        let again = Again::new(self.client.clone(), (subject, inbox), call, encode(question)?);
        again.ask().await?;
        Ok(Events::new(messages, again))
    }

    /// Tells everybody who listens on a subject.
    ///
    /// # Errors
    ///
    /// Where NATS is away.
    pub async fn tell(&self, subject: String, message: &(impl Serialize + Sync)) -> Result<(), Fault> {
        self.client
            .publish(subject, encode(message)?)
            .await
            .map_err(|_| ErrorCode::Unavailable.into())
    }

    /// Hears everything on a subject that is no question, or a question that only one of many listeners can answer.
    ///
    /// # Errors
    ///
    /// Where the subscription is refused.
    pub async fn hear(&self, subject: String) -> Result<Subscriber, BusFault> {
        Ok(self.client.subscribe(subject).await?)
    }

    /// A way to send events to the inbox of a message that was heard, if it has one.
    #[must_use]
    pub fn sink_for(&self, message: &Message) -> Option<EventSink> {
        let inbox = message.reply.clone()?;
        Some(EventSink {
            client: self.client.clone(),
            inbox,
        })
    }

    /// Waits, for a moment, until what was said has left this process.
    pub async fn flush(&self) {
        let _ = tokio::time::timeout(FLUSH, self.client.flush()).await;
    }

    fn no_answer(&self, subject: &str, kind: RequestErrorKind) -> Fault {
        tracing::warn!(game.name = %self.game, subject, cause = ?kind, "nobody answered on `{subject}`: {kind:?}");
        match kind {
            RequestErrorKind::TimedOut => ErrorCode::DeadlineExceeded.into(),
            RequestErrorKind::MaxPayloadExceeded => ErrorCode::BodyTooLarge.into(),
            _ => Fault::from(ErrorCode::Unavailable).retry_after_ms(500),
        }
    }
}

/// Where a stream of answers goes.
#[derive(Clone)]
pub struct EventSink {
    client: Client,
    inbox: async_nats::Subject,
}

impl EventSink {
    /// Sends one event. The asker may be gone; that is not our fault, so there is no error.
    pub async fn event(&self, event: &(impl Serialize + Sync)) {
        self.publish(&Ok::<_, Fault>(event)).await;
    }

    /// Ends the stream with a refusal.
    pub async fn refuse(&self, fault: Fault) {
        self.publish(&Err::<(), _>(fault)).await;
    }

    async fn publish(&self, answer: &(impl Serialize + Sync)) {
        let sent = match encode(answer) {
            Ok(payload) => self.client.publish(self.inbox.clone(), payload).await.is_ok(),
            Err(_) => false,
        };
        if !sent {
            tracing::debug!("an answer could not be sent");
        }
    }
}

fn encode(message: &impl Serialize) -> Result<Bytes, Fault> {
    serde_json::to_vec(message).map(Bytes::from).map_err(|error| {
        tracing::error!(error = %error, "a message cannot be written: {error}");
        ErrorCode::Internal.into()
    })
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(payload).map_err(|error| {
        // The text itself may be a player's, so only the place is logged.
        let place = error.column();
        tracing::error!(
            place,
            "a message cannot be read: {:?} at byte {place}",
            error.classify()
        );
        ErrorCode::Internal.into()
    })
}

fn header(headers: Option<&HeaderMap>, name: &'static str) -> Option<String> {
    headers?.get(name).map(|value| value.as_str().to_owned())
}
