//! One socket: one task, one timer, and turns only while they run.

mod flows;
mod hear;

use std::{ops::ControlFlow, pin::pin, time::Duration, time::Instant as Clock};

use futures::{SinkExt, StreamExt};
use gaia_protocol::{ErrorCode, Fault, auth::ReadPlayer, realtime::ServerMessage};
use metrics::Gauge;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use self::flows::Flows;
use crate::{
    asked::Asked,
    game::Shared,
    patient::Patient,
    tokens::{self, Verified},
};

/// How long a socket may be open before somebody signs in on it.
const SIGN_IN_TIME: Duration = Duration::from_secs(10);
/// How often we ask whether somebody is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// After so many pings without any sign of life the socket is closed.
const MOST_UNANSWERED: u8 = 2;
/// How often an idle socket's session is checked. Each message checks it too.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How long the client may take to answer our closing.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// Nobody is signed in any more: sign in and connect again.
const UNAUTHORIZED: CloseCode = CloseCode::Library(4401);

/// Goes on, or ends.
type Step = ControlFlow<End>;

/// How a socket ends.
enum End {
    /// The client is gone; there is nobody to tell.
    Gone,
    /// We close it, and say why.
    Close(CloseCode, &'static str),
}

/// A socket and who is on it.
pub(super) struct Talk {
    socket: WebSocketStream<Patient>,
    game: Shared,
    asked: Asked,
    who: Option<Verified>,
    flows: Flows,
    /// When somebody must have signed in, or signed in again.
    signed_in_until: Instant,
    ping_at: Instant,
    check_at: Instant,
    unanswered: u8,
    /// When the client's messages are back at their even pace.
    messages_due: Clock,
    open: Gauge,
}

impl Talk {
    pub(super) fn new(socket: WebSocketStream<Patient>, game: Shared, asked: Asked) -> Self {
        let now = Instant::now();
        let open = metrics::gauge!("gaia_open_sockets", "game" => game.id.to_string());
        open.increment(1);
        Self {
            socket,
            game,
            asked,
            who: None,
            flows: Flows::default(),
            signed_in_until: now + SIGN_IN_TIME,
            ping_at: now + PING_EVERY,
            check_at: now + CHECK_EVERY,
            unanswered: 0,
            messages_due: Clock::now(),
            open,
        }
    }

    /// Talks until one side ends it. Turns go on without us. What happens rarely is boxed, so that an idle socket is small.
    pub(super) async fn run(mut self, who: Option<Verified>) {
        let greeted = match who {
            Some(who) => Box::pin(self.greet(who)).await,
            None => Step::Continue(()),
        };
        let end = match greeted {
            Step::Continue(()) => self.converse().await,
            Step::Break(end) => end,
        };
        if let End::Close(code, reason) = end {
            Box::pin(self.close(code, reason)).await;
        }
    }

    async fn converse(&mut self) -> End {
        let tasks = self.game.tasks.clone();
        let mut timer = pin!(sleep_until(self.next_due()));
        let mut draining = pin!(tasks.draining());
        loop {
            let step = tokio::select! {
                message = self.socket.next() => Box::pin(self.heard(message)).await,
                (place, event) = self.flows.next() => Box::pin(self.pass_on(place, event)).await,
                () = &mut timer => Box::pin(self.tick()).await,
                () = &mut draining => Box::pin(self.say_draining()).await,
            };
            if let Step::Break(end) = step {
                return end;
            }
            let next = self.next_due();
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
        }
    }

    fn next_due(&self) -> Instant {
        self.ping_at.min(self.check_at).min(self.signed_in_until)
    }

    async fn heard(&mut self, message: Option<Result<Message, Error>>) -> Step {
        self.unanswered = 0;
        match message {
            Some(Ok(Message::Text(text))) => self.hear(&text).await,
            Some(Ok(Message::Binary(_))) => {
                let fault = Fault::new(ErrorCode::BadRequest, "Messages are JSON in text frames.");
                self.refuse(&fault, None).await
            }
            // Pings are answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Step::Continue(()),
            Some(Err(Error::Capacity(_))) => Step::Break(End::Close(CloseCode::Size, "messages have at most 32 KiB")),
            Some(Err(Error::Utf8(_))) => Step::Break(End::Close(CloseCode::Invalid, "messages are UTF-8")),
            Some(Err(Error::Protocol(_))) => Step::Break(End::Close(CloseCode::Protocol, "this is no WebSocket frame")),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Step::Break(End::Gone),
        }
    }

    /// What is due by the clock.
    async fn tick(&mut self) -> Step {
        let now = Instant::now();
        if now >= self.signed_in_until {
            let code = match self.who {
                Some(_) => ErrorCode::TokenExpired,
                None => ErrorCode::SignInFirst,
            };
            return self.sign_off(code.into()).await;
        }
        if now >= self.check_at {
            self.check_at = now + CHECK_EVERY;
            if let Some(who) = self.who {
                let held = self.game.admission.still_holds(&self.asked.call(), &who.caller).await;
                if let Err(fault) = held
                    && fault.code == ErrorCode::SessionEnded
                {
                    return self.sign_off(fault).await;
                }
            }
        }
        if now >= self.ping_at {
            self.ping_at = now + PING_EVERY;
            if self.unanswered >= MOST_UNANSWERED {
                return Step::Break(End::Gone);
            }
            self.unanswered += 1;
            return self.put(Message::Ping(Default::default())).await;
        }
        Step::Continue(())
    }

    /// Somebody is signed in from here on.
    async fn greet(&mut self, who: Verified) -> Step {
        let question = ReadPlayer { caller: who.caller };
        let player = match self.game.bus.ask(&self.asked.call(), &question).await {
            Ok(player) => player,
            Err(fault) => return self.refuse(&fault, None).await,
        };
        let left = u64::try_from(who.expires_at - tokens::now()).unwrap_or_default();
        self.signed_in_until = Instant::now() + Duration::from_secs(left);
        self.who = Some(who);
        let expires_at = who.expires_at;
        self.send(&ServerMessage::SignedIn { player, expires_at }).await
    }

    async fn say_draining(&mut self) -> Step {
        match self.send(&ServerMessage::Draining {}).await {
            Step::Continue(()) => Step::Break(End::Close(CloseCode::Restart, "the gateway restarts; connect again")),
            gone => gone,
        }
    }

    /// Says that nobody is signed in any more, and ends.
    async fn sign_off(&mut self, fault: Fault) -> Step {
        match self.refuse(&fault, None).await {
            Step::Continue(()) => Step::Break(End::Close(UNAUTHORIZED, fault.code.as_str())),
            gone => gone,
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Step {
        match serde_json::to_string(message) {
            Ok(text) => self.put(Message::text(text)).await,
            Err(_) => Step::Break(End::Close(CloseCode::Error, "a message cannot be written")),
        }
    }

    async fn put(&mut self, message: Message) -> Step {
        match self.socket.send(message).await {
            Ok(()) => Step::Continue(()),
            Err(_) => Step::Break(End::Gone),
        }
    }

    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let closing = async {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            if self.socket.close(Some(frame)).await.is_ok() {
                // Without reading on, what the client is just sending would make the system drop our last words.
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // A client that does not answer is left behind.
        let _ = tokio::time::timeout(CLOSING_TIME, closing).await;
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.open.decrement(1);
    }
}
