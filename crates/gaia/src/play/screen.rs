//! What a player sees: streamed words on a terminal, one plain line for each reply in a pipe.

use std::io::{self, IsTerminal, Write};

use gaia_protocol::chat::{Reply, ReplySource, ToolNews, ToolState};

use crate::output::{Ink, Paint, plain};

/// Where the player reads. Writing to a closed pipe is no fault of the conversation's, so it is not told.
pub(super) struct Screen {
    paint: Paint,
    is_live: bool,
    echoes: bool,
    is_mid_line: bool,
}

impl Screen {
    /// `is_live`: a person sits at it. `echoes`: each line of a pipe is shown before its reply.
    pub(super) fn new(is_live: bool, echoes: bool) -> Self {
        let paint = Paint::of(io::stdout().is_terminal());
        Self {
            paint,
            is_live,
            echoes,
            is_mid_line: false,
        }
    }

    /// Whether a person sits at it.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Something about the conversation: on a terminal, dim; in a pipe, on standard error.
    pub(super) fn note(&mut self, text: &str) {
        self.end_line();
        if self.is_live {
            self.put(&format!("{}\n", self.paint.ink(Ink::Dim, &plain(text))));
        } else {
            let _ = writeln!(io::stderr(), "{}", plain(text));
        }
    }

    /// A line for a person; a pipe does not get it.
    pub(super) fn tell(&mut self, text: &str) {
        if self.is_live {
            self.end_line();
            self.put(&format!("{text}\n"));
        }
    }

    /// Asks a person for a line.
    pub(super) fn prompt(&mut self, text: &str) {
        if self.is_live {
            self.end_line();
            self.put(&self.paint.ink(Ink::Bold, text));
        }
    }

    /// What the player said, where a pipe wants to see it.
    pub(super) fn said(&mut self, text: &str) {
        if self.echoes {
            self.put(&format!("> {}\n", one_line(text)));
        }
    }

    /// The name before a persona's words.
    pub(super) fn speaker(&mut self, name: &str) {
        if self.is_live || self.echoes {
            self.put(&format!("{} ", self.paint.ink(Ink::Bold, &format!("{}:", plain(name)))));
            self.is_mid_line = true;
        }
    }

    /// A line that bridges the wait for a reply: for a person, dim, as it is no part of the reply.
    pub(super) fn bridge(&mut self, text: &str) {
        if self.is_live {
            self.put(&format!("{} ", self.paint.ink(Ink::Dim, &plain(text))));
            self.is_mid_line = true;
        }
    }

    /// The persona uses a tool: for a person, dim, once per use.
    pub(super) fn tool(&mut self, news: &ToolNews) {
        if self.is_live && news.state == ToolState::Working && news.percent.is_none() && news.message.is_none() {
            let label = format!("[{}]", plain(&news.tool));
            self.put(&format!("{} ", self.paint.ink(Ink::Dim, &label)));
            self.is_mid_line = true;
        }
    }

    /// More of a reply, as it comes.
    pub(super) fn words(&mut self, text: &str) {
        if self.is_live {
            self.put(&plain(text));
            self.is_mid_line = true;
        }
    }

    /// The end of a reply, of which `shown` has been shown.
    pub(super) fn reply(&mut self, reply: &Reply, shown: &str, is_cancelled: bool) {
        if !self.is_live {
            self.put(&format!("{}\n", one_line(&reply.text)));
            self.is_mid_line = false;
            return;
        }
        match reply.text.strip_prefix(shown) {
            Some(rest) => self.words(rest),
            // What had been shown is not how the reply begins, so it is shown once more, whole.
            None => self.put(&format!("\n{}", plain(&reply.text))),
        }
        let source = match reply.source {
            ReplySource::Model => "model",
            ReplySource::Authored => "authored",
        };
        let end = if is_cancelled { ", stopped" } else { "" };
        let label = format!("[{source}, {}{end}]", plain(&reply.route));
        self.put(&format!("  {}\n", self.paint.ink(Ink::Dim, &label)));
        self.is_mid_line = false;
    }

    /// Begins a new line if one is open.
    pub(super) fn end_line(&mut self) {
        if self.is_mid_line {
            self.put("\n");
            self.is_mid_line = false;
        }
    }

    fn put(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
