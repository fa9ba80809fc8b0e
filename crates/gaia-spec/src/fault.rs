//! What is wrong with a game's folder: where, what, and what to write instead.

use std::fmt;

use serde::Serialize;

/// No more faults than this are told of one file: whoever has so many mends the first ones first.
const MOST_FAULTS: usize = 100;

/// Whether the game can run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The game cannot run like this.
    Error,
    /// The game runs, but perhaps not as its maker thinks.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong. Shown as `file:line:column: error: message` and a line that helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, as one opens it from where the folder was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong. Never holds a secret, a control character or a long text of the file.
    pub message: String,
    /// What may stand there, where that is a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// The allowed value that is most like what stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Fault {
    pub(crate) fn helping(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Tells what may stand there, and which of it is most like what does.
    pub(crate) fn choosing<'a>(&mut self, given: &str, allowed: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.allowed = allowed.into_iter().map(str::to_owned).collect();
        self.nearest = nearest(given, self.allowed.iter().map(String::as_str)).map(str::to_owned);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}: {}",
            self.file, self.line, self.column, self.severity, self.message
        )?;
        let nearest = self
            .nearest
            .as_ref()
            .map(|nearest| format!("did you mean `{nearest}`?"));
        let allowed = (!self.allowed.is_empty()).then(|| format!("allowed: {}", self.allowed.join(", ")));
        let help: Vec<_> = [nearest, self.help.clone(), allowed].into_iter().flatten().collect();
        if help.is_empty() {
            Ok(())
        } else {
            write!(f, "\n  help: {}", help.join("; ").replace("?; ", "? "))
        }
    }
}

/// Everything that is wrong with a game's folder, by place: at least one error, and the warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn sorted(mut list: Vec<Fault>) -> Self {
        list.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Self(list)
    }

    pub(crate) fn into_list(self) -> Vec<Fault> {
        self.0
    }

    /// All of them, errors and warnings, by place.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.0
    }

    /// How many are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|fault| fault.severity == Severity::Error).count()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A place in a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// What was found wrong with one file so far.
pub(crate) struct Findings {
    file: String,
    list: Vec<Fault>,
    /// The latest of those that are too many to be told.
    untold: Option<Fault>,
    untold_count: usize,
    errors: usize,
}

impl Findings {
    pub(crate) fn of(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            list: Vec::new(),
            untold: None,
            untold_count: 0,
            errors: 0,
        }
    }

    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>) -> &mut Fault {
        self.errors += 1;
        self.add(place, Severity::Error, message.into())
    }

    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>) -> &mut Fault {
        self.add(place, Severity::Warning, message.into())
    }

    fn add(&mut self, place: Place, severity: Severity, message: String) -> &mut Fault {
        let Place { line, column } = place;
        let file = self.file.clone();
        let fault = Fault {
            file,
            line,
            column,
            severity,
            message,
            allowed: Vec::new(),
            nearest: None,
            help: None,
        };
        if self.list.len() >= MOST_FAULTS {
            self.untold_count += 1;
            return self.untold.insert(fault);
        }
        self.list.push(fault);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    pub(crate) fn into_list(mut self) -> Vec<Fault> {
        if let Some(mut untold) = self.untold.take() {
            untold.severity = if self.errors > 0 {
                Severity::Error
            } else {
                Severity::Warning
            };
            untold.message = format!("{} more faults of this file are not told", self.untold_count);
            untold.allowed.clear();
            untold.nearest = None;
            untold.help = Some("mend the others first".to_owned());
            untold.line = self
                .list
                .iter()
                .map(|fault| fault.line)
                .max()
                .unwrap_or(1)
                .max(untold.line);
            self.list.push(untold);
        }
        self.list
    }
}

/// How the keys of well-known providers begin. One that stands where it does not belong is not repeated.
const BEGINNINGS_OF_KEYS: &[&str] = &["sk-", "sk_", "gsk_", "xai-", "AIza", "ghp_", "hf_"];

/// A text of the file as a message may show it: short, without control characters and without keys.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    if holds_key(text) {
        return "***".to_owned();
    }
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        // Directions and line separators are not control characters, but they change what a terminal shows.
        let is_odd = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if is_odd {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a word of the text begins like a key and is long enough for one.
fn holds_key(text: &str) -> bool {
    let begins_word = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric());
    let holds = |beginning: &&str| {
        text.match_indices(beginning)
            .any(|(at, _)| begins_word(at) && text.len() - at >= 16)
    };
    BEGINNINGS_OF_KEYS.iter().any(holds)
}

/// The candidate that is so much like what was given that it may have been meant.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        text.chars()
            .take(64)
            .filter(|c| !matches!(c, '_' | '-' | ' '))
            .flat_map(char::to_lowercase)
            .collect()
    };
    let given = plain(given);
    let likeness = |candidate: &str| {
        let candidate = plain(candidate);
        let is_beginning = given.len() >= 3 && candidate.starts_with(&given);
        let likeness = strsim::normalized_damerau_levenshtein(&given, &candidate);
        // Of two that differ as much, the one that begins alike is nearer.
        (if is_beginning { likeness.max(0.6) } else { likeness }) + strsim::jaro_winkler(&given, &candidate) / 100.0
    };
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
