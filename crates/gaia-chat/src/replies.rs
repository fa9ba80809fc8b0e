//! Replies: from the first route that can, and from the author's lines when none can.

mod anthropic;
mod draft;
mod ladder;
mod later;
mod models;
mod openai;
mod prompt;
mod route_states;
mod sse;
mod tools;
mod voice;
mod wanted;
mod warming;

use std::{sync::Arc, time::Duration};

use futures::future::{Either, select};
use gaia_names::{ConversationId, Secret, TurnId};
use gaia_protocol::{
    bundle::{Bundle, Persona, Route},
    chat::TurnOptions,
};
use tokio::{sync::mpsc, time::Instant};

pub(crate) use self::{draft::Draft, prompt::stable_prompt, route_states::RouteStates, tools::ToolUse, voice::Piece};
use self::{
    ladder::{First, Ladder},
    later::Later,
    models::{Answering, RouteFault},
    tools::WantedCall,
    voice::Voice,
};
use crate::{
    authored::{self, Chosen},
    bundles::Loaded,
    context::Context,
    game::Game,
    turns::Running,
};

/// The longest that a model may speak at a stretch.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest with the tools that it uses. Its tools have to leave the model some time to answer.
const LONGEST_WITH_TOOLS: Duration = Duration::from_secs(100);
const LEFT_TO_ANSWER: Duration = Duration::from_secs(20);
/// How long a line may be looked for that ends a reply that broke off.
const MENDING: Duration = Duration::from_millis(500);

/// What is to be answered, and all that an answer may depend on.
pub(crate) struct Question {
    pub(crate) loaded: Arc<Loaded>,
    /// The persona's place in the bundle.
    pub(crate) persona: usize,
    pub(crate) context: Context,
    pub(crate) conversation: ConversationId,
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    /// When chat had it: from then on the target counts.
    pub(crate) asked_at: std::time::Instant,
    /// The player's name, given now or before.
    pub(crate) player_name: Option<String>,
    /// This very message says the name.
    pub(crate) gave_name: bool,
    pub(crate) traceparent: Option<String>,
    /// What the player's program asks beside. Nothing in it is trusted.
    pub(crate) options: TurnOptions,
    /// The turn, for what happens on the way to the reply.
    pub(crate) running: Arc<Running>,
}

impl Question {
    pub(crate) fn bundle(&self) -> &Bundle {
        &self.loaded.bundle
    }

    pub(crate) fn persona(&self) -> &Persona {
        &self.loaded.bundle.personas[self.persona]
    }

    /// The most tokens that a model may write.
    pub(crate) fn reply_tokens(&self) -> u32 {
        let own = self.persona().limits.reply_tokens;
        self.options.reply_tokens.map_or(own, |asked| asked.clamp(1, own))
    }
}

/// Makes a reply and sends it piece by piece. There is always one: the last resort asks nobody.
pub(crate) async fn compose(game: Arc<Game>, question: Arc<Question>, draft: Arc<Draft>, pieces: mpsc::Sender<Piece>) {
    let mut voice = Voice::new(pieces.clone());
    let begun = voice.begun();
    let bridging = std::pin::pin!(ladder::bridge(&game, &question, &draft, pieces, begun));
    let speaking = std::pin::pin!(speak(&game, &question, &draft, &mut voice));
    if let Either::Right(((), speaking)) = select(speaking, bridging).await {
        speaking.await;
    }
}

/// Lets models speak and use their tools, and the author where they cannot.
async fn speak(game: &Arc<Game>, question: &Question, draft: &Arc<Draft>, voice: &mut Voice) {
    let mut tools = ToolUse::of(&game.tools, question.persona(), voice.pieces());
    let (mut later, mut ladder) = (Later::of(question), Ladder::of(question));
    let mut end = Instant::now() + LONGEST_WITH_TOOLS;
    let chosen = loop {
        let answering = match ladder::first_words(game, question, &tools, draft, ladder).await {
            First::Route(answering) => answering,
            late if later.allows(&late, voice) && later.has_place(&game.letters) => {
                if !std::mem::replace(&mut later.is_told, true) {
                    let line = authored::later(question);
                    voice.bridge(line.line.clone()).await;
                    draft.used_line(line);
                }
                later.pause().await;
                (end, ladder) = (Instant::now() + LONGEST_WITH_TOOLS, ladder.anew());
                continue;
            }
            First::Nobody => break instead(game, question, &tools, ladder).await,
            First::TooLate => break authored::closing(game, question, ladder.target / 2).await,
        };
        let heard = voice.length();
        match hear(game, *answering, voice, &tools, ladder, end).await {
            Some(wanted) if wanted.is_empty() => return,
            Some(wanted) => {
                let said = voice.since(heard).to_owned();
                let by = end.checked_sub(LEFT_TO_ANSWER).unwrap_or(end).into_std();
                tools.carry_out(&game.tools, question, said, wanted, by).await;
                voice.pause();
                ladder = ladder.anew();
            }
            // What has been heard cannot be unsaid, so another model cannot begin again.
            None if voice.length() > heard => return mend(game, question, draft, voice).await,
            None => break instead(game, question, &tools, ladder).await,
        }
    };
    end_with(chosen, draft, voice).await;
}

/// The author's answer in place of a model's.
async fn instead(game: &Arc<Game>, question: &Question, tools: &ToolUse, ladder: Ladder) -> Chosen {
    let until = ladder.close_at().into_std();
    authored::answer_with(game, question, ladder.target / 2, tools, until).await
}

/// Hears a model to its end: what it wants done before it goes on, or nothing where it did not come to a good end.
async fn hear(
    game: &Arc<Game>,
    answering: Answering,
    voice: &mut Voice,
    tools: &ToolUse,
    ladder: Ladder,
    end: Instant,
) -> Option<Vec<WantedCall>> {
    let (route, before) = (answering.route.clone(), voice.length());
    let until = end.min(Instant::now() + LONGEST);
    let heard = match models::listen(game, answering, voice, ladder.silence(&route), until).await {
        Ok(wanted) if wanted.is_empty() || tools.may_call() => Ok(wanted),
        // It was told to answer. If it only wants more calls, whatever it is told, it has nothing to say.
        Ok(_) if voice.length() == before => Err(RouteFault::Garbage),
        Ok(_) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    };
    match heard {
        Ok(wanted) => {
            game.route_states.works(&route.name);
            Some(wanted)
        }
        Err(fault) => {
            models::note(game, &route, &fault);
            None
        }
    }
}

/// The author has the last word, or the only one.
async fn end_with(chosen: Chosen, draft: &Draft, voice: &mut Voice) {
    let follows_a_model = voice.length() > 0;
    voice.pause();
    for words in in_pieces(&chosen.line) {
        voice.say(words).await;
    }
    if follows_a_model {
        draft.used_line(chosen);
    } else {
        draft.authored(chosen);
    }
}

/// Ends a reply that broke off: with what there is, if it says something, else with a line of the author's.
async fn mend(game: &Arc<Game>, question: &Question, draft: &Draft, voice: &mut Voice) {
    if voice.ends_sentence() {
        return;
    }
    voice.break_off().await;
    if !voice.has_sentence() {
        let chosen = authored::answer(game, question, MENDING).await;
        voice.say(" ").await;
        voice.say(&chosen.line).await;
        draft.used_line(chosen);
    }
}

/// The key that a route names; an error with the name of what is missing.
fn key_of<'a>(game: &'a Game, route: &Route) -> Result<Option<&'a Secret>, String> {
    match &route.key {
        None => Ok(None),
        Some(name) => game.route_keys.get(name).map(Some).ok_or_else(|| name.clone()),
    }
}

/// How the game's characters answer just now, and why not better.
pub(crate) fn answers_by(game: &Game, loaded: &Loaded) -> (String, Option<String>) {
    let mut why = None;
    for route in &loaded.bundle.routes {
        let reason = match (key_of(game, route), game.route_states.failing(&route.name)) {
            (Err(key), _) => format!("route `{}` has no key: set `{key}`", route.name),
            (Ok(_), Some(fault)) => format!("route `{}` fails: {fault}", route.name),
            (Ok(_), None) => return (route.name.clone(), why),
        };
        why.get_or_insert(reason);
    }
    let why = why.or_else(|| Some("the game names no route to a model".to_owned()));
    match &game.inference {
        None => (
            authored::BARKS.to_owned(),
            Some("no model for embeddings is installed: run `gaia model pull`".to_owned()),
        ),
        Some(inference) => match inference.failing() {
            Some(fault) => (
                authored::BARKS.to_owned(),
                Some(format!("the machine's inference fails: {fault}")),
            ),
            None => match lines_to_read(game, loaded) {
                0 => (authored::OFFLINE.to_owned(), why),
                count => (
                    authored::BARKS.to_owned(),
                    Some(format!("the model still reads {count} of the characters' lines")),
                ),
            },
        },
    }
}

/// How many of the authors' lines have not been read for their meaning yet. None where nothing can read them.
pub(crate) fn lines_to_read(game: &Game, loaded: &Loaded) -> usize {
    if game.inference.is_none() {
        return 0;
    }
    loaded.lines.iter().map(|lines| lines.to_read()).sum()
}

/// Has the beginnings of prompts kept, and reads the meaning of what the personas' authors wrote, in the background.
pub(crate) fn warm_up(game: &Arc<Game>) {
    warming::begin(game);
    let Some(inference) = &game.inference else { return };
    let (inference, loaded, tasks) = (inference.clone(), game.bundle.now(), game.tasks.clone());
    game.tasks.spawn(async move {
        for lines in &loaded.lines {
            tokio::select! {
                () = lines.load(&inference) => {}
                () = tasks.draining() => return,
            }
        }
    });
}

/// A few pieces of a line, cut between words.
fn in_pieces(line: &str) -> Vec<&str> {
    const WORDS: usize = 6;
    let mut pieces = Vec::new();
    let (mut begin, mut words) = (0, 0);
    for (space, _) in line.match_indices(' ') {
        words += 1;
        if words % WORDS == 0 {
            pieces.push(&line[begin..space]);
            begin = space;
        }
    }
    pieces.push(&line[begin..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_line_are_the_line() {
        for line in [
            "",
            "Hm.",
            "The bridge is north of the market, over the old river, past the mill.",
            " a  b ",
        ] {
            assert_eq!(in_pieces(line).concat(), line);
        }
        assert_eq!(in_pieces("one two three four five six seven").len(), 2);
    }
}
