//! Says a reply piece by piece: cleaned, bounded, and such that the pieces together are exactly the reply that is kept.

use gaia_protocol::chat::{Asked, ToolNews};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The most bytes of one reply.
const MOST_BYTES: usize = 16 * 1024;
/// The most white space that is kept between words.
const MOST_SPACE: usize = 64;

/// What a player hears of a reply while it is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// More of the reply.
    Words(String),
    /// A line that bridges the wait and is no part of the reply.
    Interim(String),
    /// The persona uses a tool.
    Tool(ToolNews),
    /// The player is asked something.
    Ask(Asked),
}

/// Where a reply is said.
pub(super) struct Voice {
    pieces: mpsc::Sender<Piece>,
    said: String,
    /// White space that is said only if words follow.
    held: String,
    begun: CancellationToken,
}

impl Voice {
    pub(super) fn new(pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            pieces,
            said: String::new(),
            held: String::new(),
            begun: CancellationToken::new(),
        }
    }

    /// Where the pieces go.
    pub(super) fn pieces(&self) -> mpsc::Sender<Piece> {
        self.pieces.clone()
    }

    /// Ends once words have been said: there is no wait any more that could be bridged.
    pub(super) fn begun(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// What has been said since so many bytes had been.
    pub(super) fn since(&self, bytes: usize) -> &str {
        &self.said[bytes..]
    }

    /// How much has been said, in bytes.
    pub(super) fn length(&self) -> usize {
        self.said.len()
    }

    /// What follows stands apart from what has been said.
    pub(super) fn pause(&mut self) {
        if self.held.is_empty() && !self.said.is_empty() {
            self.held.push(' ');
        }
    }

    /// Says more. False when nothing more can be said, because there is no more room.
    pub(super) async fn say(&mut self, text: &str) -> bool {
        let mut piece = std::mem::take(&mut self.held);
        // Postgres takes no NUL, and no client expects control characters.
        piece.extend(text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')));
        if self.said.is_empty() {
            let words = piece.trim_start().len();
            piece.drain(..piece.len() - words);
        }
        let words = piece.trim_end().len();
        self.held = piece.split_off(words);
        truncate(&mut self.held, MOST_SPACE);
        let room = MOST_BYTES - self.said.len();
        let is_full = piece.len() >= room;
        truncate(&mut piece, room);
        if !piece.is_empty() {
            self.said.push_str(&piece);
            self.begun.cancel();
            // Nobody listens any more when the turn was given up; then this work is about to be dropped too.
            let _ = self.pieces.send(Piece::Words(piece)).await;
        }
        !is_full
    }

    /// Bridges the wait.
    pub(super) async fn bridge(&self, line: String) {
        let _ = self.pieces.send(Piece::Interim(line)).await;
    }

    /// Says that something was left unsaid.
    pub(super) async fn break_off(&mut self) {
        self.held.clear();
        self.say("…").await;
    }

    /// Whether what was said ends where a sentence does.
    pub(super) fn ends_sentence(&self) -> bool {
        self.said
            .trim_end_matches(['"', '\'', '”', '’', ')', '*', '»'])
            .ends_with(['.', '!', '?', '…', '。', '！', '？'])
    }

    /// Whether there is a whole sentence in what was said.
    pub(super) fn has_sentence(&self) -> bool {
        let mut characters = self.said.chars().peekable();
        while let Some(c) = characters.next() {
            if matches!(c, '.' | '!' | '?' | '。' | '！' | '？')
                && characters.peek().is_none_or(|next| next.is_whitespace())
            {
                return true;
            }
        }
        false
    }
}

fn truncate(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(piece: Piece) -> String {
        match piece {
            Piece::Words(words) => words,
            other => panic!("only words were to be said: {other:?}"),
        }
    }

    async fn said(texts: &[&str]) -> (Voice, String) {
        let (sender, mut receiver) = mpsc::channel(64);
        let mut voice = Voice::new(sender);
        for text in texts {
            voice.say(text).await;
        }
        let mut pieces = String::new();
        while let Ok(piece) = receiver.try_recv() {
            pieces.push_str(&words(piece));
        }
        (voice, pieces)
    }

    #[tokio::test]
    async fn the_pieces_have_no_white_space_around_and_no_control_characters() {
        let (_, pieces) = said(&["\n ", "Go", " ", "north\0\u{1b}.", " \n\n", "Now.", "  "]).await;
        assert_eq!(pieces, "Go north. \n\nNow.");
    }

    #[tokio::test]
    async fn white_space_alone_says_nothing() {
        let (voice, pieces) = said(&[" ", "\n", "\t"]).await;
        assert!(voice.said.is_empty() && pieces.is_empty());
    }

    #[tokio::test]
    async fn a_reply_ends_at_its_bound_on_a_character() {
        let (sender, mut receiver) = mpsc::channel(64);
        let mut voice = Voice::new(sender);
        assert!(!voice.say(&"x€".repeat(MOST_BYTES)).await);
        assert!(!voice.say("more").await);
        let piece = words(receiver.try_recv().unwrap());
        assert!(
            piece.len() <= MOST_BYTES && piece.len() > MOST_BYTES - 4,
            "{}",
            piece.len()
        );
    }

    #[tokio::test]
    async fn a_sentence_is_known_by_its_end() {
        for (text, ends, has) in [
            ("Go north", false, false),
            ("Go north.", true, true),
            ("Take 3.5 litres", false, false),
            ("Go north. The ph", false, true),
            ("\"Go north!\"", true, false),
        ] {
            let (voice, _) = said(&[text]).await;
            assert_eq!((voice.ends_sentence(), voice.has_sentence()), (ends, has), "{text}");
        }
    }
}
