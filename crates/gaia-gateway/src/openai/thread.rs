//! Which conversation a request belongs to, found by what the client says was said before, and which turn it is.

use axum::http::HeaderMap;
use gaia_names::{ConversationId, PersonaId, TurnId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::Caller,
    chat::{Claimed, DeleteConversation, LARGEST_PAGE, ListTurns, Quote, StartConversation},
};

use super::{
    Refused,
    kept::{Answered, End, Name, Once, Said},
    quotes, responses,
    wanted::{Wanted, normal},
};
use crate::{asked::Asked, game::Shared};

/// The longest key that a request can carry, in bytes.
const LONGEST_KEY: usize = 255;
/// So many conversations a new one is told of at most.
const MOST_TOLD: usize = 4;

/// What a request says of itself: whether it was sent before.
pub(super) struct Sent {
    key: Option<String>,
    is_again: bool,
}

impl Sent {
    /// OpenAI's clients send a failed request again by themselves, with a count and without a key.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let key = match headers.get("idempotency-key") {
            None => None,
            Some(key) => {
                let key = key.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
                let detail = format!("`Idempotency-Key` must have 1 to {LONGEST_KEY} visible characters.");
                Some(
                    key.ok_or_else(|| Refused::from(Fault::new(ErrorCode::BadRequest, detail)))?
                        .to_owned(),
                )
            }
        };
        let count = headers.get("x-stainless-retry-count");
        let is_again = key.is_some() || count.is_some_and(|count| count != "0");
        Ok(Self { key, is_again })
    }
}

/// A turn's place in a conversation.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    caller: Caller,
    persona: PersonaId,
    pub(super) turn: TurnId,
    pub(super) end: End,
    /// What was said before it, and with it.
    before: Said,
    with: Said,
    /// How many lines were said before it.
    count: usize,
    /// The client may go on from here by the response's id.
    keeps: bool,
    /// Whether the conversation was there before this request.
    pub(super) is_known: bool,
}

/// Where a client says that it goes on from.
struct Origin {
    /// What was said, before this request's own lines.
    said: Said,
    count: usize,
    /// The response that it names.
    answered: Option<Answered>,
    /// Only a conversation of the same persona, with nothing else said in between, can be gone on with.
    may_go_on: bool,
}

impl Origin {
    async fn of(game: &Shared, caller: Caller, wanted: &Wanted) -> Result<Self, Refused> {
        let nothing = Said::nothing(&game.id, caller.player, &wanted.persona);
        let Some(response) = wanted.previous else {
            return Ok(Self {
                said: nothing,
                count: 0,
                answered: None,
                may_go_on: !wanted.said.is_empty(),
            });
        };
        let answered = game.kept.find_answered(caller.player, response).await;
        let away = |_| Fault::from(ErrorCode::Unavailable).retry_after_ms(1_000);
        let answered = answered.map_err(away)?.ok_or_else(responses::no_previous)?;
        let is_same_persona = answered.persona == wanted.persona;
        Ok(Self {
            said: match is_same_persona {
                true => answered.said,
                false => nothing.then(Claimed::Instructions, &response.to_string()),
            },
            count: answered.count,
            may_go_on: is_same_persona && wanted.said.is_empty(),
            answered: Some(answered),
        })
    }

    /// What a new conversation is told.
    fn told(self) -> Vec<(ConversationId, TurnId)> {
        let Some(Answered { end, .. }) = self.answered else {
            return Vec::new();
        };
        let mut told = end.told;
        told.extend(end.turn.map(|turn| (end.conversation, turn)));
        told.drain(..told.len().saturating_sub(MOST_TOLD));
        told
    }
}

impl Thread {
    /// Finds the conversation, or starts one.
    pub(super) async fn find(
        game: &Shared,
        asked: &Asked,
        caller: Caller,
        wanted: &Wanted,
        sent: &Sent,
    ) -> Result<Self, Refused> {
        let origin = Origin::of(game, caller, wanted).await?;
        let before = origin.said.then_all(&wanted.said);
        let with = before.then(Claimed::Player, &wanted.text);
        // No client can say anything as instructions that counts, so this cannot be what was said.
        let nothing = Said::nothing(&game.id, caller.player, &wanted.persona);
        let given = |key: &String| Name::Given(nothing.then(Claimed::Instructions, key));
        let name = sent.key.as_ref().map_or(Name::Said(with), given);
        let count = origin.count + wanted.said.len();
        let thread = |once: Once, is_known| Self {
            caller,
            persona: wanted.persona.clone(),
            turn: once.turn,
            end: once.end,
            before,
            with,
            count,
            keeps: wanted.keeps,
            is_known,
        };
        if sent.is_again
            && let Some(once) = game.kept.find_once(&name).await
        {
            return same(once, with).map(|once| thread(once, true));
        }
        let expected = origin.answered.as_ref().map(|answered| &answered.end);
        let end = match origin.may_go_on {
            true => game.kept.take_end(caller.player, before, expected).await,
            false => None,
        };
        let end = end.filter(|end| end.claimed <= count);
        let is_known = end.is_some();
        let end = match end {
            Some(end) => end,
            None => End {
                told: origin.told(),
                ..start(game, asked, caller, wanted, count).await?
            },
        };
        let conversation = end.conversation;
        let once = Once {
            end,
            turn: TurnId::fresh(),
            said: with,
        };
        if let Some(once) = game.kept.note_once(&name, &once).await {
            if !is_known {
                let needless = DeleteConversation { caller, conversation };
                let _ = game.bus.ask(&asked.call(), &needless).await;
            }
            return same(once, with).map(|once| thread(once, true));
        }
        Ok(thread(once, is_known))
    }

    /// The same request in a new conversation, because the one that it belonged to is gone. What was said there is not
    /// told again: the player may have wanted it gone.
    pub(super) async fn anew(self, game: &Shared, asked: &Asked, wanted: &Wanted) -> Result<Self, Refused> {
        let end = End {
            told: self.end.told.clone(),
            ..start(game, asked, self.caller, wanted, self.count).await?
        };
        let once = Once {
            end,
            turn: TurnId::fresh(),
            said: self.with,
        };
        game.kept.note_once(&Name::Said(self.with), &once).await;
        Ok(Self {
            turn: once.turn,
            end: once.end,
            is_known: false,
            ..self
        })
    }

    /// What is quoted to the persona: what the client wants it to be told, and what `chat` has not heard in this
    /// conversation.
    pub(super) async fn quotes(&self, game: &Shared, asked: &Asked, wanted: &Wanted) -> Result<Vec<Quote>, Fault> {
        if wanted.previous.is_none() {
            let unheard = self.end.claimed.min(wanted.said.len());
            return Ok(quotes::chosen(&wanted.instructions, &wanted.said[..unheard]));
        }
        let mut lines = Vec::new();
        for (conversation, turn) in &self.end.told {
            lines.extend(heard(game, asked, self.caller, *conversation, *turn).await?);
        }
        lines.extend_from_slice(&wanted.said);
        Ok(quotes::chosen(&wanted.instructions, &lines))
    }

    /// The turn is over, and the client heard this.
    pub(super) async fn goes_on(&self, game: &Shared, reply: &str) {
        let player = self.caller.player;
        let said = self.with.then(Claimed::Persona, &normal(reply));
        let end = End {
            turn: Some(self.turn),
            ..self.end.clone()
        };
        // The id is told first, so it must lead somewhere first.
        if self.keeps {
            let answered = Answered {
                player,
                persona: self.persona.clone(),
                said,
                count: self.count + 2,
                end: end.clone(),
            };
            game.kept.put_answered(self.turn, &answered).await;
        }
        game.kept.put_end(player, said, &end).await;
    }

    /// The turn came to nothing: the client may go on from where it was.
    pub(super) async fn goes_back(&self, game: &Shared) {
        if self.count > 0 {
            game.kept.put_end(self.caller.player, self.before, &self.end).await;
        }
    }
}

/// What was said in one of the player's conversations up to a turn, as far as it is among the last; nothing where the
/// conversation is gone.
async fn heard(
    game: &Shared,
    asked: &Asked,
    caller: Caller,
    conversation: ConversationId,
    turn: TurnId,
) -> Result<Vec<Quote>, Fault> {
    let question = ListTurns {
        caller,
        conversation,
        limit: LARGEST_PAGE,
        before: None,
    };
    let turns = match game.bus.ask(&asked.call(), &question).await {
        Ok(page) => page.items,
        Err(fault) if fault.code == ErrorCode::NotFound => Vec::new(),
        Err(fault) => return Err(fault),
    };
    let mut lines: Vec<_> = turns
        .into_iter()
        .skip_while(|heard| heard.id != turn)
        .flat_map(|heard| {
            let line = |said_as, text| Quote { said_as, text };
            let reply = heard.reply.map(|reply| line(Claimed::Persona, reply.text));
            reply.into_iter().chain([line(Claimed::Player, heard.text)])
        })
        .collect();
    lines.reverse();
    Ok(lines)
}

fn same(once: Once, with: Said) -> Result<Once, Refused> {
    if once.said == with {
        return Ok(once);
    }
    let detail = "This `Idempotency-Key` was used for another request; choose a new one for a new request.";
    Err(Fault::new(ErrorCode::TurnMismatch, detail).into())
}

async fn start(game: &Shared, asked: &Asked, caller: Caller, wanted: &Wanted, claimed: usize) -> Result<End, Refused> {
    let question = StartConversation {
        caller,
        persona: wanted.persona.clone(),
        title: None,
        may_answer_later: false,
    };
    let started = game.bus.ask(&asked.call(), &question).await;
    let started = started.map_err(|fault| match fault.code {
        ErrorCode::NotFound => Refused::no_model(wanted.persona.as_str()),
        _ => fault.into(),
    })?;
    Ok(End {
        conversation: started.id,
        claimed,
        turn: None,
        told: Vec::new(),
    })
}
