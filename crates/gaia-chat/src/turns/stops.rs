//! Ends a reply where one of the texts begins that its asker wants it to stop at, whoever says the reply.

/// Holds back what may be the beginning of such a text until more is known.
#[derive(Debug, Default)]
pub(super) struct Stops {
    at: Vec<String>,
    held: String,
    is_hit: bool,
}

impl Stops {
    pub(super) fn new(at: &[String]) -> Self {
        Self {
            at: at.iter().filter(|text| !text.is_empty()).cloned().collect(),
            ..Self::default()
        }
    }

    /// Whether the reply has ended at one of the texts.
    pub(super) fn is_hit(&self) -> bool {
        self.is_hit
    }

    /// What may be said after this piece; perhaps nothing yet.
    pub(super) fn pass(&mut self, piece: String) -> String {
        if self.at.is_empty() {
            return piece;
        }
        self.held.push_str(&piece);
        if let Some(end) = self.at.iter().filter_map(|text| self.held.find(text)).min() {
            self.is_hit = true;
            self.held.truncate(end);
            return self.rest();
        }
        let begins = self.at.iter().map(|text| self.beginning_of(text)).max().unwrap_or(0);
        // No piece ends in white space: if the words after it are not said, it is not either.
        let said = self.held[..self.held.len() - begins].trim_end().len();
        let later = self.held.split_off(said);
        std::mem::replace(&mut self.held, later)
    }

    /// What was held back, when no more comes.
    pub(super) fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.held);
        rest.truncate(rest.trim_end().len());
        rest
    }

    /// How many bytes at the end of what is held are the beginning of a text.
    fn beginning_of(&self, text: &str) -> usize {
        let ends = text.char_indices().map(|(end, _)| end).skip(1);
        ends.filter(|end| self.held.ends_with(&text[..*end])).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: &[&str], pieces: &[&str]) -> (String, bool) {
        let at: Vec<_> = at.iter().map(|text| (*text).to_owned()).collect();
        let mut stops = Stops::new(&at);
        let mut said = String::new();
        for piece in pieces {
            said.push_str(&stops.pass((*piece).to_owned()));
            if stops.is_hit() {
                return (said, true);
            }
        }
        said.push_str(&stops.rest());
        (said, false)
    }

    #[test]
    fn a_reply_ends_before_the_first_stop_however_it_comes_in_pieces() {
        let whole = "Go north. STOP Then east. END";
        for size in 1..whole.len() {
            let pieces: Vec<_> = whole
                .as_bytes()
                .chunks(size)
                .map(|piece| std::str::from_utf8(piece).unwrap())
                .collect();
            assert_eq!(
                said(&["END", "STOP"], &pieces),
                ("Go north.".to_owned(), true),
                "{size}"
            );
            assert_eq!(
                said(&["STOPS", "nowhere"], &pieces),
                (whole.to_owned(), false),
                "{size}"
            );
        }
    }

    #[test]
    fn what_looked_like_a_stop_and_was_none_is_said() {
        assert_eq!(
            said(&["\n\nPlayer"], &["Go.", "\n\nPla", "y on."]),
            ("Go.\n\nPlay on.".to_owned(), false)
        );
        assert_eq!(said(&["aab"], &["a", "a", "a", "b!"]), ("a".to_owned(), true));
        assert_eq!(said(&["é!"], &["caf", "é", "?"]), ("café?".to_owned(), false));
    }

    #[test]
    fn without_a_stop_nothing_is_held_back() {
        let mut stops = Stops::new(&[]);
        assert_eq!(stops.pass(" Go ".to_owned()), " Go ");
        assert_eq!(stops.rest(), "");
    }
}
