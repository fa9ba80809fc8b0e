//! The names that players show: theirs, or one of ours.

use gaia_protocol::{ErrorCode, Fault};
use rand::seq::IndexedRandom;

const LONGEST: usize = 40;

const FIRST: [&str; 32] = [
    "Amber", "Bold", "Brisk", "Calm", "Clever", "Copper", "Dusty", "Eager", "Early", "Fern", "Frosty", "Gentle",
    "Golden", "Hazel", "Humble", "Ivory", "Jolly", "Keen", "Lucky", "Lunar", "Maple", "Merry", "Misty", "Nimble",
    "Quiet", "Rusty", "Sandy", "Silver", "Steady", "Sunny", "Swift", "Velvet",
];
const SECOND: [&str; 32] = [
    "Badger", "Beaver", "Bison", "Cricket", "Curlew", "Dolphin", "Falcon", "Ferret", "Finch", "Fox", "Gecko", "Hare",
    "Hedgehog", "Heron", "Ibex", "Jackdaw", "Kestrel", "Lark", "Lynx", "Magpie", "Marten", "Mole", "Newt", "Otter",
    "Owl", "Puffin", "Raven", "Robin", "Seal", "Stoat", "Swan", "Wren",
];

/// A name that a player chose, trimmed.
pub(crate) fn parse(given: &str) -> Result<String, Fault> {
    let name = given.trim();
    let length = name.chars().count();
    if length == 0 || length > LONGEST || name.chars().any(is_hidden) {
        let detail = "The display name must have 1 to 40 characters and no control characters.";
        return Err(Fault::new(ErrorCode::InvalidInput, detail));
    }
    Ok(name.to_owned())
}

/// A friendly name. Names need not be unique, so there is a number only to tell most of them apart.
pub(crate) fn make() -> String {
    let mut chance = rand::rng();
    let first = FIRST.choose(&mut chance).unwrap_or(&FIRST[0]);
    let second = SECOND.choose(&mut chance).unwrap_or(&SECOND[0]);
    format!("{first} {second} {}", rand::random_range(10..100))
}

/// Control characters, line separators, and those that show nothing or turn the text around them: with them a name could
/// pass for another, or break the page or prompt that it stands in. (Zero-width joiners stay: emoji need them.)
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_1_to_40_characters_long() {
        assert_eq!(parse("  Zoë 🧟‍♀️ ").unwrap(), "Zoë 🧟‍♀️");
        assert!(parse(&"é".repeat(40)).is_ok());
        for bad in [
            "",
            "   ",
            "a\nb",
            "a\0",
            "\u{1b}[2J",
            "a\u{202E}b",
            "a\u{200B}b",
            &"é".repeat(41),
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn every_name_of_ours_could_have_been_chosen() {
        let longest = |words: &[&str]| words.iter().map(|word| word.len()).max().unwrap_or_default();
        assert!(longest(&FIRST) + longest(&SECOND) + 4 <= LONGEST);
        assert!(parse(&make()).is_ok());
    }
}
