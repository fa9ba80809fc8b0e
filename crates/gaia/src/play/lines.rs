//! The player's lines from standard input, one at a time and none longer than a message may be.

use std::io::{self, BufRead, Read};

use gaia_protocol::chat::LONGEST_MESSAGE;
use tokio::sync::mpsc;

/// The longest line in bytes: a character takes up to four.
const LONGEST_LINE: u64 = LONGEST_MESSAGE as u64 * 4;

/// A line of the player's, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end and what is blank around it.
    Text(String),
    /// A line that no message may be: too long, or not text.
    Refused(&'static str),
}

/// Standard input as a channel that is closed at its end. The thread that reads waits until its line has been taken,
/// so a pipe is never read ahead of the conversation by more than a line.
pub(super) fn lines() -> io::Result<mpsc::Receiver<Line>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::Builder::new().name("lines".into()).spawn(move || {
        let mut input = io::stdin().lock();
        while let Ok(Some(line)) = next(&mut input) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// The next line; none at the end.
fn next(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    if input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 > LONGEST_LINE {
        skip_line(input)?;
        return Ok(Some(Line::Refused(
            "the line is too long; a message has at most 4,000 characters",
        )));
    }
    Ok(Some(match std::str::from_utf8(&line).map(str::trim) {
        Ok(text) if text.chars().count() > LONGEST_MESSAGE => {
            Line::Refused("the line is too long; a message has at most 4,000 characters")
        }
        Ok(text) => Line::Text(text.to_owned()),
        Err(_) => Line::Refused("the line is not UTF-8 text"),
    }))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(place) => (place + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<Line> {
        std::iter::from_fn(|| next(&mut input).unwrap()).collect()
    }

    #[test]
    fn lines_come_without_their_ends() {
        assert_eq!(
            all(b" hello \r\n\nbye"),
            ["hello", "", "bye"].map(|text| Line::Text(text.into()))
        );
    }

    #[test]
    fn a_line_that_no_message_may_be_is_refused_and_the_next_one_is_read() {
        let long = [&[b'a'; 50_000][..], b"\nnext\n"].concat();
        let lines = all(&long);
        assert!(
            matches!(lines[0], Line::Refused(why) if why.contains("4,000")),
            "{lines:?}"
        );
        assert_eq!(lines[1..], [Line::Text("next".into())]);
        assert!(matches!(all(b"\xff\xfe\n")[..], [Line::Refused(_)]));
        let just_over = "é".repeat(LONGEST_MESSAGE + 1);
        assert!(matches!(all(just_over.as_bytes())[..], [Line::Refused(_)]));
    }
}
