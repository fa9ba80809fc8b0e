//! The steps of an apply as they happen: a spinner on a terminal, a line for each step elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use gaia_deploy::Event;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Ink, Output, Paint};

/// Shows steps on standard error.
pub(crate) struct Steps {
    way: Way,
    paint: Paint,
    /// What was said when the step began.
    current: String,
}

enum Way {
    Silent,
    Lines,
    Spinner(ProgressBar),
}

impl Steps {
    /// For one apply.
    pub(crate) fn new(output: Output) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let way = match (output.is_json(), is_terminal) {
            (true, _) => Way::Silent,
            (false, false) => Way::Lines,
            (false, true) => Way::Spinner(spinner()),
        };
        Self {
            way,
            paint: Paint::of(is_terminal),
            current: String::new(),
        }
    }

    /// Something takes a moment and is no step.
    pub(crate) fn doing(&self, what: &str) {
        if let Way::Spinner(spinner) = &self.way {
            spinner.set_message(what.to_owned());
        }
    }

    /// Something takes long and is no step.
    pub(crate) fn waiting(&self, what: &str) {
        match &self.way {
            Way::Silent => {}
            Way::Lines => put(&format!("        {what}\n")),
            Way::Spinner(spinner) => spinner.set_message(what.to_owned()),
        }
    }

    /// Takes note of an event.
    pub(crate) fn on(&mut self, event: Event) {
        match event {
            Event::Started { step, number, of, why } => {
                self.current = format!("{number:>3}/{of} {step:<24} {why}");
                match &self.way {
                    Way::Silent => {}
                    Way::Lines => put(&self.current),
                    Way::Spinner(spinner) => spinner.set_message(self.current.clone()),
                }
            }
            Event::Done { elapsed, .. } => self.end(&elapsed_text(elapsed), Ink::Dim),
            Event::Failed {
                elapsed,
                error,
                not_started,
                ..
            } => {
                self.end(&format!("failed after {}: {error}", elapsed_text(elapsed)), Ink::Red);
                if !not_started.is_empty() {
                    let names: Vec<&str> = not_started.iter().map(|step| step.0.as_str()).collect();
                    self.waiting(&format!("not started: {}", names.join(", ")));
                }
            }
        }
    }

    fn end(&mut self, how: &str, ink: Ink) {
        let how = self.paint.ink(ink, how);
        match &self.way {
            Way::Silent => {}
            Way::Lines => put(&format!("  {how}\n")),
            Way::Spinner(spinner) => spinner.println(format!("{}  {how}", self.current)),
        }
        self.current.clear();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Way::Spinner(spinner) = &self.way {
            spinner.finish_and_clear();
        }
    }
}

/// A duration for people: `0.8 s`.
pub(crate) fn elapsed_text(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn put(text: &str) {
    let mut out = io::stderr().lock();
    // Progress that nobody can read must not stop the work.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
