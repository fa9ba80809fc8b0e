//! The tables as JSON Schemas (draft 2020-12), for editors.

use serde_json::{Map, Value, json};

use crate::{
    sample::explanation,
    table::{CONFIG, Default, Key, Kind, LONGEST_LINE, PERSONA},
};

/// The JSON Schema of `config.yaml`.
#[must_use]
pub fn config_schema() -> Value {
    schema_of(CONFIG, "What a game asks for: games/<id>/config.yaml")
}

/// The JSON Schema of the front matter of a persona's file.
#[must_use]
pub fn persona_schema() -> Value {
    schema_of(
        PERSONA,
        "An AI character: the front matter of games/<id>/personas/<name>.md",
    )
}

fn schema_of(keys: &'static [Key], title: &str) -> Value {
    let mut schema = map(keys);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// `$5`, `5 USD` or `0.50`.
const MONEY: &str = r"^(\$ *[0-9]+(\.[0-9]{1,6})?|[0-9]+(\.[0-9]{1,6})?( *USD)?)$";

fn map(keys: &'static [Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let mut schema = json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some(first) = keys.iter().find_map(|key| key.instead_of) {
        let others = keys
            .iter()
            .filter(|key| key.instead_of == Some(first))
            .map(|key| key.name);
        let ways: Vec<_> = [first]
            .into_iter()
            .chain(others)
            .map(|name| json!({ "required": [name] }))
            .collect();
        schema["oneOf"] = json!(ways);
    }
    schema
}

fn property(key: &'static Key) -> Value {
    let mut schema = of(&key.kind);
    schema["description"] = json!(explanation(key));
    if let Default::Value(value) = key.default
        && matches!(
            key.kind,
            Kind::Text { .. } | Kind::Choice(_) | Kind::Duration { .. } | Kind::Percent
        )
    {
        schema["default"] = json!(value);
    }
    if let (Default::Value(value), Kind::Number { .. }) = (key.default, &key.kind) {
        schema["default"] = json!(value.parse::<u64>().ok());
    }
    schema
}

fn of(kind: &'static Kind) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match kind {
        Kind::Text { longest } => json!({ "type": "string", "minLength": 1, "maxLength": longest }),
        Kind::Line => json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_LINE }),
        Kind::Word => text("^[a-z][a-z0-9_]{0,39}$"),
        Kind::PersonaName => text("^[a-z][a-z0-9_-]{0,38}[a-z0-9]$"),
        Kind::Tool => text(r"^[a-z][a-z0-9_]{0,39}(\.[A-Za-z0-9_.-]{1,64})?$"),
        Kind::OneTool => text(r"^[a-z][a-z0-9_]{0,39}\.[A-Za-z0-9_.-]{1,64}$"),
        Kind::ToolName => text(r"^[A-Za-z0-9_.-]{1,64}$"),
        Kind::Variable => text("^[A-Za-z_][A-Za-z0-9_]{0,99}$"),
        Kind::Path => text("^/.*$"),
        Kind::TimeOfDay => text("^([01][0-9]|2[0-3]):[0-5][0-9]$"),
        Kind::TimeZone => text("^[A-Za-z0-9_+/-]{1,64}$"),
        Kind::Hostname => text(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$"),
        Kind::ObjectName => text(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Argument => json!({ "type": ["string", "number", "boolean"], "maxLength": LONGEST_LINE }),
        Kind::Number { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration { .. } => text(r"^[0-9]+(\.[0-9]+)? *(ms|s|m)$"),
        Kind::Percent => text("^(100|[1-9][0-9]?) *%$"),
        Kind::Memory => json!({ "type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?$" }),
        Kind::Cpu => json!({ "type": ["string", "number"], "pattern": r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$" }),
        Kind::Money => json!({ "type": ["string", "number"], "minimum": 0, "pattern": MONEY }),
        Kind::Amount => json!({ "type": ["string", "number"], "minimum": 0, "pattern": r"^[0-9]+(\.[0-9]{1,6})?$" }),
        Kind::Currency => text("^[A-Z]{3}$"),
        Kind::Label => text(r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"),
        Kind::Day => json!({ "type": "string", "format": "date" }),
        Kind::Replicas { .. } => json!({
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": 1000,
            "pattern": r"^[0-9]+\+?( *\((cluster mode|single instance)\))?$",
        }),
        Kind::Address => json!({ "type": "string", "format": "uri", "pattern": "^https?://[^?#@]+$" }),
        Kind::Reference => text("^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$"),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::List {
            item,
            least,
            most,
            is_distinct,
        } => json!({
            "type": "array",
            "items": of(item),
            "minItems": least,
            "maxItems": most,
            "uniqueItems": is_distinct,
        }),
        Kind::Map(keys) => map(keys),
        Kind::Named { name, item, most, .. } => json!({
            "type": ["object", "null"],
            "propertyNames": of(name),
            "additionalProperties": of(item),
            "maxProperties": most,
        }),
        Kind::Either(first, second) => json!({ "anyOf": [of(first), of(second)] }),
    }
}
