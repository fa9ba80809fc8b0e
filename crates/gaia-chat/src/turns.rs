//! Turns: taken, followed, cancelled, read.

mod asks;
mod claim;
mod commands;
mod held;
mod in_hand;
pub(crate) mod metering;
mod outputs;
mod running;
mod speech;
mod stops;
mod work;

use std::sync::Arc;

use gaia_protocol::{
    ErrorCode, Fault,
    chat::{
        LONGEST_MESSAGE, LONGEST_QUOTES, LONGEST_STOP, ListTurns, MOST_QUOTES, MOST_STOPS, Page, ReadTurn, TakeTurn,
        Turn, TurnOptions,
    },
};
use gaia_service::{Call, EventSink};

pub(crate) use self::{
    asks::PlayerOf,
    commands::{drained, hear_commands},
    in_hand::InHand,
    running::Running,
};
use self::{
    in_hand::Begun,
    work::{Origin, Work},
};
use crate::{conversations::no_conversation, cursor, game::Game, store};

/// Takes a turn: the asker, and whoever follows, hears what happens to it.
pub(crate) async fn take(game: Arc<Game>, call: Call, mut ask: TakeTurn, sink: EventSink) -> Result<(), Fault> {
    let origin = Origin::now(call.traceparent);
    checked_text(&mut ask.text)?;
    ask.options.as_ref().map_or(Ok(()), check_options)?;
    let place = loop {
        match game.in_hand.begin(&ask, &sink) {
            Begun::Here(place) => break place,
            // The asker hears the same turn's events from the start. If it ended this moment, what is kept answers.
            Begun::Already(running) => {
                if running.follow(sink.clone(), 0).await {
                    return Ok(());
                }
            }
            Begun::Busy => return Err(claim::in_progress()),
            Begun::Mismatch => {
                let standing =
                    store::turns::standing(&game.postgres, ask.caller.player, ask.conversation, ask.turn).await?;
                return Err(standing.map_or_else(no_conversation, |_| claim::mismatch()));
            }
        }
    };
    let work = Work::new(game, place.running(), origin);
    let outcome = work.run().await;
    // Before the last event goes out, so that whoever hears it can send the next turn at once.
    let running = place.leave();
    work.count(&outcome);
    running.close(outcome).await;
    Ok(())
}

/// A page of a conversation's turns.
pub(crate) async fn list(game: Arc<Game>, ask: ListTurns) -> Result<Page<Turn>, Fault> {
    let rows = cursor::rows(ask.limit)?;
    let before = cursor::read_turn(ask.before.as_deref())?;
    let found = store::turns::list(&game.postgres, ask.caller.player, ask.conversation, before, rows).await?;
    let mut items = found.ok_or_else(no_conversation)?;
    let has_more = items.len() > usize::from(ask.limit);
    items.truncate(usize::from(ask.limit));
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|last| cursor::after_turn(last.sequence));
    Ok(Page { items, next })
}

/// One turn.
pub(crate) async fn read(game: Arc<Game>, ask: ReadTurn) -> Result<Turn, Fault> {
    let found = store::turns::find(&game.postgres, ask.caller.player, ask.conversation, ask.turn).await?;
    found.ok_or_else(|| Fault::new(ErrorCode::NotFound, "The conversation has no turn with this id."))
}

fn checked_text(text: &mut String) -> Result<(), Fault> {
    let fault = |rule: &str| Err(Fault::new(ErrorCode::InvalidInput, format!("`text` {rule}.")));
    // Bytes first: counting characters of a huge text is work for nothing.
    if text.len() > LONGEST_MESSAGE * 4 || text.chars().count() > LONGEST_MESSAGE {
        return fault(&format!("is over {LONGEST_MESSAGE} characters long; shorten it"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
        return fault("has control characters; use plain text");
    }
    if text.contains('\r') {
        *text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return fault("is empty; say something");
    }
    if trimmed.len() < text.len() {
        *text = trimmed.to_owned();
    }
    Ok(())
}

/// The gateway keeps these bounds; whoever does not is a mistake of ours or no gateway.
fn check_options(options: &TurnOptions) -> Result<(), Fault> {
    let quoted: usize = options.quotes.iter().map(|quote| quote.text.len()).sum();
    let keeps = options.stop.len() <= MOST_STOPS
        && options.stop.iter().all(|stop| (1..=LONGEST_STOP).contains(&stop.len()))
        && options.temperature.is_none_or(|heat| (0.0..=2.0).contains(&heat))
        && options.quotes.len() <= MOST_QUOTES
        && quoted <= LONGEST_QUOTES;
    keeps
        .then_some(())
        .ok_or_else(|| Fault::new(ErrorCode::InvalidInput, "The turn's options are out of bounds."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_player_says_is_trimmed_bounded_and_free_of_control_characters() {
        let checked = |text: &str| {
            let mut text = text.to_owned();
            checked_text(&mut text).map(|()| text)
        };
        assert_eq!(checked("  hello\r\nyou\t\n"), Ok("hello\nyou".to_owned()));
        assert_eq!(checked(&"ü".repeat(LONGEST_MESSAGE)), Ok("ü".repeat(LONGEST_MESSAGE)));
        for bad in [
            "",
            " \n ",
            "a\0b",
            "\u{1b}[2J",
            &"a".repeat(LONGEST_MESSAGE + 1),
            &"a".repeat(1 << 20),
        ] {
            assert_eq!(checked(bad).unwrap_err().code, ErrorCode::InvalidInput);
        }
    }
}
