//! Comparing words, for machines without a model and for what a model is not needed for.

use std::collections::BTreeSet;

use super::lines::{Kind, Lines};

/// A text's words, stemmed, without those that say little.
pub(super) type Words = BTreeSet<String>;

/// The least overlap of a message and a way of asking.
const THRESHOLD: f32 = 0.4;
/// The most sentences of a message that are compared on their own.
const SENTENCES: usize = 4;
/// The most characters of a message that are compared.
const MOST_CHARACTERS: usize = 1_000;

const LITTLE: &[&str] = &[
    "a", "an", "the", "is", "are", "am", "was", "were", "be", "to", "of", "in", "on", "at", "it", "its", "and", "or",
    "do", "does", "did", "you", "your", "i", "me", "my", "we", "us", "our", "that", "this", "there", "here", "so",
    "for", "with", "please", "can", "could", "would", "will", "have", "has", "had", "any", "some", "just", "then",
];
const RECALL: &[&str] = &[
    "remember",
    "recall",
    "forgot",
    "forget",
    "forgotten",
    "what",
    "told",
    "tell",
    "said",
    "say",
    "saying",
    "mention",
    "mentioned",
    "earlier",
    "before",
    "about",
    "ago",
    "still",
    "know",
    "anything",
    "something",
    "last",
    "time",
    "talk",
    "talked",
    "when",
    "if",
    "how",
    "ever",
    "things",
    "thing",
    "asked",
    "ask",
    "spoke",
    "first",
    "again",
    "just",
];

/// The words of a text that carry its meaning. Where there are none, all its words.
pub(super) fn of(text: &str) -> Words {
    let all: Vec<_> = split(text).collect();
    let telling: Words = all
        .iter()
        .filter(|word| !LITTLE.contains(&word.as_str()))
        .map(|word| stem(word))
        .collect();
    if telling.is_empty() {
        all.iter().map(|word| stem(word)).collect()
    } else {
        telling
    }
}

/// How many words a text has.
pub(super) fn count(text: &str) -> usize {
    split(text).count()
}

/// What is left of a question about the past without the words that make it one: what it is about.
pub(super) fn asked_about(question: &str) -> String {
    let about: Vec<_> = split(question)
        .filter(|word| !LITTLE.contains(&word.as_str()) && !RECALL.contains(&word.as_str()))
        .collect();
    about.join(" ")
}

/// How alike two sets of words are, 0 to 1.
pub(super) fn overlap(one: &Words, other: &Words) -> f32 {
    let common = one.intersection(other).count();
    let all = one.len() + other.len();
    if all == 0 { 0.0 } else { ratio(2 * common, all) }
}

/// How many words two sets share.
pub(super) fn shared(one: &Words, other: &Words) -> usize {
    one.intersection(other).count()
}

/// The topics that a message may be about, best first.
pub(super) fn rank(lines: &Lines, message: &str) -> Vec<usize> {
    let mut best = vec![0.0_f32; lines.topics.len()];
    let parts = parts(message);
    for part in &parts {
        let words = of(part);
        for when in &lines.whens {
            let is_aside = parts.len() > 1 && matches!(lines.topics[when.topic].kind, Kind::Courtesy);
            let score = overlap(&words, &when.words) - if is_aside { 0.3 } else { 0.0 };
            best[when.topic] = best[when.topic].max(score);
        }
    }
    let mut ranked: Vec<_> = best
        .into_iter()
        .enumerate()
        .filter(|(_, score)| *score >= THRESHOLD)
        .collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    ranked.into_iter().map(|(topic, _)| topic).collect()
}

/// A message, and its sentences if it has several.
pub(super) fn parts(message: &str) -> Vec<String> {
    let message: String = message.chars().take(MOST_CHARACTERS).collect();
    let sentences: Vec<_> = message
        .split_inclusive(['.', '!', '?', '\n', ';'])
        .map(str::trim)
        .filter(|sentence| sentence.chars().any(char::is_alphanumeric))
        .map(str::to_owned)
        .collect();
    if sentences.len() < 2 {
        return vec![message];
    }
    // What somebody wants stands rather at the end of what they say.
    let skipped = sentences.len().saturating_sub(SENTENCES);
    std::iter::once(message)
        .chain(sentences.into_iter().skip(skipped))
        .collect()
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’'))
        .map(|word| word.split(['\'', '’']).next().unwrap_or_default().to_lowercase())
        .filter(|word| !word.is_empty())
}

/// Without the endings that English puts on words. It need not be right, only the same on both sides.
fn stem(word: &str) -> String {
    for ending in ["ing", "ies", "ed", "es", "s", "ly"] {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 3
        {
            return stem.to_owned();
        }
    }
    word.to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words in a message")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

#[cfg(test)]
mod tests {
    use gaia_testkit::persona;

    use super::*;

    #[test]
    fn words_find_the_topic_that_a_model_would() {
        let lines = Lines::of(&persona("keeper"));
        let name = |message: &str| {
            rank(&lines, message)
                .first()
                .map(|topic| lines.topics[*topic].name.clone())
        };
        for (message, topic) in [
            ("Hello!", Some("greeting")),
            ("where's the bridge?", Some("fact.bridge")),
            ("Hello! Where is that bridge?", Some("fact.bridge")),
            ("What oil burns in the lanterns?", Some("fact.oil")),
            ("goodbye then", Some("farewell")),
            ("do you remember what I told you?", Some("recall")),
            ("quantum chromodynamics", None),
            ("???", None),
        ] {
            assert_eq!(name(message).as_deref(), topic, "{message}");
        }
    }

    #[test]
    fn a_question_about_the_past_is_about_what_is_left_of_it() {
        assert_eq!(asked_about("Do you remember what I told you?"), "");
        assert_eq!(asked_about("What did I say about my dog earlier?"), "dog");
        assert_eq!(asked_about("Do you still know my sister's name?"), "sister name");
    }

    #[test]
    fn a_long_message_is_compared_in_a_few_parts() {
        assert_eq!(parts("One."), ["One."]);
        assert_eq!(parts("Hi. Where to?"), ["Hi. Where to?", "Hi.", "Where to?"]);
        assert_eq!(parts(&"No. ".repeat(50)).len(), SENTENCES + 1);
        assert_eq!(parts(&"x".repeat(4_000))[0].len(), MOST_CHARACTERS);
    }
}
