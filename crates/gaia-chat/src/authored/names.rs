//! Hears when a player says their name. It would rather miss one than call somebody Hungry.

/// A message of at most this many words that says a name is about the name.
pub(super) const INTRODUCTION_WORDS: usize = 7;

const MOST_WORDS: usize = 3;
const MOST_LETTERS: usize = 24;

/// After these, a name follows even if the player writes no capitals.
const PLAIN: &[&[&str]] = &[
    &["my", "name", "is"],
    &["my", "name's"],
    &["names"],
    &["the", "name", "is"],
    &["the", "name's"],
    &["name's"],
    &["they", "call", "me"],
    &["people", "call", "me"],
    &["everyone", "calls", "me"],
    &["you", "can", "call", "me"],
    &["you", "may", "call", "me"],
    &["please", "call", "me"],
    &["just", "call", "me"],
    &["call", "me"],
    &["i", "am", "called"],
    &["i'm", "called"],
];
/// After these, only a word with a capital that ends the sentence is a name.
const VAGUE: &[&[&str]] = &[
    &["i", "am"],
    &["i'm"],
    &["im"],
    &["this", "is"],
    &["it's"],
    &["it", "is"],
];

const NO_NAMES: &[&str] = &[
    "a",
    "an",
    "the",
    "not",
    "so",
    "very",
    "just",
    "here",
    "there",
    "back",
    "when",
    "if",
    "what",
    "who",
    "where",
    "why",
    "how",
    "later",
    "again",
    "now",
    "then",
    "maybe",
    "crazy",
    "and",
    "or",
    "but",
    "in",
    "on",
    "at",
    "to",
    "from",
    "for",
    "of",
    "by",
    "with",
    "my",
    "your",
    "his",
    "her",
    "our",
    "their",
    "it",
    "me",
    "you",
    "us",
    "them",
    "that",
    "this",
    "lost",
    "hungry",
    "tired",
    "cold",
    "hurt",
    "sick",
    "fine",
    "good",
    "ok",
    "okay",
    "sorry",
    "afraid",
    "scared",
    "sure",
    "ready",
    "new",
    "alone",
    "dead",
    "alive",
    "bitten",
    "infected",
    "human",
    "real",
    "glad",
    "happy",
    "sad",
    "bored",
    "confused",
    "stuck",
    "going",
    "looking",
    "trying",
    "thirsty",
    "bleeding",
    "unknown",
    "none",
    "nobody",
    "something",
    "anything",
    "whatever",
    "anytime",
    "soon",
    "names",
    "name",
    "hello",
    "hi",
    "hey",
    "no",
    "yes",
    "nothing",
    "great",
    "is",
    "are",
    "was",
    "important",
    "secret",
    "english",
    "french",
    "german",
    "spanish",
    "american",
    "british",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "i",
    "too",
    "also",
    "still",
    "out",
];

/// The name that a message gives, if it gives one.
pub(crate) fn name_given(message: &str) -> Option<String> {
    let sentences = message.split(['.', '!', '?', ',', ';', '\n', ':', '(', ')']);
    sentences.take(16).find_map(in_sentence)
}

fn in_sentence(sentence: &str) -> Option<String> {
    let words: Vec<_> = sentence.split_whitespace().take(40).collect();
    let plain: Vec<_> = words
        .iter()
        .map(|word| unquoted(word).to_lowercase().replace('’', "'"))
        .collect();
    let is_denied = plain
        .iter()
        .any(|word| matches!(word.as_str(), "not" | "isn't" | "don't" | "never" | "what" | "if"));
    if is_denied {
        return None;
    }
    for begin in 0..words.len() {
        if let Some(rest) = after(&plain, begin, PLAIN) {
            return name(&words[rest..], false);
        }
    }
    // "I'm Ada", alone or after a greeting; "the one I'm Ada with" is something else.
    let begin = (0..words.len().min(3)).find(|begin| after(&plain, *begin, VAGUE).is_some())?;
    name(&words[after(&plain, begin, VAGUE)?..], true)
}

fn after(words: &[String], begin: usize, phrases: &[&[&str]]) -> Option<usize> {
    let fits = |phrase: &&&[&str]| {
        let here = words.get(begin..begin + phrase.len());
        here.is_some_and(|here| here.iter().map(String::as_str).eq(phrase.iter().copied()))
    };
    phrases.iter().filter(fits).map(|phrase| begin + phrase.len()).max()
}

fn name(words: &[&str], is_vague: bool) -> Option<String> {
    let is_capital = |word: &str| word.starts_with(char::is_uppercase);
    let mut name: Vec<String> = Vec::new();
    for word in words {
        let bare = unquoted(word);
        let is_name = is_word(bare)
            && !NO_NAMES.contains(&bare.to_lowercase().as_str())
            && (is_capital(bare) || name.is_empty() && !is_vague);
        if !is_name || name.len() == MOST_WORDS {
            // "I'm Ada and ..." is fine; "I'm Going home" and "call me maybe later" are no names.
            let goes_on = matches!(
                bare.to_lowercase().as_str(),
                "and" | "from" | "by" | "but" | "now" | "the"
            );
            if name.is_empty() || is_vague && !goes_on {
                return None;
            }
            break;
        }
        name.push(capitalised(bare));
    }
    (!name.is_empty()).then(|| name.join(" "))
}

/// Without the marks that people put around words.
fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '“', '”', '\'', '‘', '’', '*', '~', '…'])
}

fn is_word(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    (1..=MOST_LETTERS).contains(&letters) && word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’'))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_heard_where_one_is_given() {
        for (message, expected) in [
            ("My name is Ada", "Ada"),
            ("my name is ada", "Ada"),
            ("Hi! My name's Tom.", "Tom"),
            ("I'm Joan", "Joan"),
            ("Hello, I'm Joan and I need help", "Joan"),
            ("I am Jean-Luc", "Jean-Luc"),
            ("call me Ishmael", "Ishmael"),
            ("You can call me Mary Ann, everybody does", "Mary Ann"),
            ("They call me José", "José"),
            ("hey im Bob", "Bob"),
            ("This is Olga", "Olga"),
            ("my name is Sam. Where is the pharmacy?", "Sam"),
            ("“Call me O’Neill”", "O’Neill"),
        ] {
            assert_eq!(name_given(message).as_deref(), Some(expected), "{message}");
        }
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        for message in [
            "I'm hungry",
            "I'm Hungry!",
            "I am a doctor",
            "I'm going to the bridge",
            "call me when you are back",
            "call me back",
            "call me a fool",
            "my name is not important",
            "My name is none of your business",
            "what is my name",
            "do you know what my name is",
            "This is the end",
            "It's Monday",
            "it is raining",
            "I'm from Berlin",
            "I'm Lost In The Woods",
            "my name is 12345",
            "my name is {earlier}",
            "",
            "call me",
            "I'm not Bob",
            &format!("my name is {}", "x".repeat(300)),
        ] {
            assert_eq!(name_given(message), None, "{message}");
        }
    }
}
