//! YAML as a tree in which everything knows its place; what could be a trap is refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::fault::{Findings, Place, shown};

/// How deep lists and maps may stand in each other.
const DEEPEST: usize = 32;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing was written.
    Null,
    /// A word, number or text. `is_plain` is false for one in quotes or a block.
    Scalar {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that has been reported already.
    Faulty,
}

/// A key of a map and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// Reads one document. `None` means that it cannot be read at all, and then the findings say why.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !check_characters(text, findings) {
        return None;
    }
    let mut builder = Builder {
        findings,
        open: Vec::new(),
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if !builder.take(event, span) {
                    return None;
                }
            }
            Err(error) => {
                builder.refuse_syntax(error.info(), place_of(*error.marker()));
                return None;
            }
        }
    }
    Some(builder.root.unwrap_or(Node {
        place: Place::START,
        content: Content::Null,
    }))
}

/// Tabs and control characters look like something else than they are, so none is let through.
fn check_characters(text: &str, findings: &mut Findings) -> bool {
    let mut is_good = true;
    for (index, line) in text.lines().enumerate() {
        if let Some((column, odd)) = line.chars().enumerate().find(|(_, c)| c.is_control()) {
            let place = Place {
                line: number(index) + 1,
                column: number(column) + 1,
            };
            if odd == '\t' {
                findings
                    .error(place, "there is a tab here")
                    .helping("use spaces: YAML does not indent with tabs");
            } else {
                findings.error(
                    place,
                    format!("there is a control character here: {}", odd.escape_default()),
                );
            }
            is_good = false;
        }
    }
    is_good
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX - 1)
}

fn place_of(marker: Marker) -> Place {
    Place {
        line: number(marker.line()).max(1),
        column: number(marker.col()) + 1,
    }
}

enum Key {
    Good(String, Place),
    Faulty,
}

enum Open {
    List {
        place: Place,
        items: Vec<Node>,
    },
    Map {
        place: Place,
        entries: Vec<Entry>,
        seen: HashMap<String, Place>,
        key: Option<Key>,
    },
}

struct Builder<'f> {
    findings: &'f mut Findings,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// Takes one event; `false` ends the reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let place = place_of(span.start);
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.as_ref()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag.as_ref()),
            _ => (0, None),
        };
        if anchor > 0 {
            self.refuse_anchor(place);
        }
        if tag.is_some() {
            self.findings
                .error(place, "tags such as `!!str` are not read here")
                .helping("write the value without it");
        }
        match event {
            Event::DocumentStart(_) => return self.start_document(place),
            Event::Alias(_) => {
                self.refuse_anchor(place);
                self.close(Node {
                    place,
                    content: Content::Faulty,
                });
            }
            Event::Scalar(text, style, ..) => self.take_scalar(&text, style, place),
            Event::SequenceStart(..) => {
                self.open.push(Open::List {
                    place,
                    items: Vec::new(),
                });
                return self.check_depth(place);
            }
            Event::MappingStart(..) => {
                self.open.push(Open::Map {
                    place,
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                });
                return self.check_depth(place);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(match open {
                        Open::List { place, items } => Node {
                            place,
                            content: Content::List(items),
                        },
                        Open::Map { place, entries, .. } => Node {
                            place,
                            content: Content::Map(entries),
                        },
                    });
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn start_document(&mut self, place: Place) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            let help = "keep one document in the file, without `---` between its parts";
            self.findings
                .error(place, "a second document starts here")
                .helping(help);
        }
        self.documents == 1
    }

    fn check_depth(&mut self, place: Place) -> bool {
        let is_fine = self.open.len() <= DEEPEST;
        if !is_fine {
            self.refuse_depth(place);
        }
        is_fine
    }

    fn refuse_depth(&mut self, place: Place) {
        self.findings.error(
            place,
            format!("lists and maps stand more than {DEEPEST} deep in each other here"),
        );
    }

    fn refuse_anchor(&mut self, place: Place) {
        let fault = self
            .findings
            .error(place, "anchors (`&name`) and aliases (`*name`) are not read here");
        fault.helping("write the value out; a text that begins with `*` or `&` needs quotes");
    }

    fn refuse_syntax(&mut self, what: &str, place: Place) {
        if what.contains("anchor") || what.contains("alias") {
            return self.refuse_anchor(place);
        }
        // The parser has a limit of its own, which one reaches with brackets alone.
        if what.contains("recursion") {
            return self.refuse_depth(place);
        }
        let fault = self.findings.error(place, format!("this is not YAML: {}", shown(what)));
        fault.helping("look at the quotes, brackets, colons and indentation here and in the line above");
    }

    fn take_scalar(&mut self, text: &str, style: ScalarStyle, place: Place) {
        let is_plain = style == ScalarStyle::Plain;
        let is_null = is_plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        // An empty value's own place is wherever the parser noticed that it is empty.
        let place = match self.open.last() {
            Some(Open::Map {
                key: Some(Key::Good(_, key_place)),
                ..
            }) if is_null => *key_place,
            Some(Open::List { place: list, items }) if is_null => items.last().map_or(*list, |item| item.place),
            _ => place,
        };
        let content = if is_null {
            Content::Null
        } else {
            Content::Scalar {
                text: text.to_owned(),
                is_plain,
            }
        };
        self.close(Node { place, content });
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => match key.take() {
                None => *key = Some(as_key(node, seen, self.findings)),
                Some(Key::Good(key, place)) => entries.push(Entry {
                    key,
                    place,
                    value: node,
                }),
                Some(Key::Faulty) => {}
            },
        }
    }
}

fn as_key(node: Node, seen: &mut HashMap<String, Place>, findings: &mut Findings) -> Key {
    match node.content {
        Content::Scalar { text, .. } => {
            if let Some(first) = seen.get(&text) {
                let message = format!(
                    "`{}` stands here for the second time; the first is in line {}",
                    shown(&text),
                    first.line
                );
                findings.error(node.place, message).helping("keep one of them");
                return Key::Faulty;
            }
            seen.insert(text.clone(), node.place);
            Key::Good(text, node.place)
        }
        Content::Faulty => Key::Faulty,
        Content::Null | Content::List(_) | Content::Map(_) => {
            findings.error(node.place, "a key must be a word");
            Key::Faulty
        }
    }
}
