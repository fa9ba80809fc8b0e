//! The commented samples and the schemas tell of every key, and agree with the check.

use std::collections::BTreeSet;

use gaia_spec::{Severity, config_schema, explain_config, explain_persona, persona_schema};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use crate::{Folder, document};

/// YAML as JSON, read apart from the crate's own reader.
fn json_of(yaml: &str) -> Value {
    fn node<'y>(event: Event<'y>, events: &mut impl Iterator<Item = Event<'y>>) -> Value {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => serde_json::from_str::<Value>(&text)
                .ok()
                .or_else(|| text.is_empty().then_some(Value::Null))
                .unwrap_or_else(|| Value::String(text.to_string())),
            Event::Scalar(text, ..) => Value::String(text.to_string()),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match events.next().unwrap() {
                        Event::SequenceEnd => return Value::Array(items),
                        event => items.push(node(event, events)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    match events.next().unwrap() {
                        Event::MappingEnd => return Value::Object(map),
                        Event::Scalar(key, ..) => {
                            let value = events.next().unwrap();
                            map.insert(key.to_string(), node(value, events));
                        }
                        other => panic!("{other:?} as a key"),
                    }
                }
            }
            other => panic!("{other:?} as a value"),
        }
    }
    let mut events = Parser::new_from_str(yaml).map(|event| event.unwrap().0);
    let start = events
        .find(|event| !matches!(event, Event::StreamStart | Event::DocumentStart(_)))
        .unwrap();
    node(start, &mut events)
}

/// The paths of all keys that a schema knows: `services.chat.personas`. Lists and chosen names add nothing to a path.
fn paths(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        paths(property, &path, found);
        found.insert(path);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            paths(&schema[inner], path, found);
        }
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        paths(inner, path, found);
    }
}

/// The paths of all keys that a sample names, also those behind `# `. A key's depth is its indentation.
fn paths_of_sample(sample: &str, named: &[&str]) -> BTreeSet<String> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut found = BTreeSet::new();
    for line in sample.lines() {
        let margin = line.len() - line.trim_start_matches([' ', '-']).len();
        let text = line[margin..].strip_prefix("# ").unwrap_or(&line[margin..]);
        let Some((key, _)) = text.split_once(':') else { continue };
        if key.contains([' ', '"', '[']) {
            continue;
        }
        open.retain(|(other, _)| *other < margin);
        open.push((margin, key));
        let path: Vec<_> = open
            .iter()
            .map(|(_, key)| *key)
            .filter(|key| !named.contains(key))
            .collect();
        found.insert(path.join("."));
    }
    found
}

fn assert_names_all(schema: &Value, sample: &str, named: &[&str]) {
    let mut known = BTreeSet::new();
    paths(schema, "", &mut known);
    let sampled = paths_of_sample(sample, named);
    // A list of services may hold the same keys as the map of services.
    let missing: Vec<_> = known.difference(&sampled).collect();
    assert!(missing.is_empty(), "the sample does not name {missing:?}");
    assert!(known.len() > 15, "the schema is too small: {known:?}");
}

fn front_matter(persona: &str) -> &str {
    persona.strip_prefix("---\n").unwrap().split_once("---\n").unwrap().0
}

#[test]
fn the_sample_of_a_config_names_every_key() {
    assert_names_all(&config_schema(), &explain_config(), &[]);
}

#[test]
fn the_sample_of_a_persona_names_every_key() {
    assert_names_all(
        &persona_schema(),
        front_matter(&explain_persona()),
        &["ask_shelter", "pharmacy", "greeting"],
    );
}

#[test]
fn the_samples_check_cleanly_together() {
    let config = explain_config().replace("- weather_api\n", "- weather_api\n      - location_service\n");
    let folder = Folder::with_config(&config).file("personas/mara_voss.md", explain_persona());
    let checked = folder.checked();
    assert!(checked.warnings.iter().all(|fault| fault.severity == Severity::Warning));
    insta::assert_snapshot!(folder.faults(), @"");
    assert_eq!(checked.game.personas[0].facts[0].name, "pharmacy");
}

#[test]
fn the_sample_of_a_config_checks_without_an_error() {
    Folder::with_config(&explain_config()).checked();
}

#[test]
fn the_schemas_are_schemas() {
    for schema in [config_schema(), persona_schema()] {
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_schema_takes_what_the_check_takes() {
    let schema = jsonschema::validator_for(&config_schema()).unwrap();
    let mut good: Vec<String> = document::BLOCKS.iter().map(ToString::to_string).collect();
    good.extend(document::merged_games().map(|(_, config)| config));
    good.push(explain_config());
    for config in good {
        if let Err(error) = schema.validate(&json_of(&config)) {
            panic!("{error} at {}:\n{config}", error.instance_path());
        }
    }
    let schema = jsonschema::validator_for(&persona_schema()).unwrap();
    schema
        .validate(&json_of(front_matter(&explain_persona())))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_schema_refuses_what_the_check_refuses() {
    let schema = jsonschema::validator_for(&config_schema()).unwrap();
    for bad in [
        "nmae: x",
        "services: {chat: {personas: [Mara]}}",
        "services: {chat: {mcp_servers: [wether_api]}}",
        "services: {chat: {mcp_servers: [{name: a, command: b, url: 'https://c'}]}}",
        "infrastructure: {cluster_size: huge}",
        "infrastructure: {regions: []}",
        "features: {social_features: 1}",
        "ai_configuration: {response_time_target: 5}",
        "ai_configuration: {context_window: 0}",
        "ai_configuration: {routes: [{name: a}]}",
        "ai_configuration: {routes: [{name: a, provider: openai, model: m, api_key: sk-abc}]}",
        "replicas: {chat: ten}",
        "resources: {chat: {memory: 1GB}}",
        "horizontalPodAutoscaler: {targetCPUUtilization: 170%}",
    ] {
        assert!(!schema.is_valid(&json_of(bad)), "the schema takes {bad}");
        assert!(Folder::with_config(bad).check().is_err(), "the check takes {bad}");
    }
}
