//! Which conversation a request belongs to, found by what the client says was said before, and which turn it is.

use axum::http::HeaderMap;
use gaia_names::TurnId;
use gaia_protocol::{
    ErrorCode, Fault,
    auth::Caller,
    chat::{Claimed, DeleteConversation, Quote, StartConversation},
};

use super::{
    Refused,
    kept::{self, End, Name, Once, Said},
    quotes,
    request::{Wanted, normal},
};
use crate::{asked::Asked, game::Shared};

/// The longest key that a request can carry, in bytes.
const LONGEST_KEY: usize = 255;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Thread {
    pub(super) turn: TurnId,
    pub(super) end: End,
    /// What was said before it, and with it.
    before: Said,
    with: Said,
    /// Whether something was said before it.
    has_past: bool,
    /// Whether the conversation was there before this request.
    pub(super) is_known: bool,
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
        let nothing = Said::nothing(&game.id, caller.player, &wanted.persona);
        let before = nothing.then_all(&wanted.said);
        let with = before.then(Claimed::Player, &wanted.text);
        // No client can say anything as instructions that counts, so this cannot be what was said.
        let given = |key: &String| Name::Given(nothing.then(Claimed::Instructions, key));
        let name = sent.key.as_ref().map_or(Name::Said(with), given);
        let has_past = !wanted.said.is_empty();
        let end = match has_past {
            true => kept::take_end(&game.redis, before).await,
            false => None,
        };
        let thread = |once: Once| Self {
            turn: once.turn,
            end: once.end,
            before,
            with,
            has_past,
            is_known: true,
        };
        if sent.is_again
            && let Some(once) = kept::find_once(&game.redis, &name).await
        {
            return same(once, with).map(thread);
        }
        let is_known = end.is_some();
        let end = match end {
            Some(end) if end.claimed <= wanted.said.len() => end,
            _ => start(game, asked, caller, wanted).await?,
        };
        let turn = TurnId::fresh();
        if let Some(once) = kept::note_once(&game.redis, &name, &Once::new(end, turn, with)).await {
            if !is_known {
                let conversation = end.conversation;
                let needless = DeleteConversation { caller, conversation };
                let _ = game.bus.ask(&asked.call(), &needless).await;
            }
            return same(once, with).map(thread);
        }
        Ok(Self {
            turn,
            end,
            before,
            with,
            has_past,
            is_known,
        })
    }

    /// The same request in a new conversation, because the one that it belonged to is gone.
    pub(super) async fn anew(
        self,
        game: &Shared,
        asked: &Asked,
        caller: Caller,
        wanted: &Wanted,
    ) -> Result<Self, Refused> {
        let end = start(game, asked, caller, wanted).await?;
        let turn = TurnId::fresh();
        kept::note_once(&game.redis, &Name::Said(self.with), &Once::new(end, turn, self.with)).await;
        Ok(Self {
            turn,
            end,
            is_known: false,
            ..self
        })
    }

    /// What is quoted to the persona: what the client wants it to be told, and what `chat` has not heard.
    pub(super) fn quotes(&self, wanted: &Wanted) -> Vec<Quote> {
        quotes::chosen(
            &wanted.instructions,
            &wanted.said[..self.end.claimed.min(wanted.said.len())],
        )
    }

    /// The turn is over, and the client heard this.
    pub(super) async fn goes_on(&self, game: &Shared, reply: &str) {
        let after = self.with.then(Claimed::Persona, &normal(reply));
        kept::put_end(&game.redis, after, self.end).await;
    }

    /// The turn came to nothing: the client may go on from where it was.
    pub(super) async fn goes_back(&self, game: &Shared) {
        if self.has_past {
            kept::put_end(&game.redis, self.before, self.end).await;
        }
    }
}

fn same(once: Once, with: Said) -> Result<Once, Refused> {
    if once.is_of(with) {
        return Ok(once);
    }
    let detail = "This `Idempotency-Key` was used for another request; choose a new one for a new request.";
    Err(Fault::new(ErrorCode::TurnMismatch, detail).into())
}

async fn start(game: &Shared, asked: &Asked, caller: Caller, wanted: &Wanted) -> Result<End, Refused> {
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
        claimed: wanted.said.len(),
    })
}
