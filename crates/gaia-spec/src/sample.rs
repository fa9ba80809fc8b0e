//! The commented samples: files that name every key and are good as they stand.

use crate::table::{CONFIG, Default, Key, Kind, PERSONA};

/// The longest line of a comment, in characters.
const WIDTH: usize = 110;

/// A `config.yaml` that names and explains every key. It checks without an error.
#[must_use]
pub fn explain_config() -> String {
    let head = "# games/<id>/config.yaml: everything that a game can ask for. Every key may be left out.\n";
    format!("{head}{}", sample_of(CONFIG))
}

/// A `personas/<name>.md` that names and explains every key of the front matter. It checks without an error, if the
/// config lists the tool servers `weather_api` and `location_service`.
#[must_use]
pub fn explain_persona() -> String {
    let head = "# games/<id>/personas/<name>.md: a character. Every key of this part may be left out.\n";
    let prompt = "You are Mara Voss. You have kept eleven people alive since the outbreak. What stands here, behind the \
                  second line\nof dashes, is the prompt: who the character is, what it wants, what it knows and how it \
                  talks. At most 16,000\ncharacters of Markdown.\n";
    format!("---\n{head}{}---\n{prompt}", sample_of(PERSONA))
}

fn sample_of(keys: &'static [Key]) -> String {
    let mut sample = Sample {
        text: String::new(),
        explained: Vec::new(),
        is_aside: false,
    };
    for key in keys {
        sample.text.push('\n');
        sample.key(key, 0, "");
    }
    sample.text
}

struct Sample {
    text: String,
    /// What was explained once is not explained again.
    explained: Vec<String>,
    /// Whether what is written now is only shown.
    is_aside: bool,
}

/// What stands behind a key in the sample.
enum Behind {
    /// A value on the same line.
    Value,
    /// Keys on lines of their own.
    Keys(&'static [Key]),
    /// A list whose items have keys.
    ItemsOf(&'static [Key]),
    /// Names that the author chooses, with keys each.
    NamesOf(&'static str, &'static [Key]),
}

impl Sample {
    /// Writes a key. `dash` is `- ` for the first key of a list's item.
    fn key(&mut self, key: &'static Key, indent: usize, dash: &str) {
        // What cannot be had yet and what stands in another's place is shown, but not said.
        let is_said = !self.is_aside && !key.is_aside && (key.is_built || matches!(key.kind, Kind::Switch));
        let margin = " ".repeat(indent);
        self.explain(key, &margin);
        let lead = if is_said {
            format!("{margin}{dash}")
        } else {
            format!("{margin}{}# ", " ".repeat(dash.len()))
        };
        let inner = indent + dash.len() + 2;
        let was_aside = self.is_aside;
        self.is_aside |= key.is_aside;
        match behind(&key.kind) {
            Behind::Value => self.line(&format!("{lead}{}: {}", key.name, key.example)),
            Behind::Keys(keys) => {
                self.line(&format!("{lead}{}:", key.name));
                self.keys(keys, inner);
            }
            Behind::ItemsOf(keys) => {
                self.line(&format!("{lead}{}:", key.name));
                if !key.example.is_empty() {
                    self.line(&format!("{}- {}", " ".repeat(inner), key.example));
                }
                for (index, part) in keys.iter().enumerate() {
                    if index == 0 {
                        self.key(part, inner, "- ")
                    } else {
                        self.key(part, inner + 2, "")
                    }
                }
            }
            Behind::NamesOf(name, keys) => {
                self.line(&format!("{lead}{}:", key.name));
                if !key.example.is_empty() {
                    self.line(&format!("{}{}", " ".repeat(inner), key.example));
                }
                self.line(&format!("{}{name}:", " ".repeat(inner)));
                self.keys(keys, inner + 2);
            }
        }
        self.is_aside = was_aside;
    }

    fn keys(&mut self, keys: &'static [Key], indent: usize) {
        for key in keys {
            self.key(key, indent, "");
        }
    }

    fn explain(&mut self, key: &'static Key, margin: &str) {
        let explanation = explanation(key);
        if self.explained.contains(&explanation) {
            return;
        }
        for line in wrapped(&explanation, WIDTH.saturating_sub(margin.len() + 2)) {
            self.line(&format!("{margin}# {line}"));
        }
        self.explained.push(explanation);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn behind(kind: &'static Kind) -> Behind {
    for kind in kind.alternatives() {
        match kind {
            Kind::Map(keys) if !keys.is_empty() => return Behind::Keys(keys),
            Kind::List { item, .. } => {
                if let Behind::Keys(keys) = behind(item) {
                    return Behind::ItemsOf(keys);
                }
            }
            Kind::Named { item, example, .. } => {
                if let Behind::Keys(keys) = behind(item) {
                    return Behind::NamesOf(example, keys);
                }
            }
            _ => {}
        }
    }
    Behind::Value
}

/// Everything that one should know of a key, in sentences.
pub(crate) fn explanation(key: &'static Key) -> String {
    let mut sentences = vec![key.doc.to_owned()];
    sentences.extend(allowed(&key.kind));
    if key.is_required {
        sentences.push("Required.".to_owned());
    }
    if let Some(other) = key.instead_of {
        sentences.push(format!("Stands in place of `{other}`."));
    }
    match key.default {
        Default::Value(value) => sentences.push(format!("Default: {value}.")),
        Default::Said(words) => sentences.push(format!("Default: {words}.")),
        Default::None | Default::Parts => {}
    }
    if !key.is_built {
        sentences.push("Not built yet.".to_owned());
    }
    sentences.join(" ")
}

/// What may stand behind a key, where its shape alone does not say it.
fn allowed(kind: &'static Kind) -> Option<String> {
    match kind {
        Kind::Choice(words) => Some(format!("One of: {}.", words.join(", "))),
        Kind::List {
            item: Kind::Choice(words),
            ..
        } => Some(format!("A list of: {}.", words.join(", "))),
        Kind::Map(_) | Kind::Named { .. } | Kind::List { .. } | Kind::Either(..) | Kind::Reference => None,
        _ => {
            let words = kind.in_words();
            let (first, rest) = words.split_at(1);
            Some(format!("{}{rest}.", first.to_uppercase()))
        }
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
