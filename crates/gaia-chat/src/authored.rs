//! Answers without a generative model: the author's lines, found by what the player means.
//!
//! With the machine's inference the line is found by embeddings (route `offline`), without it by words (route `barks`).

mod choose;
mod inference;
mod lines;
mod meaning;
mod names;
mod recall;
mod words;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    choose::{Known, Purpose},
    inference::Vector,
    lines::{Kind, Topic},
};
pub(crate) use self::{inference::Inference, lines::Lines, names::name_given};
use crate::{
    game::Game,
    replies::{Question, ToolUse},
};

/// The route whose lines are found by embeddings.
pub(crate) const OFFLINE: &str = "offline";
/// The route whose lines are found by words.
pub(crate) const BARKS: &str = "barks";

/// How long the inference may take at most before words decide.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// Which line it is: its topic's name and its place there.
    pub(crate) id: String,
    /// The line, filled in.
    pub(crate) line: String,
    pub(crate) route: &'static str,
    /// The meaning of the player's message, where it was read.
    pub(crate) embedding: Option<Vec<u8>>,
}

/// Topics that fit, best first, and how they were found.
struct Found {
    topics: Vec<usize>,
    route: &'static str,
    /// The player's message.
    vector: Option<Vector>,
}

/// Chooses a line that answers. There always is one. Within the patience its meaning decides, else its words.
pub(crate) async fn answer(game: &Arc<Game>, question: &Question, patience: Duration) -> Chosen {
    choose_for(game, question, patience, Purpose::Answer, None).await
}

/// The same. Where the intent has a tool, it is asked first, until then at most.
pub(crate) async fn answer_with(
    game: &Arc<Game>,
    question: &Question,
    patience: Duration,
    tools: &ToolUse,
    until: Instant,
) -> Chosen {
    choose_for(game, question, patience, Purpose::Answer, Some((tools, until))).await
}

/// Chooses a line that bridges the wait for the answer, and claims nothing.
pub(crate) async fn meanwhile(game: &Arc<Game>, question: &Question, patience: Duration) -> Chosen {
    choose_for(game, question, patience, Purpose::Meanwhile, None).await
}

/// Chooses a line that ends the wait for an answer: one that answers, where one fits, else one that closes.
pub(crate) async fn closing(game: &Arc<Game>, question: &Question, patience: Duration) -> Chosen {
    choose_for(game, question, patience, Purpose::Closing, None).await
}

/// Chooses a line that closes and answers nothing, because the answer comes later.
pub(crate) fn later(question: &Question) -> Chosen {
    let lines = &question.loaded.lines[question.persona];
    let (id, line) = choose::choose(lines, &[], question, Known::default(), Purpose::Closing);
    Chosen {
        id,
        line,
        route: BARKS,
        embedding: None,
    }
}

async fn choose_for(
    game: &Arc<Game>,
    question: &Question,
    patience: Duration,
    purpose: Purpose,
    tools: Option<(&ToolUse, Instant)>,
) -> Chosen {
    let lines = &question.loaded.lines[question.persona];
    let found = find(game, question, lines, patience.min(PATIENCE)).await;
    let best = found.topics.first().map(|best| &lines.topics[*best]);
    let earlier = match best {
        Some(Topic { kind: Kind::Recall, .. }) if purpose != Purpose::Meanwhile => {
            recall::find(game, question, found.vector.as_ref()).await
        }
        _ => None,
    };
    let answer = match (best.and_then(|best| best.call.as_ref()), tools) {
        (Some(call), Some((tools, until))) => tools.ask(&game.tools, question, call, until).await,
        _ => None,
    };
    let known = Known {
        name: question.player_name.as_deref(),
        earlier: earlier.as_deref(),
        answer: answer.as_ref(),
    };
    let (id, line) = choose::choose(lines, &found.topics, question, known, purpose);
    Chosen {
        id,
        line,
        route: found.route,
        embedding: found.vector.as_ref().map(meaning::packed),
    }
}

async fn find(game: &Arc<Game>, question: &Question, lines: &Arc<Lines>, patience: Duration) -> Found {
    let by_meaning = async {
        let inference = game.inference.as_ref()?;
        let whens = lines.vectors(inference, &game.tasks).await?;
        let texts = words::parts(&question.text);
        let vectors = inference.embed(&texts, patience).await.ok()?;
        Some((meaning::rank(lines, &whens, &vectors), vectors.into_iter().next()))
    };
    let found = tokio::time::timeout(patience, by_meaning).await.ok().flatten();
    let (mut topics, route, vector) = match found {
        Some((topics, vector)) => (topics, OFFLINE, vector),
        None => (words::rank(lines, &question.text), BARKS, None),
    };
    // Whoever says little more than a name is introducing themselves, whatever else it sounds like.
    if question.gave_name
        && words::count(&question.text) <= names::INTRODUCTION_WORDS
        && let Some(name_given) = lines.topics.iter().position(|topic| topic.kind == Kind::NameGiven)
    {
        topics.retain(|topic| *topic != name_given);
        topics.insert(0, name_given);
    }
    Found { topics, route, vector }
}
