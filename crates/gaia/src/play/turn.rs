//! One turn: say it, show the reply as it comes, and see it through drops of the connection and restarts of the game.

use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use gaia_names::{ConversationId, TurnId};
use gaia_protocol::chat::{Asked, PlayerAnswer, Turn, TurnEvent, TurnState};
use tokio::sync::mpsc;

use super::{
    asked,
    fault::ApiFault,
    lines::Line,
    screen::Screen,
    session::{Session, Waiting},
};

/// How long a cancel may take before the player may leave anyway.
const CANCEL: Duration = Duration::from_secs(5);

/// Ctrl-C, where a person sits at the terminal; else it ends the program as usual and never comes here.
pub(super) struct Interrupts(Option<tokio::signal::unix::Signal>);

impl Interrupts {
    pub(super) fn new(is_live: bool) -> std::io::Result<Self> {
        let interrupt = tokio::signal::unix::SignalKind::interrupt();
        Ok(Self(if is_live {
            Some(tokio::signal::unix::signal(interrupt)?)
        } else {
            None
        }))
    }

    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// How a turn ended.
pub(super) enum Ended {
    /// The turn is whole, or was stopped.
    Over(Box<Turn>),
    /// The player wants to leave while the reply is still being written.
    Left,
}

/// What has been shown of a reply.
#[derive(Default)]
struct Shown {
    last: u32,
    text: String,
    has_gap: bool,
}

impl Shown {
    /// Takes a delta and gives what is new of it to show.
    fn take<'a>(&mut self, number: u32, text: &'a str) -> &'a str {
        if number <= self.last || self.has_gap {
            return "";
        }
        if number > self.last + 1 {
            // Something was dropped on the way; `final` brings the whole.
            self.has_gap = true;
            return "";
        }
        self.last = number;
        self.text.push_str(text);
        text
    }
}

/// Takes a turn. It is sent again under the same id after a drop, so it is never doubled.
///
/// # Errors
///
/// If the game refuses, or is away for longer than patience lasts.
pub(super) async fn take(
    session: &mut Session,
    screen: &mut Screen,
    player: (&mut Interrupts, &mut mpsc::Receiver<Line>),
    conversation: ConversationId,
    text: &str,
) -> Result<Ended, ApiFault> {
    let (interrupts, lines) = player;
    let id = TurnId::fresh();
    let mut shown = Shown::default();
    let mut waiting = Waiting::default();
    let mut has_cancelled = false;
    loop {
        let opened = tokio::select! {
            opened = open(session, conversation, id, text) => opened,
            () = interrupts.next() => return Ok(Ended::Left),
        };
        let before = shown.last;
        let watched = match opened {
            Ok(stream) => {
                let mut watch = Watch {
                    session,
                    screen,
                    interrupts,
                    lines,
                    conversation,
                    id,
                    has_cancelled,
                };
                let watched = watch.over(stream, &mut shown).await;
                has_cancelled = watch.has_cancelled;
                watched
            }
            Err(fault) => Err(fault),
        };
        match watched {
            Ok(Some(ended)) => {
                show_end(screen, &ended, &shown);
                return Ok(ended);
            }
            // The connection ended without a last word.
            Ok(None) if shown.last > before => waiting = Waiting::default(),
            Ok(None) => waiting.after(ApiFault::BrokeOff, session, screen).await?,
            Err(fault) => waiting.after(fault, session, screen).await?,
        }
    }
}

async fn open(
    session: &mut Session,
    conversation: ConversationId,
    id: TurnId,
    text: &str,
) -> Result<BoxStream<'static, Result<TurnEvent, ApiFault>>, ApiFault> {
    let token = session.token().await?;
    session.api().take_turn(&token, conversation, id, text).await
}

struct Watch<'a> {
    session: &'a mut Session,
    screen: &'a mut Screen,
    interrupts: &'a mut Interrupts,
    lines: &'a mut mpsc::Receiver<Line>,
    conversation: ConversationId,
    id: TurnId,
    has_cancelled: bool,
}

impl Watch<'_> {
    /// Shows a stream to its end; none if it broke off.
    async fn over(
        &mut self,
        mut stream: BoxStream<'static, Result<TurnEvent, ApiFault>>,
        shown: &mut Shown,
    ) -> Result<Option<Ended>, ApiFault> {
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = self.interrupts.next() => {
                    if self.has_cancelled {
                        return Ok(Some(Ended::Left));
                    }
                    self.has_cancelled = true;
                    self.cancel().await;
                    continue;
                }
            };
            match event {
                None => return Ok(None),
                Some(Err(fault)) => return Err(fault),
                Some(Ok(TurnEvent::Interim { text })) => self.screen.bridge(&text),
                Some(Ok(TurnEvent::Delta { number, text })) => {
                    let fresh = shown.take(number, &text);
                    self.screen.words(fresh);
                }
                // Its process was lost; the same turn can be sent again.
                Some(Ok(TurnEvent::Final { turn, .. })) if turn.state == TurnState::Interrupted => return Ok(None),
                Some(Ok(TurnEvent::Final { turn, .. })) => return Ok(Some(Ended::Over(Box::new(turn)))),
                Some(Ok(TurnEvent::Tool(news))) => self.screen.tool(&news),
                Some(Ok(TurnEvent::Ask(question))) => self.answer(&question).await?,
                Some(Ok(TurnEvent::Accepted { .. } | TurnEvent::Alive {})) => {}
            }
        }
    }

    async fn answer(&mut self, question: &Asked) -> Result<(), ApiFault> {
        let answer = tokio::select! {
            answer = asked::put(question, self.screen, self.lines) => answer,
            () = self.interrupts.next() => PlayerAnswer::NO,
        };
        let token = self.session.token().await?;
        let api = self.session.api();
        match api
            .answer(&token, self.conversation, self.id, question.number, &answer)
            .await
        {
            // The player took too long, or the turn has just ended: its last event is on its way.
            Err(fault) if fault.is_not_found() || fault.is_of_ended_turn() => Ok(()),
            answered => answered,
        }
    }

    async fn cancel(&mut self) {
        let Ok(token) = self.session.token().await else { return };
        let cancel = self.session.api().cancel(&token, self.conversation, self.id);
        // A turn that has just ended cannot be cancelled, and its `final` is on its way.
        let _ = tokio::time::timeout(CANCEL, cancel).await;
    }
}

fn show_end(screen: &mut Screen, ended: &Ended, shown: &Shown) {
    match ended {
        Ended::Over(turn) => {
            if let Some(reply) = &turn.reply {
                screen.reply(reply, &shown.text, turn.state == TurnState::Cancelled);
            }
        }
        Ended::Left => screen.end_line(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_that_come_twice_are_shown_once_and_a_gap_waits_for_the_whole() {
        let mut shown = Shown::default();
        assert_eq!(shown.take(1, "Stay "), "Stay ");
        assert_eq!(shown.take(1, "Stay "), "");
        assert_eq!(shown.take(2, "low."), "low.");
        assert_eq!(shown.take(4, "!"), "");
        assert_eq!(shown.take(3, " Now"), "");
        assert_eq!(shown.text, "Stay low.");
    }
}
