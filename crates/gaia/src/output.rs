//! What people and programs read: text and tables, one JSON document, colour where it is welcome.

mod steps;
mod table;

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;

pub(crate) use steps::{Steps, elapsed_text};
pub(crate) use table::Table;

use crate::{environment, failure::Told};

/// The two forms in which a command answers. Writing to a pipe that nobody reads is not a failure of the command's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    /// `is_json`: one JSON document on standard output and nothing else there.
    pub(crate) const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Whether a program reads it.
    pub(crate) const fn is_json(self) -> bool {
        self.is_json
    }

    /// A line for people on standard output.
    pub(crate) fn say(self, text: impl Display) {
        if !self.is_json {
            let _ = writeln!(io::stdout(), "{text}");
        }
    }

    /// The document for programs on standard output.
    pub(crate) fn document(self, value: &impl Serialize) {
        if self.is_json {
            let mut out = io::stdout().lock();
            let _ = serde_json::to_writer_pretty(&mut out, value)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out));
        }
    }

    /// A line for people on standard error.
    pub(crate) fn note(self, text: impl Display) {
        if !self.is_json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Something that people should know and that stops nothing.
    pub(crate) fn warn(self, text: impl Display) {
        let word = Paint::of(io::stderr().is_terminal()).ink(Ink::Yellow, "warning");
        self.note(format_args!("{word}: {text}"));
    }

    /// Why the command failed.
    pub(crate) fn failure(self, told: &Told) {
        let word = Paint::of(io::stderr().is_terminal()).ink(Ink::Red, "error");
        self.note(format_args!("{word}: {told}"));
        self.document(told);
    }
}

/// A raw piece of text on standard output, such as a log's.
///
/// # Errors
///
/// If nobody reads it any more.
pub(crate) fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A colour or weight. It never carries meaning alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ink {
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

/// Paints where there is a terminal that welcomes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    is_on: bool,
}

impl Paint {
    /// For an output that is a terminal or is not.
    pub(crate) fn of(is_terminal: bool) -> Self {
        Self {
            is_on: is_terminal && environment::welcomes_colour(),
        }
    }

    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    /// The text in a colour or weight, or as it is.
    pub(crate) fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Red => 31,
            Ink::Green => 32,
            Ink::Yellow => 33,
        };
        if self.is_on {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text from elsewhere as a terminal may show it: without control characters, but for line ends and tabs.
pub(crate) fn plain(text: &str) -> String {
    let is_fine = |c: char| {
        let turns_text_around = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        matches!(c, '\n' | '\t') || !(c.is_control() || turns_text_around)
    };
    text.chars().filter(|c| is_fine(*c)).collect()
}

/// A number of bytes for people: `3.2 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let mebibytes = count as f64 / (1024.0 * 1024.0);
    format!("{mebibytes:.1} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\td\u{202e}\u{7}"), "a[2Jb\nc\td");
    }
}
