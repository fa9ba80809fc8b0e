//! One reply: a turn, asked for and followed as OpenAI's clients expect it.

use gaia_names::TurnId;
use gaia_protocol::{
    ErrorCode, Fault,
    auth::Caller,
    chat::{ToolState, TurnEvent, TurnOptions},
};
use serde_json::{Value, json};

use super::{
    Refused,
    form::{Form, guessed},
    thread::{Sent, Thread},
    wanted::Wanted,
};
use crate::{
    asked::Asked,
    game::Shared,
    turns::{self, Following, Place},
};

/// How many uses of tools are shown at most.
const MOST_SHOWN: usize = 64;

/// A turn that has begun.
pub(super) struct Completion {
    game: Shared,
    asked: Asked,
    thread: Thread,
    following: Following,
    /// The first event, until it is used.
    first: Option<TurnEvent>,
    streams: bool,
    /// The client wants to see which tools the persona uses.
    pub(super) shows_tools: bool,
}

impl Completion {
    /// Says what the player says, in the conversation that it belongs to. Nothing was answered yet, so a refusal is one.
    pub(super) async fn begin(
        game: &Shared,
        asked: &Asked,
        caller: Caller,
        wanted: Wanted,
        sent: &Sent,
    ) -> Result<Self, Refused> {
        let mut thread = Thread::find(game, asked, caller, &wanted, sent).await?;
        let mut begun = take(game, asked, caller, &wanted, &thread).await;
        if thread.is_known
            && let Err(Fault {
                code: ErrorCode::NotFound,
                ..
            }) = begun
        {
            // The player deleted the conversation meanwhile, or the persona has left the game.
            thread = thread.anew(game, asked, &wanted).await?;
            begun = take(game, asked, caller, &wanted, &thread).await;
        }
        let (following, first) = match begun {
            Ok(begun) => begun,
            Err(fault) => {
                thread.goes_back(game).await;
                return Err(fault.into());
            }
        };
        Ok(Self {
            game: game.clone(),
            asked: asked.clone(),
            thread,
            following,
            first: Some(first),
            streams: wanted.streams,
            shows_tools: wanted.shows_tools,
        })
    }

    /// The turn.
    pub(super) fn turn(&self) -> TurnId {
        self.thread.turn
    }

    /// Whether the client wants the reply word by word.
    pub(super) fn streams(&self) -> bool {
        self.streams
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> Result<TurnEvent, Fault> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let next = self.following.next().await;
        next.unwrap_or_else(|| Err(ErrorCode::TurnInterrupted.into()))
    }

    /// Waits for the whole reply.
    pub(super) async fn whole(mut self, form: &impl Form) -> Result<Value, Refused> {
        let mut used = self.shows_tools.then(Vec::new);
        loop {
            match self.next().await {
                Ok(TurnEvent::Final { turn, usage }) => {
                    let reply = turn.reply.as_ref().map_or("", |reply| reply.text.as_str());
                    self.goes_on(reply).await;
                    let usage = usage.unwrap_or_else(|| guessed(&turn));
                    let mut whole = form.whole(&turn, &usage);
                    if let Some(used) = used {
                        whole["gaia_tools"] = json!(used);
                    }
                    return Ok(whole);
                }
                Ok(TurnEvent::Tool(news)) if news.state != ToolState::Working => {
                    if let Some(used) = used.as_mut().filter(|used| used.len() < MOST_SHOWN) {
                        used.push(news);
                    }
                }
                Ok(_) => {}
                Err(fault) => {
                    self.goes_back().await;
                    return Err(fault.into());
                }
            }
        }
    }

    /// The turn is over, and the client heard this: from there it may go on.
    pub(super) async fn goes_on(&self, heard: &str) {
        self.thread.goes_on(&self.game, heard).await;
    }

    /// The turn came to nothing: the client may go on from where it was.
    pub(super) async fn goes_back(&self) {
        self.thread.goes_back(&self.game).await;
    }

    /// The client has gone in the middle of the reply: nobody wants the rest. What it heard is where it may go on.
    pub(super) fn leave(&self, heard: String) {
        let (game, asked) = (self.game.clone(), self.asked.clone());
        let (place, thread) = (*self.following.place(), self.thread.clone());
        self.game.tasks.spawn(async move {
            // First, so that a client that goes on at once finds its place: until the turn is over it is told to wait.
            thread.goes_on(&game, &heard).await;
            // Where it is over already, or nobody works on it any more, there is nothing to stop.
            let _ = turns::cancel(&game, &asked, place).await;
        });
    }
}

async fn take(
    game: &Shared,
    asked: &Asked,
    caller: Caller,
    wanted: &Wanted,
    thread: &Thread,
) -> Result<(Following, TurnEvent), Fault> {
    let place = Place {
        caller,
        conversation: thread.end.conversation,
        turn: thread.turn,
    };
    let options = TurnOptions {
        quotes: thread.quotes(game, asked, wanted).await?,
        ..wanted.options.clone()
    };
    let mut following = Following::take(game, asked, place, wanted.text.clone(), Some(options), false).await?;
    let first = following.first().await?;
    Ok((following, first))
}
