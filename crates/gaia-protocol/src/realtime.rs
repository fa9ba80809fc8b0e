//! What goes over the socket `WS /v1/realtime`, as JSON text messages.

use gaia_names::{ConversationId, TurnId};
use serde::{Deserialize, Serialize};

use crate::{
    Fault,
    auth::Player,
    chat::{Asked, ToolNews, Turn, TurnEvent, Verdict},
};

/// From the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// The first message: who is there. Also sent to go on with a fresh token before the old one expires.
    SignIn {
        /// An access token.
        access_token: String,
    },
    /// Say something to the conversation's persona.
    Say {
        /// In which conversation.
        #[schema(value_type = uuid::Uuid)]
        conversation: ConversationId,
        /// The turn's id, chosen by the client. Sending it again never doubles the turn.
        #[schema(value_type = uuid::Uuid)]
        turn: TurnId,
        /// What to say.
        text: String,
    },
    /// After a drop: send what came after the last delta that the client has.
    Resume {
        /// In which conversation.
        #[schema(value_type = uuid::Uuid)]
        conversation: ConversationId,
        /// Which turn.
        #[schema(value_type = uuid::Uuid)]
        turn: TurnId,
        /// The last delta's number; 0 for none.
        after: u32,
    },
    /// Stop a turn. `final` follows with what had been said.
    Cancel {
        /// In which conversation.
        #[schema(value_type = uuid::Uuid)]
        conversation: ConversationId,
        /// Which turn.
        #[schema(value_type = uuid::Uuid)]
        turn: TurnId,
    },
    /// Answer what a turn asks with `ask`.
    Answer {
        /// In which conversation.
        #[schema(value_type = uuid::Uuid)]
        conversation: ConversationId,
        /// Which turn.
        #[schema(value_type = uuid::Uuid)]
        turn: TurnId,
        /// The question's number.
        number: u32,
        /// Yes or no.
        answer: Verdict,
        /// The values of a form, where it was one: an object of at most 8 KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        values: Option<serde_json::Value>,
    },
    /// Answered with `pong`.
    Ping {},
}

/// From the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Signed in.
    SignedIn {
        /// Who.
        player: Player,
        /// When the token expires, in seconds since the Unix epoch; send `sign_in` again before.
        expires_at: i64,
    },
    /// What happened to a turn.
    Turn {
        /// In which conversation.
        #[schema(value_type = uuid::Uuid)]
        conversation: ConversationId,
        /// Which turn.
        #[schema(value_type = uuid::Uuid)]
        turn: TurnId,
        /// What.
        event: SocketEvent,
    },
    /// A message was refused.
    Error {
        /// The stable code.
        code: String,
        /// What to do.
        detail: String,
        /// Which turn it is about, where it is about one.
        #[schema(value_type = Option<uuid::Uuid>)]
        turn: Option<TurnId>,
    },
    /// To `ping`.
    Pong {},
    /// The gateway is about to stop; connect again. What runs can be resumed.
    Draining {},
}

/// A turn's event as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SocketEvent {
    /// The message is kept.
    Accepted {
        /// Its place in the conversation, from 1.
        sequence: i64,
    },
    /// A line that bridges the wait for the reply and is no part of it.
    Interim {
        /// The line.
        text: String,
    },
    /// The persona uses a tool.
    Tool(ToolNews),
    /// The player is asked something before a tool goes on.
    Ask(Asked),
    /// More of the reply.
    Delta {
        /// From 1, without gaps.
        number: u32,
        /// What to append.
        text: String,
    },
    /// The whole turn, kept.
    Final {
        /// The turn.
        turn: Turn,
    },
    /// The turn was refused or lost.
    Failed {
        /// The stable code.
        code: String,
        /// What to do.
        detail: String,
    },
}

impl From<Fault> for SocketEvent {
    fn from(fault: Fault) -> Self {
        Self::Failed {
            code: fault.code.as_str().to_owned(),
            detail: fault.detail,
        }
    }
}

impl SocketEvent {
    /// The client's view of an event; `None` for what only services need.
    #[must_use]
    pub fn of(event: TurnEvent) -> Option<Self> {
        Some(match event {
            TurnEvent::Accepted { sequence, .. } => Self::Accepted { sequence },
            TurnEvent::Interim { text } => Self::Interim { text },
            TurnEvent::Tool(news) => Self::Tool(news),
            TurnEvent::Ask(question) => Self::Ask(question),
            TurnEvent::Delta { number, text } => Self::Delta { number, text },
            TurnEvent::Final { turn, .. } => Self::Final { turn },
            TurnEvent::Alive {} => return None,
        })
    }
}
