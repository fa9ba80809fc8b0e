//! Whether a turn may begin: a new one, one that is over, or one that was lost.

use std::sync::Arc;

use gaia_protocol::{
    ErrorCode, Fault,
    chat::{Turn, TurnState},
};

use crate::{
    bundles::Loaded,
    conversations::{no_conversation, no_persona},
    game::Game,
    store::{
        self,
        claims::{Claimed, Wanted},
        turns::Standing,
    },
};

/// How often a claim is tried when what stood in the way is gone a moment later.
const ATTEMPTS: usize = 4;

/// What a claim comes to.
pub(super) enum Granted {
    /// The turn is ours to work on.
    Ours(Claimed),
    /// The turn was over before.
    Over(Turn),
}

/// Claims a turn, or says why not. Where it is not known yet that the conversation is the player's and its persona is of
/// the game, that is looked up first.
pub(super) async fn claim(
    game: &Game,
    wanted: &Arc<Wanted>,
    loaded: &Loaded,
    is_known: bool,
) -> Result<Granted, Fault> {
    let mut looks_first = !is_known;
    for _ in 0..ATTEMPTS {
        if !std::mem::take(&mut looks_first)
            && let Some(claimed) = take(game, wanted).await?
        {
            return Ok(Granted::Ours(claimed));
        }
        let standing = store::turns::standing(&game.postgres, wanted.player, wanted.conversation, wanted.turn).await?;
        match next_step(wanted, standing.ok_or_else(no_conversation)?, &loaded.persona_names)? {
            Step::Again => {}
            Step::Over(turn) => return Ok(Granted::Over(turn)),
            Step::TakeOver => {
                if let Some(claimed) = store::claims::take_over(&game.postgres, wanted).await? {
                    return Ok(Granted::Ours(claimed));
                }
            }
        }
    }
    Err(in_progress())
}

async fn take(game: &Game, wanted: &Arc<Wanted>) -> Result<Option<Claimed>, Fault> {
    match game.claims.write(Arc::clone(wanted)).await {
        Ok(claimed) => Ok(claimed),
        // The same turn id was claimed at the same moment; now it can be seen.
        Err(fault) if fault.violated() == Some("turns_pkey") => Ok(None),
        // The conversation was deleted at the same moment.
        Err(fault) if fault.violated().is_some_and(|name| name.ends_with("_fkey")) => Err(no_conversation()),
        Err(fault) => Err(fault.into()),
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Again,
    Over(Turn),
    TakeOver,
}

fn next_step(wanted: &Wanted, standing: Standing, personas: &[String]) -> Result<Step, Fault> {
    if let Some(turn) = &standing.turn
        && (turn.conversation != wanted.conversation || turn.text != wanted.text)
    {
        return Err(mismatch());
    }
    match standing.turn {
        Some(turn) if matches!(turn.state, TurnState::Done | TurnState::Cancelled) => Ok(Step::Over(turn)),
        _ if standing.held_by.is_some() => Err(in_progress()),
        _ if !personas.contains(&standing.persona) => Err(match standing.persona.parse() {
            Ok(persona) => no_persona(&persona),
            Err(_) => ErrorCode::NotFound.into(),
        }),
        Some(_) => Ok(Step::TakeOver),
        None => Ok(Step::Again),
    }
}

/// The conversation's last turn still runs, here or elsewhere.
pub(super) fn in_progress() -> Fault {
    Fault::from(ErrorCode::TurnInProgress).retry_after_ms(500)
}

/// The turn id was used for other words or in another conversation.
pub(super) fn mismatch() -> Fault {
    Fault::new(
        ErrorCode::TurnMismatch,
        "This turn id was used for another message; choose a new one for a new message.",
    )
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use gaia_names::{ConversationId, PlayerId, TurnId};
    use uuid::Uuid;

    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            conversation: ConversationId::fresh(),
            player: PlayerId::fresh(),
            turn: TurnId::fresh(),
            text: "hello".to_owned(),
            lease: Uuid::now_v7(),
        }
    }

    fn turn(wanted: &Wanted, state: TurnState) -> Turn {
        Turn {
            id: wanted.turn,
            conversation: wanted.conversation,
            sequence: 1,
            text: wanted.text.clone(),
            state,
            reply: None,
            created_at: Utc::now(),
            finished_at: None,
        }
    }

    fn step(wanted: &Wanted, turn: Option<Turn>, held_by: Option<TurnId>) -> Result<Step, ErrorCode> {
        let standing = Standing {
            persona: "keeper".to_owned(),
            held_by,
            turn,
        };
        next_step(wanted, standing, &["keeper".to_owned()]).map_err(|fault| fault.code)
    }

    #[test]
    fn what_stands_in_the_way_of_a_turn_decides_what_happens_to_it() {
        let wanted = wanted();
        let with = |state| Some(turn(&wanted, state));
        let done = turn(&wanted, TurnState::Done);
        assert_eq!(step(&wanted, Some(done.clone()), None), Ok(Step::Over(done)));
        assert_eq!(step(&wanted, None, None), Ok(Step::Again));
        assert_eq!(
            step(&wanted, None, Some(TurnId::fresh())),
            Err(ErrorCode::TurnInProgress)
        );
        assert_eq!(
            step(&wanted, with(TurnState::Running), Some(wanted.turn)),
            Err(ErrorCode::TurnInProgress)
        );
        assert_eq!(step(&wanted, with(TurnState::Interrupted), None), Ok(Step::TakeOver));
        assert_eq!(
            step(&wanted, with(TurnState::Interrupted), Some(TurnId::fresh())),
            Err(ErrorCode::TurnInProgress)
        );
        let other = Turn {
            text: "other".to_owned(),
            ..turn(&wanted, TurnState::Done)
        };
        assert_eq!(step(&wanted, Some(other), None), Err(ErrorCode::TurnMismatch));
        let elsewhere = Turn {
            conversation: ConversationId::fresh(),
            ..turn(&wanted, TurnState::Done)
        };
        assert_eq!(step(&wanted, Some(elsewhere), None), Err(ErrorCode::TurnMismatch));
    }

    #[test]
    fn a_persona_that_left_the_game_takes_no_more_turns() {
        let wanted = wanted();
        let standing = Standing {
            persona: "gone".to_owned(),
            held_by: None,
            turn: None,
        };
        let fault = next_step(&wanted, standing, &["keeper".to_owned()]).unwrap_err();
        assert_eq!(fault.code, ErrorCode::NotFound);
        assert!(fault.detail.contains("`gone`"), "{}", fault.detail);
    }
}
