//! Who hears what on NATS. A message is a type with its subject; nobody writes a subject by hand.

use gaia_names::{GameId, Service, TurnId};
use serde::{Serialize, de::DeserializeOwned};

/// A question to one service and the type of its answer.
///
/// It travels on `gaia.<game>.<service>.<verb>`; the instances of a service share the work as one queue group. The
/// answer is `Result<Reply, Fault>` as JSON.
pub trait Request: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Who answers.
    const SERVICE: Service;
    /// What is asked, with its version: `conversation.start.v1`.
    const VERB: &'static str;

    /// The subject in one game.
    #[must_use]
    fn subject(game: &GameId) -> String {
        service_subject(game, Self::SERVICE, Self::VERB)
    }
}

/// `gaia.<game>.<service>.<verb>`.
#[must_use]
pub fn service_subject(game: &GameId, service: Service, verb: &str) -> String {
    format!("gaia.{game}.{service}.{verb}")
}

/// Where whoever works on a turn listens for [`crate::chat::TurnCommand`]s. Every chat instance hears all of them
/// (`turn` is `None`: the wildcard) and only the one with the turn acts.
#[must_use]
pub fn turn_commands(game: &GameId, turn: Option<TurnId>) -> String {
    match turn {
        Some(turn) => format!("gaia.{game}.chat.turns.{turn}"),
        None => format!("gaia.{game}.chat.turns.*"),
    }
}

/// Where chat tells its other instances that a newer bundle generation is kept in Postgres.
#[must_use]
pub fn bundle_announcements(game: &GameId) -> String {
    format!("gaia.{game}.chat.bundles")
}

/// Where chat tells whoever cares what has happened to the game's budget. The truth is the row in `chat.events`.
#[must_use]
pub fn budget_events(game: &GameId) -> String {
    format!("gaia.{game}.events.budget")
}

/// All events of a game that are not answers to anybody.
#[must_use]
pub fn events(game: &GameId) -> String {
    format!("gaia.{game}.events.>")
}

/// The prefix of the inboxes of one service: only its own user may subscribe below it, so that nobody reads
/// another's replies.
#[must_use]
pub fn inbox_prefix(service: Service) -> String {
    format!("_INBOX.{service}")
}

/// Header: when the asker stops waiting, as milliseconds since the Unix epoch.
pub const DEADLINE_HEADER: &str = "Gaia-Deadline";
/// Header: the request id that the gateway gave, for logs.
pub const REQUEST_HEADER: &str = "Gaia-Request";
/// Header: W3C Trace Context.
pub const TRACEPARENT_HEADER: &str = "traceparent";
