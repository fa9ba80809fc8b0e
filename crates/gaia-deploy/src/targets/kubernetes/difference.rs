//! Where an object differs from what was applied: fields that somebody else added are theirs.

use serde_json::Value;

/// The path of the first field that is not as wanted; none if all are. Fields that are not wanted do not matter, and what
/// is wanted empty may be absent.
pub(crate) fn first(wanted: &Value, found: &Value) -> Option<String> {
    at(String::new(), wanted, found)
}

fn at(path: String, wanted: &Value, found: &Value) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), found) if wanted.is_empty() && found.is_null() => None,
        (Value::Array(wanted), found) if wanted.is_empty() && found.is_null() => None,
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(key, value)| {
            let path = match path.is_empty() {
                true => key.clone(),
                false => format!("{path}.{key}"),
            };
            at(path, value, found.get(key).unwrap_or(&Value::Null))
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (wanted, found))| at(format!("{path}[{index}]"), wanted, found))
        }
        _ => (wanted != found).then_some(path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_applied_is_compared() {
        let wanted = json!({ "spec": { "ports": [{ "port": 80 }], "ingress": [], "selector": { "a": "b" } } });
        let same =
            json!({ "spec": { "ports": [{ "port": 80, "protocol": "TCP" }], "selector": { "a": "b" }, "more": 1 } });
        assert_eq!(first(&wanted, &same), None);
        let other = json!({ "spec": { "ports": [{ "port": 81 }], "selector": { "a": "b" } } });
        assert_eq!(first(&wanted, &other).as_deref(), Some("spec.ports[0].port"));
        let gone = json!({ "spec": { "ports": [{ "port": 80 }] } });
        assert_eq!(first(&wanted, &gone).as_deref(), Some("spec.selector"));
    }
}
