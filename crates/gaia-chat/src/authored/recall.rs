//! Remembering: which of the player's earlier messages a question is about.

use std::sync::Arc;

use super::{
    PATIENCE,
    inference::Vector,
    meaning,
    words::{self, Words},
};
use crate::{
    game::Game,
    replies::Question,
    store::{self, turns::Said},
};

/// How far back it looks.
const MESSAGES: i64 = 200;
/// How many messages that no model has read yet are read for one question.
const READ_NOW: usize = 32;
/// The least likeness of a message and what the question is about.
const THRESHOLD: f32 = 0.32;
/// Messages that are about as good: of these the most recent is taken.
const ABOUT: f32 = 0.06;
/// What sharing a telling word adds.
const SHARED_WORD: f32 = 0.12;
/// The most characters that are quoted.
const QUOTE: usize = 120;
/// Replies with these lines show that the message before them said nothing to remember.
const NOTHING_SAID: &[&str] = &[
    "greeting.",
    "farewell.",
    "thanks.",
    "yes.",
    "no.",
    "recall.",
    "recall_nothing.",
];

/// A quote of the message, if there is one.
pub(super) async fn find(game: &Arc<Game>, question: &Question, asked: Option<&Vector>) -> Option<String> {
    let said = store::turns::said(&game.postgres, question.conversation, question.turn, MESSAGES).await;
    let mut said = said.ok()?;
    said.retain(|said| is_worth_remembering(said, &question.text));
    let about = words::asked_about(&question.text);
    if about.is_empty() {
        // "What did I tell you?": the last thing that was told rather than asked.
        let told = said.iter().find(|said| !said.text.contains('?')).or(said.first());
        return told.map(|said| quote(&said.text));
    }
    let words = words::of(&about);
    let found = match asked {
        Some(_) => by_meaning(game, &about, &words, &said).await,
        None => None,
    };
    let found = match found {
        Some(found) => found,
        None => by_words(&words, &said),
    };
    found.map(|index| quote(&said[index].text))
}

/// The message that is about the same; the outer `None` says that the model cannot be asked.
async fn by_meaning(game: &Game, about: &str, words: &Words, said: &[Said]) -> Option<Option<usize>> {
    let inference = game.inference.as_ref()?;
    let mut vectors: Vec<_> = said
        .iter()
        .map(|said| said.embedding.as_deref().and_then(meaning::unpacked))
        .collect();
    let mut unread: Vec<_> = (0..said.len()).filter(|index| vectors[*index].is_none()).collect();
    unread.sort_by_key(|index| std::cmp::Reverse(words::shared(words, &words::of(&said[*index].text))));
    unread.truncate(READ_NOW);
    let shortened = |index: &usize| said[*index].text.chars().take(500).collect();
    let texts: Vec<String> = std::iter::once(about.to_owned())
        .chain(unread.iter().map(shortened))
        .collect();
    let mut read = inference.embed(&texts, PATIENCE).await.ok()?.into_iter();
    let about = read.next()?;
    for (index, vector) in unread.into_iter().zip(read) {
        vectors[index] = Some(vector);
    }
    let scores: Vec<_> = said
        .iter()
        .zip(&vectors)
        .map(|(said, vector)| {
            let shares = words::shared(words, &words::of(&said.text)) > 0;
            let bonus = if shares { SHARED_WORD } else { 0.0 };
            vector.as_ref().map_or(0.0, |vector| meaning::likeness(&about, vector)) + bonus
        })
        .collect();
    let best = scores.iter().copied().fold(0.0, f32::max);
    Some(
        scores
            .iter()
            .position(|score| *score >= THRESHOLD && *score >= best - ABOUT),
    )
}

fn by_words(about: &Words, said: &[Said]) -> Option<usize> {
    let shared: Vec<_> = said
        .iter()
        .map(|said| words::shared(about, &words::of(&said.text)))
        .collect();
    let most = shared.iter().copied().max().filter(|most| *most > 0)?;
    shared.iter().position(|count| *count == most)
}

fn is_worth_remembering(said: &Said, question: &str) -> bool {
    let was_courtesy = said
        .lines
        .iter()
        .any(|line| NOTHING_SAID.iter().any(|name| line.starts_with(name)));
    let lower = said.text.to_lowercase();
    let was_question_about_past = ["remember", "did i say", "did i tell", "have i told", "recall"]
        .iter()
        .any(|phrase| lower.contains(phrase));
    !was_courtesy && !was_question_about_past && words::count(&said.text) >= 3 && said.text != question
}

/// A message, short enough for a sentence of somebody else's.
fn quote(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quote = if text.chars().count() <= QUOTE {
        text
    } else {
        let cut: String = text.chars().take(QUOTE - 1).collect();
        let end = cut.rfind(' ').filter(|end| *end > 0).unwrap_or(cut.len());
        format!("{}…", cut[..end].trim_end_matches([',', ';', ':', '.']))
    };
    // The author's line has its own quotes and full stop.
    quote.replace('"', "'").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, line: &str) -> Said {
        Said {
            text: text.to_owned(),
            lines: vec![line.to_owned()],
            embedding: None,
        }
    }

    #[test]
    fn a_quote_is_short_and_stands_in_somebody_elses_sentence() {
        assert_eq!(quote("I have a dog.\n"), "I have a dog");
        assert_eq!(quote("She said \"no\"!"), "She said 'no'!");
        let long = quote(&"word ".repeat(100));
        assert!(long.chars().count() <= QUOTE && long.ends_with("word…"), "{long}");
        assert_eq!(quote(&"ü".repeat(500)).chars().count(), QUOTE);
    }

    #[test]
    fn greetings_and_questions_about_the_past_are_not_remembered() {
        assert!(is_worth_remembering(
            &said("my dog is called Rex", "fallback.0"),
            "what about my dog"
        ));
        assert!(!is_worth_remembering(&said("hello to you all", "greeting.1"), "x"));
        assert!(!is_worth_remembering(
            &said("Do you remember my dog?", "fallback.1"),
            "x"
        ));
        assert!(!is_worth_remembering(&said("ok", "fallback.1"), "x"));
    }

    #[test]
    fn without_a_model_the_message_that_shares_most_words_is_remembered() {
        let said = [
            said("the river is high today", ""),
            said("my brown dog is called Rex", ""),
            said("I saw a dog", ""),
        ];
        assert_eq!(by_words(&words::of("brown dog"), &said), Some(1));
        assert_eq!(by_words(&words::of("dog"), &said), Some(1));
        assert_eq!(by_words(&words::of("submarine"), &said), None);
    }
}
