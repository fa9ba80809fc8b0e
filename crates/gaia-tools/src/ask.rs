//! What a server wants to know of the player while it works, and what it tells of its progress.

use futures::future::BoxFuture;
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{clean, schema::Schema};

/// How far a call is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// `server.tool`.
    pub tool: String,
    /// What is done.
    pub done: f64,
    /// Out of how much, where the server knows.
    pub total: Option<f64>,
    /// The server's words, cleaned, at most 200 bytes. Written by others.
    pub message: Option<String>,
}

/// Something that a server asks the player.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which server asks.
    pub server: String,
    /// Its words, cleaned, at most 1,000 bytes. Written by others.
    pub message: String,
    /// What it wants.
    pub wants: Wanted,
}

/// What a server wants of the player.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Values, as this JSON Schema of flat fields describes them.
    Form(Value),
    /// A visit to this `https` address, which the player must see in full before going there.
    Visit(String),
}

/// What the player says to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Yes, with the values of a form.
    Accept(Option<Value>),
    /// No.
    Decline,
    /// Neither.
    Cancel,
}

/// Whoever can ask the player. Without one, every question is declined.
pub trait AskPlayer: Send + Sync + 'static {
    /// Asks, and waits for the player. The call's deadline ends it by dropping the future.
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply>;
}

/// What a call in hand hears and may ask.
pub(crate) struct Ears {
    pub(crate) server: String,
    pub(crate) tool: String,
    pub(crate) progress: Option<mpsc::Sender<Progress>>,
    pub(crate) player: Option<std::sync::Arc<dyn AskPlayer>>,
}

impl Ears {
    /// Passes progress on; more than the listener takes is left out.
    pub(crate) fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        if let Some(progress) = &self.progress {
            let told = Progress {
                tool: format!("{}.{}", self.server, self.tool),
                done,
                total,
                message: message.map(|message| clean::line(message, 200)),
            };
            let _ = progress.try_send(told);
        }
    }

    /// Asks the player, if there is anyone to ask and the question is a proper one.
    pub(crate) async fn ask(&self, request: ElicitRequestParams) -> ElicitResult {
        let declined = ElicitResult::new(ElicitationAction::Decline);
        let (Some(player), Some(question)) = (&self.player, self.question(request)) else {
            return declined;
        };
        let form = match &question.wants {
            Wanted::Form(schema) => schema.as_object().and_then(|schema| Schema::read(schema).ok()),
            Wanted::Visit(_) => None,
        };
        match (player.ask(question).await, form) {
            (Reply::Accept(None), None) => ElicitResult::new(ElicitationAction::Accept),
            (Reply::Accept(Some(values)), Some(form)) if form.faults(&values).is_none() => {
                ElicitResult::new(ElicitationAction::Accept).with_content(values)
            }
            (Reply::Cancel, _) => ElicitResult::new(ElicitationAction::Cancel),
            _ => declined,
        }
    }

    fn question(&self, request: ElicitRequestParams) -> Option<Question> {
        let (message, wants) = match request {
            ElicitRequestParams::FormElicitationParams {
                message,
                requested_schema,
                ..
            } => {
                let schema = serde_json::to_value(requested_schema).ok()?;
                (message, Wanted::Form(Schema::read(schema.as_object()?).ok()?.shown))
            }
            ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
                let is_proper = url.len() <= 2000
                    && !url.chars().any(clean::is_hidden)
                    && url::Url::parse(&url).is_ok_and(|url| url.scheme() == "https" && url.username().is_empty());
                (message, Wanted::Visit(is_proper.then_some(url)?))
            }
            _ => return None,
        };
        Some(Question {
            server: self.server.clone(),
            message: clean::text(&message, 1000).0,
            wants,
        })
    }
}
