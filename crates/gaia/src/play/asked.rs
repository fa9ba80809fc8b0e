//! What a turn asks the player before a tool goes on, and what the player says to it.

use std::time::Duration;

use gaia_protocol::{
    bundle::ToolKind,
    chat::{Asked, PlayerAnswer, Verdict, Wants},
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{lines::Line, screen::Screen};
use crate::output::plain;

/// Puts a question to whoever sits at the screen. In a pipe nobody does, and the answer is no.
pub(super) async fn put(question: &Asked, screen: &mut Screen, lines: &mut mpsc::Receiver<Line>) -> PlayerAnswer {
    if !screen.is_live() {
        screen.note(&format!("{} wants something of the player: declined", question.by));
        return PlayerAnswer::NO;
    }
    // What was typed before the question is no answer to it.
    while lines.try_recv().is_ok() {
        tokio::task::yield_now().await;
    }
    let patience = Duration::from_secs(question.seconds.into());
    match tokio::time::timeout(patience, ask(question, screen, lines)).await {
        Ok(Some(answer)) => answer,
        _ => {
            screen.tell("(That counts as a no.)");
            PlayerAnswer::NO
        }
    }
}

async fn ask(question: &Asked, screen: &mut Screen, lines: &mut mpsc::Receiver<Line>) -> Option<PlayerAnswer> {
    let by = plain(&question.by);
    let schema = match &question.wants {
        Wants::Consent { does, arguments } => {
            screen.tell(&format!("{by} would {}: {}", in_words(*does), plain(arguments)));
            None
        }
        Wants::Visit { message, url } => {
            screen.tell(&format!("{by} asks you to visit {}: {}", plain(url), plain(message)));
            None
        }
        Wants::Form { message, schema } => {
            screen.tell(&format!("{by} asks: {}", plain(message)));
            Some(schema)
        }
    };
    screen.prompt("Agree (y/n)? ");
    if !matches!(line(lines).await?.as_str(), "y" | "Y" | "yes") {
        return Some(PlayerAnswer::NO);
    }
    let mut values = None;
    if let Some(fields) = schema.and_then(|schema| schema["properties"].as_object()) {
        let mut given = Map::new();
        for (name, field) in fields {
            let title = field["title"].as_str().unwrap_or(name);
            screen.prompt(&format!("{}: ", plain(title)));
            let text = line(lines).await?;
            if !text.is_empty() {
                given.insert(name.clone(), value(&text, field));
            }
        }
        values = Some(Value::Object(given));
    }
    let verdict = Verdict::Accept;
    Some(PlayerAnswer { verdict, values })
}

async fn line(lines: &mut mpsc::Receiver<Line>) -> Option<String> {
    match lines.recv().await? {
        Line::Text(text) => Some(text),
        Line::Refused(_) => None,
    }
}

fn in_words(does: ToolKind) -> &'static str {
    match does {
        ToolKind::Reads => "look something up with",
        ToolKind::Locates => "tell others where you are with",
        ToolKind::Posts => "send or change something outside the game with",
        ToolKind::Spends => "spend money with",
    }
}

/// A number or a yes where the field wants one, else the text.
fn value(text: &str, field: &Value) -> Value {
    let parsed = match field["type"].as_str() {
        Some("integer" | "number" | "boolean") => serde_json::from_str(text).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_gets_what_it_is_for() {
        assert_eq!(value("7", &json!({ "type": "integer" })), json!(7));
        assert_eq!(value("true", &json!({ "type": "boolean" })), json!(true));
        assert_eq!(value("7", &json!({ "type": "string" })), json!("7"));
        assert_eq!(value("seven", &json!({ "type": "integer" })), json!("seven"));
    }
}
