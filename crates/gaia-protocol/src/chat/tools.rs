//! What a player sees of the tools that a persona uses, and what they are asked meanwhile.

use serde::{Deserialize, Serialize};

use crate::bundle::ToolKind;

/// How far a tool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolState {
    /// It is at work.
    Working,
    /// It has answered.
    Done,
    /// It has not, or the answer was an error.
    Failed,
}

/// What a persona does with a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolNews {
    /// `server.tool`.
    pub tool: String,
    /// How far it is.
    pub state: ToolState,
    /// How much of its work is done, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub percent: Option<u8>,
    /// The tool's own words on it, cleaned. Somebody else's words: show them as such, and never as the persona's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Something that the player is asked before a tool goes on. The turn waits for a while and goes on without an answer,
/// as if the player had declined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Asked {
    /// Which question of the turn, from 1. An answer names it.
    pub number: u32,
    /// Who asks: `server` or `server.tool`.
    pub by: String,
    /// What is wanted.
    pub wants: Wants,
    /// How long the answer is waited for, in seconds.
    pub seconds: u32,
}

/// What a player is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Wants {
    /// A yes to a call that does something outside the game, in a turn that already holds words of strangers.
    Consent {
        /// What the tool does: `locates`, `posts` or `spends`.
        does: ToolKind,
        /// What it would be handed, as JSON, perhaps cut. Show it.
        arguments: String,
    },
    /// Values.
    Form {
        /// The server's own words, cleaned.
        message: String,
        /// A JSON Schema of an object with flat fields.
        schema: serde_json::Value,
    },
    /// A visit to an address, which the player must see in full before going there.
    Visit {
        /// The server's own words, cleaned.
        message: String,
        /// The address.
        url: String,
    },
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No.
    Decline,
    /// Neither.
    Cancel,
}

/// What a player says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerAnswer {
    /// Yes or no.
    pub verdict: Verdict,
    /// The values of a form: a JSON object of at most [`super::LONGEST_VALUES`] bytes.
    pub values: Option<serde_json::Value>,
}

impl PlayerAnswer {
    /// No.
    pub const NO: Self = Self {
        verdict: Verdict::Decline,
        values: None,
    };
}
