//! How a file is described: every key with its kind, its default, a sentence and an example.
//!
//! From such a table come the check of a file, its JSON Schema and its commented sample, so that the three cannot
//! tell different stories.

mod config;
mod persona;
mod price_book;

pub(crate) use config::CONFIG;
pub(crate) use persona::PERSONA;
pub(crate) use price_book::PRICE_BOOK;

/// A key of a map.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it means, in whole sentences.
    pub(crate) doc: &'static str,
    pub(crate) default: Default,
    /// YAML that fits behind the key; for a list or a map whose parts are keys, a short first entry or nothing.
    pub(crate) example: &'static str,
    pub(crate) is_required: bool,
    /// The key in whose place it may stand. Exactly one of that key and those that may stand in its place must.
    pub(crate) instead_of: Option<&'static str>,
    /// Whether the sample shows it only as a comment, because it does not go with what stands beside it.
    pub(crate) is_aside: bool,
    /// Whether this version of Gaia can do what it asks for.
    pub(crate) is_built: bool,
}

/// What holds where a key is left out.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    /// Nothing.
    None,
    /// This value, as YAML.
    Value(&'static str),
    /// What these words say.
    Said(&'static str),
    /// The defaults of the map's own keys.
    Parts,
}

/// What may stand behind a key.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A text of one line.
    Text {
        longest: usize,
    },
    /// A line that a persona says: a text that may hold slots.
    Line,
    /// A name of small letters, digits and `_`.
    Word,
    /// A persona's name.
    PersonaName,
    /// `server` or `server.tool`.
    Tool,
    /// `server.tool`.
    OneTool,
    /// A tool's name, as its server has it.
    ToolName,
    /// The name of a variable of a program's environment.
    Variable,
    /// The absolute path of a file or folder.
    Path,
    /// `23:30`.
    TimeOfDay,
    /// A name of the IANA time zone database: `Europe/Berlin`.
    TimeZone,
    /// The name of a host in the DNS: `play.example.org`.
    Hostname,
    /// The name of an object of Kubernetes.
    ObjectName,
    /// `true` or `false`.
    Switch,
    /// What a tool is handed under one name: a text, a number or a switch.
    Argument,
    Number {
        least: u64,
        most: u64,
    },
    /// A time with its unit, kept in milliseconds.
    Duration {
        least_ms: u64,
        most_ms: u64,
    },
    /// `70%`.
    Percent,
    /// `1Gi`, kept in bytes.
    Memory,
    /// `500m`, kept in thousandths of a core.
    Cpu,
    /// `$5`, `5 USD` or `0.50`, kept in millionths of a US dollar.
    Money,
    /// `0.0405` of a currency that is named elsewhere, kept in millionths.
    Amount,
    /// `USD`.
    Currency,
    /// `2026-04-01`.
    Day,
    /// What may stand as a label of a container or an object of Kubernetes.
    Label,
    /// `2`, `10+`, `3 (cluster mode)`.
    Replicas {
        may_cluster: bool,
    },
    /// An `http` or `https` address.
    Address,
    /// Where a secret is found: `env:NAME` or `file:/path`.
    Reference,
    /// One of these words.
    Choice(&'static [&'static str]),
    List {
        item: &'static Kind,
        least: usize,
        most: usize,
        is_distinct: bool,
    },
    Map(&'static [Key]),
    /// A map whose keys are names that the author chooses, each of a kind; `example` is one.
    Named {
        name: &'static Kind,
        item: &'static Kind,
        most: usize,
        example: &'static str,
    },
    /// The first or the second, told apart by their shape.
    Either(&'static Kind, &'static Kind),
}

/// A text's longest line that a persona says, in characters.
pub(crate) const LONGEST_LINE: usize = 400;

/// What one can tell of a value without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Scalar,
    List,
    Map,
}

impl Key {
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            doc,
            default: Default::None,
            example: "",
            is_required: false,
            instead_of: None,
            is_aside: false,
            is_built: true,
        }
    }

    pub(crate) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    pub(crate) const fn default(self, yaml: &'static str) -> Self {
        Self {
            default: Default::Value(yaml),
            ..self
        }
    }

    pub(crate) const fn said(self, words: &'static str) -> Self {
        Self {
            default: Default::Said(words),
            ..self
        }
    }

    pub(crate) const fn of_parts(self) -> Self {
        Self {
            default: Default::Parts,
            ..self
        }
    }

    pub(crate) const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    pub(crate) const fn instead_of(self, other: &'static str) -> Self {
        Self {
            instead_of: Some(other),
            is_aside: true,
            ..self
        }
    }

    pub(crate) const fn aside(self) -> Self {
        Self { is_aside: true, ..self }
    }

    pub(crate) const fn unbuilt(self) -> Self {
        Self {
            is_built: false,
            ..self
        }
    }
}

impl Kind {
    pub(crate) const fn shape(&self) -> Shape {
        match self {
            Self::List { .. } => Shape::List,
            Self::Map(_) | Self::Named { .. } => Shape::Map,
            Self::Either(first, _) => first.shape(),
            _ => Shape::Scalar,
        }
    }

    /// The kinds that may stand here: one, or those of an [`Kind::Either`].
    pub(crate) fn alternatives(&'static self) -> Vec<&'static Self> {
        match self {
            Self::Either(first, second) => [first.alternatives(), second.alternatives()].concat(),
            _ => vec![self],
        }
    }

    /// What may stand here, in words that fit behind "must be".
    pub(crate) fn in_words(&'static self) -> String {
        match self {
            Self::Text { longest } => format!("a text of at most {longest} characters"),
            Self::Line => format!("a line of at most {LONGEST_LINE} characters"),
            Self::Word => "a name of small letters, digits and `_`, a letter first, at most 40 characters".to_owned(),
            Self::PersonaName => {
                "a persona's name of 2 to 40 small letters, digits, `_` and `-`, a letter first".to_owned()
            }
            Self::Tool => "a tool server's name or `server.tool`".to_owned(),
            Self::OneTool => "one tool of a server, written `server.tool`".to_owned(),
            Self::ToolName => "a tool's name of at most 64 letters, digits, `_`, `-` and `.`".to_owned(),
            Self::Variable => "the name of a variable: letters, digits and `_`, no digit first".to_owned(),
            Self::Path => "an absolute path such as /srv/data".to_owned(),
            Self::TimeOfDay => "a time of day from \"00:00\" to \"23:59\"".to_owned(),
            Self::TimeZone => "a time zone of the IANA database such as Europe/Berlin or UTC".to_owned(),
            Self::Hostname => "a name in the DNS such as play.example.org, in small letters".to_owned(),
            Self::ObjectName => "the name of an object of Kubernetes: small letters, digits, `-` and `.`".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Argument => format!("a text of at most {LONGEST_LINE} characters, a number, true or false"),
            Self::Number { least, most } => format!("a whole number from {least} to {most}"),
            Self::Duration { least_ms, most_ms } => {
                format!(
                    "a time with its unit (ms, s or m) from {} to {}",
                    time(*least_ms),
                    time(*most_ms)
                )
            }
            Self::Percent => "a share of the CPU from 1% to 100%".to_owned(),
            Self::Memory => "an amount of memory such as 512Mi or 1Gi, from 16Mi to 1Ti".to_owned(),
            Self::Cpu => "an amount of CPU such as 500m or 2, from 10m to 128".to_owned(),
            Self::Money => "an amount of US dollars such as $5, 5 USD or 0.50, with at most six decimals".to_owned(),
            Self::Amount => "a number such as 0.0405, with at most six decimals".to_owned(),
            Self::Currency => "the three capital letters of a currency, such as USD".to_owned(),
            Self::Label => {
                "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last".to_owned()
            }
            Self::Day => "a day such as 2026-04-01".to_owned(),
            Self::Replicas { may_cluster: false } => "a number of replicas from 1 to 1000, such as 2 or 10+".to_owned(),
            Self::Replicas { may_cluster: true } => {
                "1 (single instance), or a number from 3 to 1000 (cluster mode), such as 3 or 5+".to_owned()
            }
            Self::Address => "an https:// address, or an http:// one of this machine or a private network".to_owned(),
            Self::Reference => "where the secret is found: env:NAME or file:/path".to_owned(),
            Self::Choice(_) => "one of the known words".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Map(_) => "a map of keys and values".to_owned(),
            Self::Named { .. } => "a map of names and what they stand for".to_owned(),
            Self::Either(first, second) => format!("{} or {}", first.in_words(), second.in_words()),
        }
    }
}

fn time(milliseconds: u64) -> String {
    match milliseconds {
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}
