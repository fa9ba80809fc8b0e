//! Texts of others, without what people cannot see and with an end.

/// Whether a character shows nothing, or makes a text look like another one.
pub(crate) fn is_hidden(c: char) -> bool {
    let is_line_or_tab = matches!(c, '\n' | '\t');
    (c.is_control() && !is_line_or_tab)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The text without hidden characters, at most so many bytes of it, and whether its end is missing.
pub(crate) fn text(text: &str, most_bytes: usize) -> (String, bool) {
    let mut kept = String::with_capacity(text.len().min(most_bytes));
    for c in text.chars() {
        let c = match c {
            '\u{2028}' | '\u{2029}' => '\n',
            c if is_hidden(c) => continue,
            c => c,
        };
        if kept.len() + c.len_utf8() > most_bytes {
            return (kept, true);
        }
        kept.push(c);
    }
    (kept, false)
}

/// The same on one line, with a mark where its end is missing.
pub(crate) fn line(words: &str, most_bytes: usize) -> String {
    let (kept, is_cut) = text(words, most_bytes);
    let mut kept = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    if is_cut {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_people_cannot_see_stays() {
        let smuggled = "a\u{e0041}\u{e0042}b\u{200b}c\u{202e}d\u{1b}[2Je\u{fe0f}\u{feff}f";
        assert_eq!(text(smuggled, 100), ("abcd[2Jef".to_owned(), false));
    }

    #[test]
    fn lines_tabs_and_every_script_stay() {
        let plain = "Grüße\n\tこんにちは سلام";
        assert_eq!(text(plain, 100), (plain.to_owned(), false));
    }

    #[test]
    fn a_text_ends_at_a_whole_character() {
        assert_eq!(text("ééé", 3), ("é".to_owned(), true));
        assert_eq!(line("one\ntwo three", 8), "one two…");
    }
}
