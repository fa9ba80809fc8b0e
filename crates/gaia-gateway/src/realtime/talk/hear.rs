//! What a client says on its socket, and what is done about it.

use std::time::Instant as Clock;

use gaia_names::{ConversationId, TurnId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::Caller,
    chat::{LONGEST_MESSAGE, PlayerAnswer, TurnState},
    realtime::{ClientMessage, ServerMessage, SocketEvent},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{End, Step, Talk, flows, flows::Happening};
use crate::{
    caller::admitted,
    extract::parse,
    inputs::prose,
    rate::Rate,
    turns::{Following, Place, answer, cancel, read},
};

/// How many messages a socket may send in a second, evenly, and how many at once.
const MESSAGES: (u32, u32) = (20, 60);

impl Talk {
    pub(super) async fn hear(&mut self, text: &str) -> Step {
        let rate = Rate::per_second(MESSAGES.0, MESSAGES.1);
        if rate.take(&mut self.messages_due, Clock::now()).is_err() {
            return Step::Break(End::Close(CloseCode::Policy, "too many messages"));
        }
        let message = match parse::<ClientMessage>(text.as_bytes()) {
            Ok(message) => message,
            Err(fault) => return self.refuse(&fault, None).await,
        };
        match message {
            ClientMessage::Ping {} => self.send(&ServerMessage::Pong {}).await,
            ClientMessage::SignIn { access_token } => self.sign_in(&access_token).await,
            ClientMessage::Say {
                conversation,
                turn,
                text,
            } => self.about(conversation, turn, Wish::Say(text)).await,
            ClientMessage::Resume {
                conversation,
                turn,
                after,
            } => self.about(conversation, turn, Wish::Resume(after)).await,
            ClientMessage::Cancel { conversation, turn } => self.about(conversation, turn, Wish::Cancel).await,
            ClientMessage::Answer {
                conversation,
                turn,
                number,
                answer,
                values,
            } => {
                let answer = PlayerAnswer {
                    verdict: answer,
                    values,
                };
                self.about(conversation, turn, Wish::Answer(number, answer)).await
            }
        }
    }

    async fn sign_in(&mut self, token: &str) -> Step {
        let verified = match admitted(&self.game, &self.asked, token).await {
            Ok(verified) => verified,
            Err(fault) if fault.code.status() == 401 => return self.sign_off(fault).await,
            Err(fault) => return self.refuse(&fault, None).await,
        };
        let other = self.who.filter(|who| who.caller.player != verified.caller.player);
        if other.is_some() {
            let detail = "Somebody else is signed in on this socket; open another one.";
            return self.refuse(&Fault::new(ErrorCode::Forbidden, detail), None).await;
        }
        self.greet(verified).await
    }

    async fn about(&mut self, conversation: ConversationId, turn: TurnId, wish: Wish) -> Step {
        let Some(who) = self.who else {
            return self.sign_off(ErrorCode::SignInFirst.into()).await;
        };
        let place = Place {
            caller: who.caller,
            conversation,
            turn,
        };
        match self.grant(who.caller, place, wish).await {
            Ok(()) => Step::Continue(()),
            Err(fault) if fault.code == ErrorCode::SessionEnded => self.sign_off(fault).await,
            Err(fault) => self.refuse(&fault, Some(turn)).await,
        }
    }

    async fn grant(&mut self, caller: Caller, place: Place, wish: Wish) -> Result<(), Fault> {
        let asked = self.asked.message(&self.game.id, wish.name());
        self.game.admission.admit(&asked.call(), &caller).await?;
        let is_following = !matches!(wish, Wish::Cancel | Wish::Answer(..));
        if is_following && !self.flows.has_room_for(place.turn) {
            let detail = format!(
                "This socket follows {} turns already; wait for one to end.",
                flows::MOST
            );
            return Err(Fault::new(ErrorCode::RateLimited, detail));
        }
        let following = match wish {
            Wish::Say(text) => {
                prose("text", &text, LONGEST_MESSAGE)?;
                Following::take(&self.game, &asked, place, text, None, true).await?
            }
            Wish::Resume(after) => {
                let kept = read(&self.game, &asked, place).await?;
                match kept.state {
                    TurnState::Interrupted => return Err(ErrorCode::TurnInterrupted.into()),
                    TurnState::Done | TurnState::Cancelled => Following::finished(&self.game, &asked, place, kept),
                    TurnState::Running => Following::resume(&self.game, &asked, place, after).await?,
                }
            }
            Wish::Cancel => return cancel(&self.game, &asked, place).await,
            Wish::Answer(number, given) => return answer(&self.game, &asked, place, number, given).await,
        };
        self.flows.follow(following);
        Ok(())
    }

    /// Tells the client what happened to a turn.
    pub(super) async fn pass_on(&mut self, place: Place, happening: Happening) -> Step {
        let event = match happening {
            Ok(event) => SocketEvent::of(event),
            Err(fault) => Some(fault.into()),
        };
        let Some(event) = event else {
            return Step::Continue(());
        };
        self.send(&ServerMessage::Turn {
            conversation: place.conversation,
            turn: place.turn,
            event,
        })
        .await
    }

    pub(super) async fn refuse(&mut self, fault: &Fault, turn: Option<TurnId>) -> Step {
        self.send(&ServerMessage::Error {
            code: fault.code.as_str().to_owned(),
            detail: fault.detail.clone(),
            turn,
        })
        .await
    }
}

/// What a client wants with a turn.
enum Wish {
    Say(String),
    Resume(u32),
    Cancel,
    Answer(u32, PlayerAnswer),
}

impl Wish {
    const fn name(&self) -> &'static str {
        match self {
            Self::Say(_) => "say",
            Self::Resume(_) => "resume",
            Self::Cancel => "cancel",
            Self::Answer(..) => "answer",
        }
    }
}
