//! The checked game as services get it: one JSON document.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use gaia_names::{GameId, PersonaId};
use serde::{Deserialize, Serialize};

use crate::money::Price;

/// A checked game. Whoever holds one need not check again: `gaia-spec` is the only maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Which game.
    pub game: GameId,
    /// Counts up with every change; the highest wins. 0 until apply has numbered it.
    pub generation: u64,
    /// The game's name for people.
    pub name: String,
    /// What kind of world it is, for prompts: `post-apocalyptic`.
    pub theme: String,
    /// How all its characters are, for prompts: `urgent, survival-focused`.
    pub personality: Option<String>,
    /// The promise about the first useful output, in milliseconds.
    pub response_time_target_ms: u32,
    /// How many recent messages (a player's and a persona's each count as one) go into a prompt.
    pub context_window: u16,
    /// The characters, in the order of the config.
    pub personas: Vec<Persona>,
    /// Where replies may come from, best first. The offline route is always last and not in this list.
    pub routes: Vec<Route>,
    /// Tool servers that personas may be allowed to use.
    pub tool_servers: Vec<ToolServer>,
    /// The config's features: `true` for those that are wanted.
    pub features: BTreeMap<String, bool>,
    /// How much a player may ask for.
    #[serde(default)]
    pub rates: Rates,
    /// How much its models may cost.
    #[serde(default)]
    pub budget: Budget,
}

impl Bundle {
    /// Whether anything bounds what its models may cost.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        let own = |persona: &Persona| persona.limits.budget_per_day.is_some();
        self.budget != Budget::default() || self.personas.iter().any(own)
    }

    /// The tool servers that somebody may call: a model any of them, and without a route to a model those of intents.
    #[must_use]
    pub fn servers_in_use(&self) -> Vec<ToolServer> {
        let intents = self.personas.iter().flat_map(|persona| &persona.intents);
        let of_intents: BTreeSet<&str> = intents.filter_map(|intent| intent.call.as_ref()?.server()).collect();
        let is_in_use = |server: &&ToolServer| !self.routes.is_empty() || of_intents.contains(server.name.as_str());
        self.tool_servers.iter().filter(is_in_use).cloned().collect()
    }
}

/// How much the models of a game may cost, in millionths of a US dollar. What is absent is not bounded. Days and months
/// are those of the calendar in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The game, in a day.
    #[serde(default)]
    pub per_day: Option<u64>,
    /// The game, in a month.
    #[serde(default)]
    pub per_month: Option<u64>,
    /// Each player, in a day.
    #[serde(default)]
    pub per_player_per_day: Option<u64>,
    /// Each persona, in a day, unless it has a limit of its own.
    #[serde(default)]
    pub per_persona_per_day: Option<u64>,
}

/// How much a player may ask for. Enforced by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// How many requests a player may make in a minute.
    pub requests_per_minute: u32,
    /// How many attempts to sign in, sign up or refresh one address may make in a minute.
    pub sign_ins_per_minute: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_minute: 600,
            sign_ins_per_minute: 30,
        }
    }
}

/// An AI character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// Its name in paths; the file's name.
    pub id: PersonaId,
    /// Its name in the game.
    pub name: String,
    /// What it is in the game.
    pub role: String,
    /// How it speaks.
    pub voice: String,
    /// The prompt: the body of its file.
    pub prompt: String,
    /// What players come to say and the lines for it: the author's in their order, then the built-in ones that the
    /// author left out, with plain lines. Built-in intents (see [`reserved`]) have the built-in examples behind the
    /// author's.
    pub intents: Vec<Intent>,
    /// What it knows, with the lines that tell it.
    pub facts: Vec<Fact>,
    /// Exchanges that show its manner, for prompts.
    pub examples: Vec<Example>,
    /// The tools it may use: `server` or `server.tool`.
    pub tools: Vec<String>,
    /// What bounds its replies.
    pub limits: Limits,
}

/// Something that players say, and what the persona answers without a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its name in the file: `greeting`.
    pub name: String,
    /// Ways in which players say it. Empty only for intents that no player's line calls for, such as `fallback`.
    pub when: Vec<String>,
    /// Lines of the persona, any of which fits. May hold [`slots`].
    pub say: Vec<String>,
    /// Lines that bridge the wait for a reply to it and claim nothing. May hold [`slots::PLAYER`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meanwhile: Vec<String>,
    /// What is called before a line is said, so that lines may hold [`slots::ANSWER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<IntentCall>,
}

/// A call of a tool that an author wrote down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentCall {
    /// `server.tool`.
    pub tool: String,
    /// What it is handed: texts, numbers and switches by name.
    #[serde(default)]
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

impl IntentCall {
    /// The server that the tool is of.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        Some(self.tool.split_once('.')?.0)
    }
}

/// A piece of knowledge and the lines that tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its name in the file: `pharmacy`.
    pub name: String,
    /// Ways in which players ask for it.
    pub when: Vec<String>,
    /// Lines that tell it, any of which fits. May hold [`slots`].
    pub say: Vec<String>,
}

/// An exchange that shows a persona's manner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// What a player says.
    pub player: String,
    /// What the persona answers.
    pub reply: String,
}

/// What bounds a persona's replies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most tokens of one reply.
    pub reply_tokens: u32,
    /// What the persona must not talk about, for prompts.
    pub avoid: Vec<String>,
    /// How much its replies may cost in a day, in millionths of a US dollar, in place of the game's limit for each
    /// persona.
    #[serde(default)]
    pub budget_per_day: Option<u64>,
}

/// A place that replies come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name in the config, in replies and in metrics.
    pub name: String,
    /// Which wire format it speaks.
    pub provider: Provider,
    /// Where: `https://api.anthropic.com`, `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Which model.
    pub model: String,
    /// The name under which the service's settings hold its key; absent for an endpoint without one.
    pub key: Option<String>,
    /// How long the first token may take before the next route is tried, in milliseconds.
    pub first_token_ms: u32,
    /// How long the stream may be silent after that, in milliseconds.
    pub silence_ms: u32,
    /// What its tokens cost, from which day on. Without any it costs nothing.
    #[serde(default)]
    pub prices: Vec<Price>,
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's chat completions: OpenAI, Ollama, vLLM, llama-server and many others.
    Openai,
}

/// A tool server as the config names it, and how it is reached. It holds no secret: what it needs is named, and the
/// service's settings hold it under that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolServer {
    /// Its name.
    pub name: String,
    /// Whether this version of Gaia can run it.
    pub is_available: bool,
    /// How it is reached.
    #[serde(default)]
    pub transport: ToolTransport,
    /// The only tools of it that may be used; all of them where this is empty.
    #[serde(default)]
    pub tools: Vec<String>,
    /// How long a call may be silent, in milliseconds. Progress starts it anew, up to five times as long in all.
    #[serde(default = "ToolServer::usual_timeout_ms")]
    pub timeout_ms: u32,
    /// What its tools do to the world, where the author says so.
    #[serde(default)]
    pub kinds: BTreeMap<String, ToolKind>,
    /// Whether what it answers is as good as the game's own word.
    #[serde(default)]
    pub is_trusted: bool,
    /// What the author accepted of its tools: a tool's name and its fingerprint. It goes before what was seen first.
    #[serde(default)]
    pub pins: BTreeMap<String, String>,
}

impl ToolServer {
    /// A server of which nothing more is said: all of its tools may be used, and its answers are a stranger's words.
    #[must_use]
    pub fn new(name: impl Into<String>, transport: ToolTransport) -> Self {
        Self {
            name: name.into(),
            is_available: transport != ToolTransport::Unbuilt,
            transport,
            tools: Vec::new(),
            timeout_ms: Self::usual_timeout_ms(),
            kinds: BTreeMap::new(),
            is_trusted: false,
            pins: BTreeMap::new(),
        }
    }

    /// How long a call may be silent where the config says nothing, in milliseconds.
    #[must_use]
    pub fn usual_timeout_ms() -> u32 {
        5000
    }
}

/// How a tool server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolTransport {
    /// Not at all: its name is known, but this version of Gaia has no such server.
    #[default]
    Unbuilt,
    /// It is one of ours: `gaia mcp <name>` with these arguments.
    Shipped {
        /// `weather`, `location`, `news`.
        name: String,
        /// What follows the name.
        arguments: Vec<String>,
    },
    /// A program, spoken to on its standard input and output.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// Its environment, besides `PATH`, `HOME` and `LANG`.
        environment: BTreeMap<String, ToolSetting>,
        /// Files and folders that it may read, besides the system's programs and libraries.
        files: Vec<PathBuf>,
        /// Whether it may use the network.
        has_network: bool,
    },
    /// Over HTTP.
    Http {
        /// Its address.
        url: String,
        /// The name of its bearer key in the settings.
        key: Option<String>,
        /// How a token for it is had.
        oauth: Option<ToolOauth>,
    },
}

/// A value in a tool server's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolSetting {
    /// As it stands.
    Plain(String),
    /// The secret that the settings hold under this name.
    Secret(String),
}

/// How a token for a tool server is had by OAuth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOauth {
    /// The client that was registered with the authorization server beforehand. Without a sign-in there is one.
    pub client_id: Option<String>,
    /// The name of its secret in the settings.
    pub client_secret: Option<String>,
    /// The name of its private key in the settings, for those who take no secret.
    #[serde(default)]
    pub client_key: Option<String>,
    /// The name of a sign-in in the settings, which somebody made in a browser. It is used in place of the client's own
    /// credentials.
    pub sign_in: Option<String>,
    /// What the token is to allow; nothing asks for what the server offers.
    pub scopes: Vec<String>,
}

/// What a tool does to the world. Once a turn holds untrusted words, only tools that read are called without the
/// player's yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolKind {
    /// It only looks things up.
    Reads,
    /// It tells others where the player is.
    Locates,
    /// It says or changes something outside the game.
    Posts,
    /// It costs the player or the studio money.
    Spends,
}

impl ToolKind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Reads, Self::Locates, Self::Posts, Self::Spends];

    /// Its word in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Locates => "locates",
            Self::Posts => "posts",
            Self::Spends => "spends",
        }
    }
}

/// Intents whose meaning is built in and that code asks for by name. A persona's author gives lines and may add
/// examples to ours. `gaia-spec` knows more of them, such as `farewell` and `joke`, which are intents like any other.
pub mod reserved {
    /// Said when nothing else fits. Every persona has it.
    pub const FALLBACK: &str = "fallback";
    /// Said when the player asks what the persona remembers and there is something: lines hold `{earlier}`.
    pub const RECALL: &str = "recall";
    /// Said when the player asks what the persona remembers and there is nothing.
    pub const RECALL_NOTHING: &str = "recall_nothing";
    /// Said when the player says their name: lines may hold `{player}`.
    pub const NAME_GIVEN: &str = "name_given";
    /// Said to bridge the wait for a reply that comes late. Claims nothing.
    pub const MEANWHILE: &str = "meanwhile";
    /// Said when no reply came in time.
    pub const CLOSING: &str = "closing";
    /// Said when the player greets.
    pub const GREETING: &str = "greeting";
}

/// Words in braces that a line may hold and that are filled in when it is said.
pub mod slots {
    /// The player's name, as they gave it in the conversation, else their display name is not known: a line with this
    /// slot is not chosen while there is no name.
    pub const PLAYER: &str = "{player}";
    /// What the player said earlier in the conversation. Only in `recall`.
    pub const EARLIER: &str = "{earlier}";
    /// What the intent's tool answered. `{answer.places.0.name}` is a part of it: keys and places of JSON, from 0.
    pub const ANSWER: &str = "{answer}";

    /// The part of a tool's answer that a slot stands for; none where it stands for something else.
    #[must_use]
    pub fn answer_path(slot: &str) -> Option<Vec<&str>> {
        let inner = slot.strip_prefix('{')?.strip_suffix('}')?;
        let is_step = |step: &&str| !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match inner.split_once('.') {
            None => (inner == "answer").then(Vec::new),
            Some(("answer", path)) => {
                let steps: Vec<_> = path.split('.').collect();
                steps.iter().all(is_step).then_some(steps)
            }
            Some(_) => None,
        }
    }

    /// What stands in braces in a line, braces and all.
    pub fn in_line(line: &str) -> impl Iterator<Item = &str> {
        line.match_indices('{')
            .filter_map(|(open, _)| Some(&line[open..=open + line[open..].find('}')?]))
    }
}
