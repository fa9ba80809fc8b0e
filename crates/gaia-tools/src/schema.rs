//! Schemas of others: bounded, without references to elsewhere, and what they say of arguments and answers.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::clean;

/// How deep a schema may be.
const DEEPEST: usize = 24;
/// How long a schema may be, in bytes of JSON.
const LONGEST: usize = 24 * 1024;
/// How long one description inside it may be, in bytes.
const LONGEST_DESCRIPTION: usize = 600;
/// How many faults of a value are told.
const MOST_FAULTS: usize = 4;

/// A schema that was checked.
pub(crate) struct Schema {
    /// As the model gets it.
    pub(crate) shown: Value,
    validator: Validator,
}

impl Schema {
    /// Checks a schema. The refusal is for the operator.
    pub(crate) fn read(schema: &Map<String, Value>) -> Result<Self, String> {
        let mut shown = Value::Object(schema.clone());
        check(&mut shown, 0, None)?;
        let length = shown.to_string().len();
        if length > LONGEST {
            return Err(format!("its schema has {length} bytes; {LONGEST} is the most"));
        }
        let validator = jsonschema::options()
            .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
            .build(&shown)
            .map_err(|fault| clean::line(&format!("its schema is none: {fault}"), 300))?;
        Ok(Self { shown, validator })
    }

    /// What is wrong with a value; nothing where it is as the schema says.
    pub(crate) fn faults(&self, value: &Value) -> Option<String> {
        let told = |fault: jsonschema::ValidationError<'_>| {
            let place = fault.instance_path().to_string();
            let at = if place.is_empty() {
                String::new()
            } else {
                format!("{place}: ")
            };
            clean::line(&format!("{at}{fault}"), 200)
        };
        let faults: Vec<_> = self.validator.iter_errors(value).take(MOST_FAULTS).map(told).collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

/// Descriptions are cleaned and shortened; hidden characters anywhere else, where they would change the meaning, and
/// references to elsewhere are refused.
fn check(value: &mut Value, depth: usize, key: Option<&str>) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("its schema is deeper than {DEEPEST} levels"));
    }
    match value {
        Value::String(text) if matches!(key, Some("description" | "title" | "$comment")) => {
            *text = clean::line(text, LONGEST_DESCRIPTION);
        }
        Value::String(text) => {
            if matches!(key, Some("$ref" | "$dynamicRef")) && !text.starts_with('#') {
                return Err("its schema refers to something elsewhere".to_owned());
            }
            if text.chars().any(clean::is_hidden) {
                return Err("its schema hides characters".to_owned());
            }
        }
        Value::Array(items) => {
            for item in items {
                check(item, depth + 1, None)?;
            }
        }
        Value::Object(entries) => {
            if entries.keys().any(|name| name.chars().any(clean::is_hidden)) {
                return Err("its schema hides characters".to_owned());
            }
            for (name, entry) in entries {
                check(entry, depth + 1, Some(name))?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(schema: Value) -> Result<Schema, String> {
        Schema::read(schema.as_object().unwrap())
    }

    #[test]
    fn arguments_are_held_against_the_schema() {
        let schema =
            read(json!({"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}));
        let schema = schema.unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(schema.faults(&json!({"place": "Leeds"})), None);
        assert_eq!(
            schema.faults(&json!({"place": 3})).unwrap(),
            "/place: 3 is not of type \"string\""
        );
        assert!(schema.faults(&json!({})).unwrap().contains("required"));
    }

    #[test]
    fn what_is_elsewhere_hidden_or_endless_is_refused() {
        let mut deep = json!({});
        for _ in 0..60 {
            deep = json!({"items": deep});
        }
        let refused = [
            (json!({"$ref": "https://example.com/schema"}), "elsewhere"),
            (json!({"properties": {"a\u{200b}": {}}}), "hides"),
            (json!({"enum": ["\u{e0041}"]}), "hides"),
            (deep, "deeper"),
            (json!({"description": 1, "enum": vec!["x".repeat(100); 400]}), "bytes"),
            (json!({"type": "nothing"}), "is none"),
        ];
        for (schema, because) in refused {
            let fault = read(schema.clone()).err().unwrap_or_default();
            assert!(fault.contains(because), "{schema}: {fault}");
        }
    }

    #[test]
    fn descriptions_are_cleaned() {
        let schema = read(json!({"properties": {"a": {"description": "say\u{202e} \u{e0041}hello"}}}));
        let schema = schema.unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(schema.shown["properties"]["a"]["description"], "say hello");
    }
}
