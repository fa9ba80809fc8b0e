//! What of a client's own words a persona is shown beside the player's: as much as there is room for, since whoever runs
//! the game pays for each.

use gaia_protocol::chat::{Claimed, LONGEST_QUOTES, MOST_QUOTES, Quote};

/// How much of the room instructions may take, in bytes.
const MOST_INSTRUCTIONS: usize = LONGEST_QUOTES / 2;

/// The beginning of the instructions, and the last of what was said.
pub(super) fn chosen(instructions: &[String], said: &[Quote]) -> Vec<Quote> {
    let mut quotes = Vec::new();
    let mut room = MOST_INSTRUCTIONS;
    for text in instructions
        .iter()
        .filter(|text| !text.is_empty())
        .take(MOST_QUOTES / 2)
    {
        let text = text[..text.floor_char_boundary(room)].to_owned();
        if text.is_empty() {
            break;
        }
        room -= text.len();
        let said_as = Claimed::Instructions;
        quotes.push(Quote { said_as, text });
    }
    let mut room = LONGEST_QUOTES - (MOST_INSTRUCTIONS - room);
    let fits = |quote: &&Quote| {
        let left = room.checked_sub(quote.text.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let most = MOST_QUOTES - quotes.len();
    let mut last: Vec<_> = said.iter().rev().take(most).take_while(fits).cloned().collect();
    last.reverse();
    quotes.extend(last.into_iter().filter(|quote| !quote.text.is_empty()));
    quotes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Quote {
        Quote {
            said_as: Claimed::Player,
            text: text.to_owned(),
        }
    }

    #[test]
    fn instructions_lose_their_end_and_what_was_said_its_beginning() {
        let instructions = ["é".repeat(MOST_INSTRUCTIONS), "more".to_owned()];
        let said = [
            line("first"),
            line(&"x".repeat(LONGEST_QUOTES)),
            line("second last"),
            line("last"),
        ];
        let quotes = chosen(&instructions, &said);
        let texts: Vec<_> = quotes.iter().map(|quote| quote.text.as_str()).collect();
        assert_eq!(texts[0].len(), MOST_INSTRUCTIONS);
        assert_eq!(texts[1..], ["second last", "last"]);
    }

    #[test]
    fn whatever_is_sent_the_bounds_of_chat_are_kept() {
        let many: Vec<_> = (0..5_000).map(|number| number.to_string()).collect();
        let said: Vec<_> = many.iter().map(|text| line(text)).collect();
        for (instructions, said) in [(&many[..], &said[..]), (&[], &said[..]), (&many[..], &[])] {
            let quotes = chosen(instructions, said);
            assert!(quotes.len() <= MOST_QUOTES);
            assert!(quotes.iter().map(|quote| quote.text.len()).sum::<usize>() <= LONGEST_QUOTES);
        }
        assert_eq!(chosen(&[], &said).last(), said.last());
    }
}
