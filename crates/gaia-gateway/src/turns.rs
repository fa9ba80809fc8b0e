//! Following a turn: its events without gaps, from wherever the client is.

pub(crate) mod events;
mod order;

use std::time::{Duration, Instant};

use gaia_names::{ConversationId, TurnId};
use gaia_protocol::{
    ErrorCode, Fault, Request,
    auth::Caller,
    chat::{PlayerAnswer, ReadTurn, SILENCE_MS, TakeTurn, Turn, TurnCommand, TurnEvent, TurnOptions, TurnState},
    subjects::turn_commands,
};
use gaia_service::{Call, bus::Events};

use self::order::{Order, Step};
use crate::{asked::Asked, game::Shared, routes::FOLLOW_TIME};

/// How long whoever works on a turn may take to say so.
const FOLLOWER_ANSWERS: Duration = Duration::from_secs(1);
/// How long silence may last before the turn is looked up.
const SILENCE: Duration = Duration::from_millis(SILENCE_MS);
/// How long looking a turn up may take.
const LOOKUP: Duration = Duration::from_secs(5);

/// Which turn, and who asks for it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) caller: Caller,
    pub(crate) conversation: ConversationId,
    pub(crate) turn: TurnId,
}

/// A turn as one client follows it. Dropping it does not stop the turn.
pub(crate) struct Following {
    game: Shared,
    asked: Asked,
    place: Place,
    source: Source,
    order: Order,
    until: Instant,
    /// What was said, until chat has answered for the first time.
    said: Option<String>,
}

enum Source {
    /// From the asking itself.
    Asked(Events<TurnEvent>),
    /// From having asked whoever works on it; nobody has answered so far.
    Called(Events<TurnEvent>),
    /// The turn was over when it was looked up.
    Finished(Box<Turn>),
    Over,
}

impl Following {
    /// Says something. What chat makes of it comes as the first event.
    pub(crate) async fn take(
        game: &Shared,
        asked: &Asked,
        place: Place,
        text: String,
        options: Option<TurnOptions>,
        may_ask: bool,
    ) -> Result<Self, Fault> {
        let question = TakeTurn {
            caller: place.caller,
            conversation: place.conversation,
            turn: place.turn,
            text,
            options,
            may_ask,
        };
        let subject = TakeTurn::subject(&game.id);
        let events = game
            .bus
            .ask_stream(subject, &asked.call_for(FOLLOW_TIME), &question)
            .await?;
        let mut following = Self::new(game, asked, place, Source::Asked(events), 0);
        following.said = Some(question.text);
        Ok(following)
    }

    /// Goes on after a delta's number.
    pub(crate) async fn resume(game: &Shared, asked: &Asked, place: Place, after: u32) -> Result<Self, Fault> {
        let mut following = Self::new(game, asked, place, Source::Over, after);
        following.call_for_more().await?;
        Ok(following)
    }

    /// A turn that is over.
    pub(crate) fn finished(game: &Shared, asked: &Asked, place: Place, turn: Turn) -> Self {
        Self::new(game, asked, place, Source::Finished(Box::new(turn)), 0)
    }

    fn new(game: &Shared, asked: &Asked, place: Place, source: Source, after: u32) -> Self {
        Self {
            game: game.clone(),
            asked: asked.clone(),
            place,
            source,
            order: Order::after(after),
            until: Instant::now() + FOLLOW_TIME,
            said: None,
        }
    }

    /// Which turn it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The first event that says something, or why there is none.
    pub(crate) async fn first(&mut self) -> Result<TurnEvent, Fault> {
        loop {
            match self.next().await {
                Some(Ok(TurnEvent::Alive {})) => {}
                Some(event) => return event,
                None => return Err(ErrorCode::TurnInterrupted.into()),
            }
        }
    }

    /// The next event; `alive` is among them. Nothing comes after `final` or a refusal.
    pub(crate) async fn next(&mut self) -> Option<Result<TurnEvent, Fault>> {
        loop {
            let patience = match self.source {
                Source::Over => return None,
                Source::Finished(_) => return self.finish(),
                Source::Asked(_) => SILENCE,
                Source::Called(_) => FOLLOWER_ANSWERS,
            };
            let patience = patience.min(self.until.saturating_duration_since(Instant::now()));
            let (Source::Asked(events) | Source::Called(events)) = &mut self.source else {
                return None;
            };
            match tokio::time::timeout(patience, events.next()).await {
                Ok(Some(Ok(event))) => {
                    self.answered();
                    if let Some(event) = Box::pin(self.put_in_order(event)).await {
                        return Some(event);
                    }
                }
                // A call that was refused or that nobody took may only mean that the turn is over.
                Ok(Some(Err(fault))) if matches!(self.source, Source::Asked(_)) => {
                    if !Box::pin(self.joins_itself(&fault)).await {
                        return Some(self.fail(fault));
                    }
                }
                _ => return Some(Box::pin(self.look_up()).await),
            }
        }
    }

    /// Whether the turn that stands in the way is this very one, sent again while another instance of chat works on it:
    /// then it is followed there.
    async fn joins_itself(&mut self, fault: &Fault) -> bool {
        let Some(said) = self.said.take().filter(|_| fault.code == ErrorCode::TurnInProgress) else {
            return false;
        };
        let kept = read(&self.game, &self.asked, self.place).await;
        let is_itself = kept.is_ok_and(|turn| turn.state == TurnState::Running && is_same(&turn.text, &said));
        is_itself && self.call_for_more().await.is_ok()
    }

    fn answered(&mut self) {
        self.said = None;
        self.source = match std::mem::replace(&mut self.source, Source::Over) {
            Source::Called(events) => Source::Asked(events),
            other => other,
        };
    }

    async fn put_in_order(&mut self, event: TurnEvent) -> Option<Result<TurnEvent, Fault>> {
        match self.order.take(&event) {
            Step::Pass => {
                if event.is_last() {
                    self.source = Source::Over;
                }
                Some(Ok(event))
            }
            Step::Skip => None,
            Step::Gap => match self.call_for_more().await {
                Ok(()) => None,
                Err(fault) => Some(self.fail(fault)),
            },
        }
    }

    /// Asks whoever works on the turn for everything after what the client has.
    async fn call_for_more(&mut self) -> Result<(), Fault> {
        let question = TurnCommand::Follow {
            player: self.place.caller.player,
            after: self.order.last(),
        };
        let subject = turn_commands(&self.game.id, Some(self.place.turn));
        let call = self.asked.call_for(FOLLOW_TIME).at_once();
        let events = self.game.bus.ask_stream(subject, &call, &question).await?;
        self.source = Source::Called(events);
        Ok(())
    }

    /// Nobody says anything: what is kept of the turn decides.
    async fn look_up(&mut self) -> Result<TurnEvent, Fault> {
        if Instant::now() >= self.until {
            return self.fail(Fault::new(
                ErrorCode::DeadlineExceeded,
                "The reply is not whole yet; read the turn again to go on.",
            ));
        }
        match read(&self.game, &self.asked, self.place).await {
            Ok(turn) if turn.state == TurnState::Done || turn.state == TurnState::Cancelled => {
                self.source = Source::Over;
                Ok(last(turn))
            }
            Ok(_) => self.fail(ErrorCode::TurnInterrupted.into()),
            // Chat never answered and keeps nothing: the message itself was lost on its way, with whoever had it.
            Err(fault) if self.said.is_some() && fault.code == ErrorCode::NotFound => {
                let lost = "The message did not arrive; send it again with the same id.";
                self.fail(Fault::new(ErrorCode::Unavailable, lost).retry_after_ms(500))
            }
            Err(fault) => self.fail(fault),
        }
    }

    fn finish(&mut self) -> Option<Result<TurnEvent, Fault>> {
        match std::mem::replace(&mut self.source, Source::Over) {
            Source::Finished(turn) => Some(Ok(last(*turn))),
            _ => None,
        }
    }

    fn fail(&mut self, fault: Fault) -> Result<TurnEvent, Fault> {
        self.source = Source::Over;
        Err(fault)
    }
}

/// The last event of a turn that was looked up.
fn last(turn: Turn) -> TurnEvent {
    TurnEvent::Final { turn, usage: None }
}

/// A turn as it is kept.
pub(crate) async fn read(game: &Shared, asked: &Asked, place: Place) -> Result<Turn, Fault> {
    let question = ReadTurn {
        caller: place.caller,
        conversation: place.conversation,
        turn: place.turn,
    };
    game.bus.ask(&asked.call_for(LOOKUP), &question).await
}

/// Stops a turn.
///
/// # Errors
///
/// `not_found` for somebody else's, `turn_finished`, or `turn_interrupted` where nobody works on it any more.
pub(crate) async fn cancel(game: &Shared, asked: &Asked, place: Place) -> Result<(), Fault> {
    running(game, asked, place).await?;
    let subject = turn_commands(&game.id, Some(place.turn));
    let call: Call = asked.call_for(FOLLOWER_ANSWERS);
    let command = TurnCommand::Cancel {
        player: place.caller.player,
    };
    match game.bus.ask_at::<_, ()>(subject, &call, &command).await {
        Err(fault) if fault.code == ErrorCode::DeadlineExceeded => {
            // Nobody works on it: either it ended just now, or whoever did was lost.
            running(game, asked, place).await?;
            Err(ErrorCode::TurnInterrupted.into())
        }
        answer => answer,
    }
}

/// Answers a question of a running turn.
///
/// # Errors
///
/// `not_found` where nobody waits for this answer: the turn is somebody else's or over, or the player took too long.
pub(crate) async fn answer(
    game: &Shared,
    asked: &Asked,
    place: Place,
    number: u32,
    answer: PlayerAnswer,
) -> Result<(), Fault> {
    running(game, asked, place).await?;
    let subject = turn_commands(&game.id, Some(place.turn));
    let command = TurnCommand::Answer {
        player: place.caller.player,
        number,
        answer,
    };
    match game
        .bus
        .ask_at(subject, &asked.call_for(FOLLOWER_ANSWERS), &command)
        .await
    {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::new(
            ErrorCode::NotFound,
            "The turn does not wait for this answer.",
        )),
        Err(fault) if fault.code == ErrorCode::DeadlineExceeded => Err(ErrorCode::TurnInterrupted.into()),
        Err(fault) => Err(fault),
    }
}

/// Chat keeps a text without the space around it and with one kind of line break.
fn is_same(kept: &str, said: &str) -> bool {
    kept == said.replace("\r\n", "\n").replace('\r', "\n").trim()
}

async fn running(game: &Shared, asked: &Asked, place: Place) -> Result<(), Fault> {
    match read(game, asked, place).await?.state {
        TurnState::Running => Ok(()),
        _ => Err(ErrorCode::TurnFinished.into()),
    }
}
