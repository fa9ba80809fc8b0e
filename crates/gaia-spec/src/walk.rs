//! The check of a file: its tree against its table.

use std::collections::HashMap;

use crate::{
    fault::{Findings, Place, shown},
    fields::{Field, Fields, Item, Value},
    scalars::{self, Refusal},
    table::{Default, Key, Kind, Shape},
    yaml::{self, Content, Entry, Node},
};

/// Checks a whole file against its table. What is faulty is left out and reported.
pub(crate) fn check(root: &Node, keys: &'static [Key], findings: &mut Findings) -> Fields {
    let mut walk = Walk { findings };
    match &root.content {
        Content::Null => walk.fields(&[], keys, root.place, ""),
        Content::Map(entries) => walk.fields(entries, keys, root.place, ""),
        Content::Faulty => Fields(Vec::new()),
        Content::Scalar { .. } | Content::List(_) => {
            walk.findings
                .error(root.place, "the file must be a map of keys and values")
                .helping("write `key: value` lines");
            Fields(Vec::new())
        }
    }
}

struct Walk<'f> {
    findings: &'f mut Findings,
}

impl Walk<'_> {
    fn fields(&mut self, entries: &[Entry], keys: &'static [Key], place: Place, path: &str) -> Fields {
        let mut fields = Vec::new();
        for entry in entries {
            match keys.iter().find(|key| key.name == entry.key) {
                Some(key) => fields.push(self.field(entry, key, &join(path, key.name))),
                None => self.refuse_key(entry, keys, path),
            }
        }
        let is_given = |name: &str| entries.iter().any(|entry| entry.key == name);
        for key in keys {
            self.check_presence(key, &is_given, place, path);
            if !is_given(key.name)
                && let Some(item) = self.default(key, place, path)
            {
                fields.push(Field {
                    name: key.name.to_owned(),
                    place,
                    item,
                });
            }
        }
        self.check_ways(keys, entries, place, path);
        Fields(fields)
    }

    fn field(&mut self, entry: &Entry, key: &'static Key, path: &str) -> Field {
        let faulty = Item {
            place: entry.value.place,
            value: Value::Faulty,
        };
        let item = self.item(&entry.value, &key.kind, path).unwrap_or(faulty);
        if !key.is_built && !matches!(item.value, Value::Switch(false) | Value::Faulty) {
            self.findings.warning(entry.place, unbuilt(key.name));
        }
        Field {
            name: entry.key.clone(),
            place: entry.place,
            item,
        }
    }

    fn refuse_key(&mut self, entry: &Entry, keys: &'static [Key], path: &str) {
        let place_in_words = if path.is_empty() {
            "this file".to_owned()
        } else {
            format!("`{path}`")
        };
        let message = match keys.is_empty() {
            true => format!(
                "{place_in_words} has no keys, so `{}` cannot stand here",
                shown(&entry.key)
            ),
            false => format!("`{}` is not a key of {place_in_words}", shown(&entry.key)),
        };
        self.findings
            .error(entry.place, message)
            .choosing(&entry.key, keys.iter().map(|key| key.name));
    }

    fn check_presence(&mut self, key: &Key, is_given: &dyn Fn(&str) -> bool, place: Place, path: &str) {
        let name = key.name;
        if key.is_required && !is_given(name) {
            let fault = self.findings.error(place, format!("`{path}` needs `{name}`"));
            fault.helping(format!("for example `{name}: {}`", key.example));
        }
    }

    /// Of keys that stand in place of each other, exactly one must stand there.
    fn check_ways(&mut self, keys: &'static [Key], entries: &[Entry], place: Place, path: &str) {
        let Some(first) = keys.iter().find_map(|key| key.instead_of) else {
            return;
        };
        let others = keys
            .iter()
            .filter(|key| key.instead_of == Some(first))
            .map(|key| key.name);
        let ways: Vec<_> = [first].into_iter().chain(others).collect();
        let mut given = entries.iter().filter(|entry| ways.contains(&entry.key.as_str()));
        let Some(one) = given.next() else {
            let (last, rest) = ways.split_last().unwrap_or((&"", &[]));
            let message = format!("`{path}` needs `{}` or `{last}`", rest.join("`, `"));
            self.findings.error(place, message);
            return;
        };
        for other in given {
            let message = format!("`{}` and `{}` cannot stand together", one.key, other.key);
            self.findings.error(other.place, message).helping("keep one of them");
        }
    }

    fn default(&mut self, key: &'static Key, place: Place, path: &str) -> Option<Item> {
        match (key.default, key.kind.alternatives().first()) {
            (Default::Value(yaml), _) => {
                // A test proves that every default of the tables is good.
                let mut silent = Findings::of("");
                let node = yaml::parse(yaml, &mut silent)?;
                let value = Walk { findings: &mut silent }.item(&node, &key.kind, key.name)?.value;
                Some(Item { place, value })
            }
            (Default::Parts, Some(Kind::Map(keys))) => Some(Item {
                place,
                value: Value::Map(self.fields(&[], keys, place, &join(path, key.name))),
            }),
            _ => None,
        }
    }

    fn item(&mut self, node: &Node, kind: &'static Kind, path: &str) -> Option<Item> {
        let shape = match &node.content {
            Content::Faulty => return None,
            Content::Null => return self.null(node, kind, path),
            Content::Scalar { .. } => Shape::Scalar,
            Content::List(_) => Shape::List,
            Content::Map(_) => Shape::Map,
        };
        let Some(kind) = kind.alternatives().into_iter().find(|kind| kind.shape() == shape) else {
            let message = format!("`{path}` must be {}, not {}", kind.in_words(), shape_in_words(shape));
            let fault = self.findings.error(node.place, message);
            if shape == Shape::Scalar && matches!(kind, Kind::List { .. }) {
                fault.helping("put brackets around it: [a, b]");
            }
            return None;
        };
        let value = match (&node.content, kind) {
            (
                Content::List(nodes),
                Kind::List {
                    item,
                    least,
                    most,
                    is_distinct,
                },
            ) => {
                self.check_count(nodes.len(), *least, *most, node.place, path)?;
                self.list(nodes, item, path, *is_distinct)
            }
            (Content::Map(entries), Kind::Map(keys)) => Value::Map(self.fields(entries, keys, node.place, path)),
            (Content::Map(entries), Kind::Named { name, item, most, .. }) => {
                self.check_count(entries.len(), 0, *most, node.place, path)?;
                self.named(entries, name, item, path)
            }
            (Content::Scalar { text, is_plain }, kind) => self.scalar(text, *is_plain, kind, node.place, path)?,
            _ => return None,
        };
        Some(Item {
            place: node.place,
            value,
        })
    }

    /// A map may be left empty; anything else that has no value was forgotten.
    fn null(&mut self, node: &Node, kind: &'static Kind, path: &str) -> Option<Item> {
        match kind.alternatives().first() {
            Some(Kind::Map(keys)) => Some(Item {
                place: node.place,
                value: Value::Map(self.fields(&[], keys, node.place, path)),
            }),
            Some(Kind::Named { .. }) => Some(Item {
                place: node.place,
                value: Value::Map(Fields(Vec::new())),
            }),
            _ => {
                let fault = self.findings.error(node.place, format!("`{path}` has no value"));
                fault.helping(format!("write {} behind it, or leave it out", kind.in_words()));
                None
            }
        }
    }

    fn list(&mut self, nodes: &[Node], kind: &'static Kind, path: &str, is_distinct: bool) -> Value {
        let mut seen = HashMap::new();
        let mut items = Vec::new();
        for node in nodes {
            let Some(item) = self.item(node, kind, path) else {
                continue;
            };
            if is_distinct
                && let Value::Text(text) = &item.value
                && let Some(first) = seen.insert(text.clone(), item.place)
            {
                let message = format!(
                    "`{}` stands twice in `{path}`; the first is in line {}",
                    shown(text),
                    first.line
                );
                self.findings.error(item.place, message).helping("keep one of them");
                continue;
            }
            items.push(item);
        }
        Value::List(items)
    }

    fn named(&mut self, entries: &[Entry], name: &'static Kind, kind: &'static Kind, path: &str) -> Value {
        let mut fields = Vec::new();
        for entry in entries {
            if scalars::read(name, &entry.key, true).is_err() {
                let message = format!("`{}` cannot be a name in `{path}`", shown(&entry.key));
                let help = format!("it must be {}", name.in_words());
                self.findings.error(entry.place, message).helping(help);
                continue;
            }
            if let Some(item) = self.item(&entry.value, kind, &join(path, &entry.key)) {
                fields.push(Field {
                    name: entry.key.clone(),
                    place: entry.place,
                    item,
                });
            }
        }
        Value::Map(Fields(fields))
    }

    fn check_count(&mut self, count: usize, least: usize, most: usize, place: Place, path: &str) -> Option<()> {
        if count < least {
            self.findings
                .error(place, format!("`{path}` is empty"))
                .helping("write something into it, or leave it out");
            return None;
        }
        if count > most {
            self.findings
                .error(place, format!("`{path}` has {count} entries; {most} is the most"));
            return None;
        }
        Some(())
    }

    fn scalar(&mut self, text: &str, is_plain: bool, kind: &'static Kind, place: Place, path: &str) -> Option<Value> {
        let refusal = match scalars::read(kind, text, is_plain) {
            Ok(value) => return Some(value),
            Err(refusal) => refusal,
        };
        match refusal {
            // An address may hold a password, so what was written is not repeated.
            Refusal::Kind if matches!(kind, Kind::Address) => {
                self.findings
                    .error(place, format!("`{path}` must be {}", kind.in_words()));
            }
            Refusal::Kind => {
                self.findings.error(
                    place,
                    format!("`{path}` must be {}, not `{}`", kind.in_words(), shown(text)),
                );
            }
            Refusal::Choice(words) => {
                let message = format!("`{}` is not known in `{path}`", shown(text));
                self.findings
                    .error(place, message)
                    .choosing(text, words.iter().copied());
            }
            Refusal::Because(what, help) => {
                self.findings.error(place, format!("`{path}` {what}")).help = help;
            }
        }
        None
    }
}

/// What is told of something that is known but cannot be had yet.
pub(crate) fn unbuilt(name: &str) -> String {
    format!("`{name}` is not built yet; it will show as unavailable")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn shape_in_words(shape: Shape) -> &'static str {
    match shape {
        Shape::Scalar => "a single value",
        Shape::List => "a list",
        Shape::Map => "a map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{CONFIG, PERSONA};

    /// Every key of a table, with the keys inside its kinds.
    fn all_keys(keys: &'static [Key], all: &mut Vec<&'static Key>) {
        fn inside(kind: &'static Kind, all: &mut Vec<&'static Key>) {
            match kind {
                Kind::Map(keys) => all_keys(keys, all),
                Kind::List { item, .. } | Kind::Named { item, .. } => inside(item, all),
                Kind::Either(first, second) => [first, second].into_iter().for_each(|kind| inside(kind, all)),
                _ => {}
            }
        }
        for key in keys {
            all.push(key);
            inside(&key.kind, all);
        }
    }

    #[test]
    fn every_default_of_the_tables_is_good() {
        let mut keys = Vec::new();
        all_keys(CONFIG, &mut keys);
        all_keys(PERSONA, &mut keys);
        let mut count = 0;
        for key in keys {
            if let Default::Value(yaml) = key.default {
                let mut findings = Findings::of("table");
                let node = yaml::parse(yaml, &mut findings).unwrap();
                let item = Walk {
                    findings: &mut findings,
                }
                .item(&node, &key.kind, key.name);
                assert!(
                    item.is_some() && findings.into_list().is_empty(),
                    "{}: {yaml}",
                    key.name
                );
                count += 1;
            }
        }
        assert!(count > 10, "only {count} defaults were looked at");
    }
}
