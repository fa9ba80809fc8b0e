//! What is left of a file when it has been checked: values with their places.

use crate::{
    fault::Place,
    game::{Reference, Replicas},
};

/// A value that is what the table says it is.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Switch(bool),
    Json(serde_json::Value),
    /// Times in milliseconds, memory in bytes, CPU in thousandths of a core, shares in percent.
    Number(u64),
    Replicas(Replicas),
    Reference(Reference),
    List(Vec<Item>),
    Map(Fields),
    /// Something was given that is not good; it has been reported.
    Faulty,
}

/// A checked value and where it stands.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A checked key with its value.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) item: Item,
}

/// The checked keys of a map: those that were given, and those with a default.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Vec<Field>);

impl Item {
    /// The text, where it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// The keys, where it is a map.
    pub(crate) fn fields(&self) -> &Fields {
        static NONE: Fields = Fields(Vec::new());
        if let Value::Map(fields) = &self.value {
            fields
        } else {
            &NONE
        }
    }

    /// The items, where it is a list.
    pub(crate) fn items(&self) -> &[Item] {
        if let Value::List(items) = &self.value {
            items
        } else {
            &[]
        }
    }
}

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&Item> {
        self.0.iter().find(|field| field.name == name).map(|field| &field.item)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text().map(str::to_owned)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        if let Value::Number(number) = self.get(name)?.value {
            Some(number)
        } else {
            None
        }
    }

    pub(crate) fn small_number(&self, name: &str) -> Option<u32> {
        self.number(name).and_then(|number| u32::try_from(number).ok())
    }

    pub(crate) fn items(&self, name: &str) -> &[Item] {
        self.get(name).map_or(&[], Item::items)
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.items(name)
            .iter()
            .filter_map(|item| item.text().map(str::to_owned))
            .collect()
    }

    pub(crate) fn map(&self, name: &str) -> &Fields {
        static NONE: Fields = Fields(Vec::new());
        self.get(name).map_or(&NONE, Item::fields)
    }
}
