//! Questions to `chat`: personas, conversations and turns.

mod tools;

use chrono::{DateTime, Utc};
use gaia_names::{ConversationId, PersonaId, PlayerId, Service, TurnId};
use serde::{Deserialize, Serialize};

pub use self::tools::{Asked, PlayerAnswer, ToolNews, ToolState, Verdict, Wants};
use crate::{Request, auth::Caller, bundle::Bundle};

/// The longest message of a player, in characters.
pub const LONGEST_MESSAGE: usize = 4_000;
/// The longest title of a conversation, in characters.
pub const LONGEST_TITLE: usize = 120;
/// The most texts that one turn can be told to stop at.
pub const MOST_STOPS: usize = 4;
/// The longest of them, in bytes.
pub const LONGEST_STOP: usize = 256;
/// The most texts that can be quoted to a persona beside a turn.
pub const MOST_QUOTES: usize = 256;
/// How long all of them may be together, in bytes.
pub const LONGEST_QUOTES: usize = 8 * 1024;
/// How late a later answer may be.
pub const LATEST_ANSWER: std::time::Duration = std::time::Duration::from_mins(5);
/// The most rows that one page of a list holds.
pub const LARGEST_PAGE: u16 = 100;

/// A persona as players see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PersonaCard {
    /// Its name in paths.
    #[schema(value_type = String)]
    pub id: PersonaId,
    /// Its name in the game.
    pub name: String,
    /// What it is in the game.
    pub role: String,
    /// Its first line, where its author wrote one.
    pub greeting: Option<String>,
}

/// A row of turns between one player and one persona.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Conversation {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ConversationId,
    /// With whom.
    #[schema(value_type = String)]
    pub persona: PersonaId,
    /// What it is about, where the player gave it a title.
    pub title: Option<String>,
    /// Where no model speaks in time, the persona says so and answers later, within minutes.
    #[serde(default)]
    pub may_answer_later: bool,
    /// How many turns it has.
    pub turns: i64,
    /// When it was started.
    pub created_at: DateTime<Utc>,
    /// When its last turn began.
    pub updated_at: DateTime<Utc>,
}

/// How far a turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TurnState {
    /// The reply is being written.
    Running,
    /// The reply is whole.
    Done,
    /// The player stopped it; the reply is what had been written.
    Cancelled,
    /// The process that wrote it was lost. The same turn can be sent again.
    Interrupted,
}

/// Where a reply's words come from. Players may be shown it, so that nothing poses as what it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplySource {
    /// A generative model wrote it.
    Model,
    /// The persona's author wrote it beforehand, and it was chosen for what the player said.
    Authored,
}

/// What a persona said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reply {
    /// The words.
    pub text: String,
    /// Where they come from.
    pub source: ReplySource,
    /// Which route gave them: a route's name from the game's config, `offline` (chosen by embeddings) or `barks`.
    pub route: String,
}

/// One player message and the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Turn {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: TurnId,
    /// The conversation.
    #[schema(value_type = uuid::Uuid)]
    pub conversation: ConversationId,
    /// Its place in the conversation, from 1.
    pub sequence: i64,
    /// What the player said.
    pub text: String,
    /// How far it has come.
    pub state: TurnState,
    /// What the persona said; absent while the turn runs and when it was interrupted.
    pub reply: Option<Reply>,
    /// When the player said it.
    pub created_at: DateTime<Utc>,
    /// When the reply was whole.
    pub finished_at: Option<DateTime<Utc>>,
}

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give this as `before` to get the next page; absent on the last.
    pub next: Option<String>,
}

/// What a player's program may ask of one turn beyond its words. Nothing in it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnOptions {
    /// The most tokens that a model may write; the persona's own limit holds as well. Authored lines cost none.
    pub reply_tokens: Option<u32>,
    /// The reply ends before the first of these texts, whoever writes it. At most [`MOST_STOPS`] of 1 to
    /// [`LONGEST_STOP`] bytes.
    pub stop: Vec<String>,
    /// For routes that take one: the same seed tends to give the same words.
    pub seed: Option<u32>,
    /// For routes that take one: from 0, the likeliest words, to 2.
    pub temperature: Option<f64>,
    /// What the program says was said before, or wants the persona to be told. A model is shown it as the player's own
    /// text and as nothing else. At most [`MOST_QUOTES`] with [`LONGEST_QUOTES`] bytes in all.
    pub quotes: Vec<Quote>,
}

/// A text that a player's program sent beside a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// As whose words it was sent. Anybody can claim anything.
    pub said_as: Claimed,
    /// The words.
    pub text: String,
}

/// Whose words a text claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claimed {
    /// Instructions for the persona.
    Instructions,
    /// The player's.
    Player,
    /// The persona's.
    Persona,
}

/// What a turn took. Only told to who began the turn with [`TurnOptions`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TurnUsage {
    /// The tokens that models read, those from a cache among them. None for an authored line.
    pub input_tokens: u64,
    /// How many of them came from a cache.
    pub cached_tokens: u64,
    /// The tokens that models wrote.
    pub output_tokens: u64,
    /// Not all of it was told by the models' vendors; the rest is guessed from lengths.
    pub is_estimated: bool,
    /// The reply ended because it had reached its limit.
    pub is_cut: bool,
}

/// What happens to a turn, in order. Chat publishes these to the inbox that came with [`TakeTurn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnEvent {
    /// The player's message is kept: it survives a crash from here on.
    Accepted {
        /// The turn.
        #[schema(value_type = uuid::Uuid)]
        turn: TurnId,
        /// Its place in the conversation, from 1.
        sequence: i64,
    },
    /// More of the reply. A gap in the numbers means that a message was dropped on the way; `final` has the whole.
    Delta {
        /// From 1, without gaps.
        number: u32,
        /// What to append.
        text: String,
    },
    /// A line that the persona's author wrote to bridge the wait. It claims nothing and is no part of the reply: a client
    /// shows it until the first delta, or lets it stand before the reply.
    Interim {
        /// The line.
        text: String,
    },
    /// The persona uses a tool.
    Tool(ToolNews),
    /// The player is asked something before a tool goes on.
    Ask(Asked),
    /// Nothing new, but the turn is being worked on. Sent every [`ALIVE_EVERY_MS`].
    Alive {},
    /// The turn is over and kept.
    Final {
        /// The whole turn.
        turn: Turn,
        /// What it took, where the asker wants to know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<TurnUsage>,
    },
}

impl TurnEvent {
    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Final { .. })
    }
}

/// How often a working chat says [`TurnEvent::Alive`] when it has nothing else to say, in milliseconds.
pub const ALIVE_EVERY_MS: u64 = 1_000;
/// How long silence may last before a turn is taken for lost, in milliseconds.
pub const SILENCE_MS: u64 = 4_000;

/// What can be asked of whoever works on a turn, on [`crate::subjects::turn_commands`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnCommand {
    /// Stop. The reply so far is kept, and `final` follows on the turn's stream. Answered with `Result<(), Fault>`.
    Cancel {
        /// Who asks: only the turn's own player may.
        player: PlayerId,
    },
    /// Send what comes after a delta's number, and all that follows, to the inbox of this message too, as the same
    /// stream of `Result<TurnEvent, Fault>`. Nobody answers for a turn that does not run: then it is read.
    Follow {
        /// Who asks: only the turn's own player may.
        player: PlayerId,
        /// The last delta that the asker has; 0 for none.
        after: u32,
    },
    /// The player's answer to a question of [`TurnEvent::Ask`]. Answered with `Result<bool, Fault>`: whether it was still
    /// waited for.
    Answer {
        /// Who answers: only the turn's own player may.
        player: PlayerId,
        /// Which question.
        number: u32,
        /// The answer.
        answer: PlayerAnswer,
    },
}

/// The most bytes of an answer's values.
pub const LONGEST_VALUES: usize = 8 * 1024;

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? } -> $reply:ty, $verb:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

        impl Request for $name {
            type Reply = $reply;
            const SERVICE: Service = Service::Chat;
            const VERB: &'static str = $verb;
        }
    };
}

request!(
    /// The game's personas, in the order of its config.
    ListPersonas {} -> Vec<PersonaCard>, "persona.list.v1"
);
request!(
    /// Begin to talk to a persona.
    StartConversation {
        /// Who asks.
        caller: Caller,
        /// With whom.
        persona: PersonaId,
        /// What it is about.
        title: Option<String>,
        /// Where no model speaks in time, the persona says so and answers later, within [`LATEST_ANSWER`].
        #[serde(default)]
        may_answer_later: bool,
    } -> Conversation, "conversation.start.v1"
);
request!(
    /// The player's conversations, the one talked in last first.
    ListConversations {
        /// Who asks.
        caller: Caller,
        /// At most this many, 1 to [`LARGEST_PAGE`].
        limit: u16,
        /// `next` of the page before.
        before: Option<String>,
    } -> Page<Conversation>, "conversation.list.v1"
);
request!(
    /// One of the player's conversations.
    ReadConversation {
        /// Who asks.
        caller: Caller,
        /// Which.
        conversation: ConversationId,
    } -> Conversation, "conversation.read.v1"
);
request!(
    /// Delete a conversation with all its turns.
    DeleteConversation {
        /// Who asks.
        caller: Caller,
        /// Which.
        conversation: ConversationId,
    } -> (), "conversation.delete.v1"
);
request!(
    /// A conversation's turns, newest first.
    ListTurns {
        /// Who asks.
        caller: Caller,
        /// Of which conversation.
        conversation: ConversationId,
        /// At most this many, 1 to [`LARGEST_PAGE`].
        limit: u16,
        /// `next` of the page before.
        before: Option<String>,
    } -> Page<Turn>, "turn.list.v1"
);
request!(
    /// One turn, as it is kept.
    ReadTurn {
        /// Who asks.
        caller: Caller,
        /// Of which conversation.
        conversation: ConversationId,
        /// Which.
        turn: TurnId,
    } -> Turn, "turn.read.v1"
);
request!(
    /// Say something to a persona. The answer is a stream: each message to the reply inbox is one
    /// `Result<TurnEvent, Fault>`; the last one is `final` or a fault.
    TakeTurn {
        /// Who asks.
        caller: Caller,
        /// In which conversation.
        conversation: ConversationId,
        /// The turn's id. Sending it again with the same text continues or repeats the same turn, never doubles it.
        turn: TurnId,
        /// What the player says.
        text: String,
        /// What else is asked of it. Sending the turn again may leave it out or change it: it is not compared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        options: Option<TurnOptions>,
        /// Whether the asker can put a tool's question to the player. Where not, every question is declined at once.
        #[serde(default)]
        may_ask: bool,
    } -> TurnEvent, "turn.take.v1"
);
request!(
    /// Take a bundle, if its generation is newer than the one in use. Only the cluster's admin API asks this.
    PublishBundle {
        /// The checked game.
        bundle: Box<Bundle>,
    } -> BundleInUse, "bundle.publish.v1"
);
request!(
    /// Which bundle is in use.
    ReadBundle {} -> BundleInUse, "bundle.read.v1"
);
request!(
    /// Delete all that is kept of a player. Only `auth` asks this, until it has been answered.
    ForgetPlayer {
        /// The player.
        player: PlayerId,
    } -> (), "player.forget.v1"
);

/// Which bundle a cluster uses, and how its characters answer with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BundleInUse {
    /// The bundle's generation.
    pub generation: u64,
    /// How the characters answer just now: the first usable route's name, `offline` or `barks`.
    pub answers_by: String,
    /// Why it is not a better one, where it could be.
    pub why: Option<String>,
    /// How many of the characters' lines the model on the machine has not read yet. Until it has read a persona's, that
    /// persona answers by `barks`.
    #[serde(default)]
    pub lines_to_read: usize,
    /// What its models have cost, period by period; nothing where that is not known just now.
    #[serde(default)]
    pub spending: Vec<crate::costs::Spending>,
}
