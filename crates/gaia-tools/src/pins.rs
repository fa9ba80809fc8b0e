//! What a tool was when it was first seen. A server that changes it later has to be accepted anew.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, future::BoxFuture};
use rmcp::model::Tool;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What is kept of one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The fingerprint that is trusted.
    pub accepted: String,
    /// Another one that the server came with since, which waits to be accepted.
    pub waiting: Option<String>,
}

/// Why pins cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("the pins of tools cannot be read or kept")]
pub struct PinFault(#[source] Box<dyn std::error::Error + Send + Sync>);

impl PinFault {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Where pins are kept: chat has them in Postgres, `gaia tools` in the game's folder.
pub trait PinStore: Send + Sync + 'static {
    /// The pins of a server's tools, by name.
    fn of_server<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, Pin>, PinFault>>;

    /// Trusts tools that are seen for the first time. A tool that has a pin keeps it: another process may have seen it
    /// first.
    fn trust<'a>(&'a self, server: &'a str, tools: &'a BTreeMap<String, String>)
    -> BoxFuture<'a, Result<(), PinFault>>;

    /// Notes that tools came with other fingerprints, which wait to be accepted.
    fn note_changed<'a>(
        &'a self,
        server: &'a str,
        tools: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), PinFault>>;

    /// Trusts what a tool came with last. False if nothing waits.
    fn accept<'a>(&'a self, server: &'a str, tool: &'a str) -> BoxFuture<'a, Result<bool, PinFault>>;
}

/// Pins that last as long as the process.
#[derive(Clone, Debug, Default)]
pub struct PinsInMemory(Arc<Mutex<BTreeMap<(String, String), Pin>>>);

impl PinsInMemory {
    /// Begins with pins that were kept elsewhere, by server and tool.
    #[must_use]
    pub fn with(pins: BTreeMap<(String, String), Pin>) -> Self {
        Self(Arc::new(Mutex::new(pins)))
    }

    /// All of them, by server and tool.
    #[must_use]
    pub fn all(&self) -> BTreeMap<(String, String), Pin> {
        self.pins().clone()
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Pin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PinStore for PinsInMemory {
    fn of_server<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, Pin>, PinFault>> {
        let pins = self.pins().clone().into_iter();
        let pins = pins
            .filter(|((of, _), _)| of == server)
            .map(|((_, tool), pin)| (tool, pin));
        std::future::ready(Ok(pins.collect())).boxed()
    }

    fn trust<'a>(
        &'a self,
        server: &'a str,
        tools: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), PinFault>> {
        let mut pins = self.pins();
        for (tool, fingerprint) in tools {
            pins.entry((server.to_owned(), tool.clone())).or_insert_with(|| Pin {
                accepted: fingerprint.clone(),
                waiting: None,
            });
        }
        std::future::ready(Ok(())).boxed()
    }

    fn note_changed<'a>(
        &'a self,
        server: &'a str,
        tools: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), PinFault>> {
        let mut pins = self.pins();
        for (tool, fingerprint) in tools {
            if let Some(pin) = pins.get_mut(&(server.to_owned(), tool.clone())) {
                pin.waiting = Some(fingerprint.clone());
            }
        }
        std::future::ready(Ok(())).boxed()
    }

    fn accept<'a>(&'a self, server: &'a str, tool: &'a str) -> BoxFuture<'a, Result<bool, PinFault>> {
        let mut pins = self.pins();
        let pin = pins.get_mut(&(server.to_owned(), tool.to_owned()));
        let accepted = pin.and_then(|pin| Some((pin.waiting.take()?, pin)));
        let is_accepted = accepted.map(|(waiting, pin)| pin.accepted = waiting).is_some();
        std::future::ready(Ok(is_accepted)).boxed()
    }
}

/// The SHA-256, in hexadecimal, of everything by which a tool presents itself, as the server wrote it: before any
/// cleaning, so that nothing can change unseen.
pub(crate) fn fingerprint(tool: &Tool) -> String {
    let presented = json!([
        tool.name,
        tool.title,
        tool.description,
        *tool.input_schema,
        tool.output_schema.as_deref(),
        tool.annotations,
    ]);
    let mut written = String::new();
    write_sorted(&presented, &mut written);
    let hash = Sha256::digest(written);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON whose keys are sorted at every level, so that a server may write them in any order.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let sorted: BTreeMap<_, _> = entries.iter().collect();
            out.push('{');
            for (name, entry) in sorted {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(entry, out);
                out.push(',');
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(description: &str, schema: Value) -> Tool {
        let schema = schema.as_object().unwrap().clone();
        Tool::new("look", description.to_owned(), schema)
    }

    #[test]
    fn a_fingerprint_is_of_everything_but_the_order_of_keys() {
        let first = fingerprint(&tool("Looks.", json!({"a": 1, "b": {"c": 2, "d": 3}})));
        assert_eq!(
            first,
            fingerprint(&tool("Looks.", json!({"b": {"d": 3, "c": 2}, "a": 1})))
        );
        assert_ne!(
            first,
            fingerprint(&tool("Looks.\u{200b}", json!({"a": 1, "b": {"c": 2, "d": 3}})))
        );
        assert_ne!(
            first,
            fingerprint(&tool("Looks.", json!({"a": 1, "b": {"c": 2, "d": 4}})))
        );
        assert_eq!(first.len(), 64);
    }

    #[tokio::test]
    async fn a_changed_tool_waits_until_it_is_accepted() {
        let pins = PinsInMemory::default();
        let seen = |fingerprint: &str| BTreeMap::from([("look".to_owned(), fingerprint.to_owned())]);
        pins.trust("eyes", &seen("one")).await.unwrap();
        pins.trust("eyes", &seen("two")).await.unwrap();
        pins.note_changed("eyes", &seen("two")).await.unwrap();
        let pin = pins.of_server("eyes").await.unwrap()["look"].clone();
        assert_eq!((pin.accepted.as_str(), pin.waiting.as_deref()), ("one", Some("two")));
        assert!(pins.accept("eyes", "look").await.unwrap());
        assert!(!pins.accept("eyes", "look").await.unwrap());
        assert_eq!(pins.of_server("eyes").await.unwrap()["look"].accepted, "two");
    }
}
