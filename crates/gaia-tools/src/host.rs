//! The host of a game's tool servers: what personas are offered, and what comes of calls.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use gaia_names::{GameId, Secret};
use gaia_protocol::bundle::{ToolKind, ToolServer};
use gaia_service::Tasks;
use serde_json::{Map, Value};

use crate::{
    ask::Ears,
    call::{self, CallFault, Consent, ToolAnswer, ToolCall, ToolOutcome},
    clean,
    connection::House,
    kinds, names,
    pins::PinStore,
    result,
    server::{Phase, Server},
    sign_ins::SignInStore,
    tool::{KnownTool, Standing, Use},
};

/// How many tools one persona is offered, and how many bytes of descriptions and schemas: every one of them is paid for
/// with each turn.
const MOST_OFFERED: usize = 64;
const MOST_OFFERED_BYTES: usize = 48 * 1024;
/// How much of an answer a model gets, in bytes.
const MOST_ANSWER: usize = 8 * 1024;
/// How much a tool can be handed that the player must agree to, in bytes: all of it is shown.
const MOST_SHOWN: usize = 2 * 1024;

/// What a host needs besides the bundle.
#[derive(Clone)]
pub struct HostSettings {
    /// Which game.
    pub game: GameId,
    /// The secrets that the bundle's tool servers name.
    pub secrets: BTreeMap<String, Secret>,
    /// Where sign-ins are kept while their tokens change.
    pub sign_ins: Arc<dyn SignInStore>,
    /// The program that serves our own servers: `gaia`.
    pub program: PathBuf,
    /// A folder in which each server's program gets one of its own. Nothing in it needs to last.
    pub scratch: PathBuf,
}

/// Keeps a game's tool servers. Whatever they do, the game goes on.
pub struct ToolHost {
    settings: HostSettings,
    tasks: Tasks,
    pins: Arc<dyn PinStore>,
    servers: RwLock<BTreeMap<String, Arc<Server>>>,
}

/// A tool as a model gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedTool {
    /// `server.tool`.
    pub name: String,
    /// The name for the model: at most 64 letters, digits, `_` and `-`.
    pub wire_name: String,
    /// The server's words, cleaned and bounded.
    pub description: String,
    /// What it takes: a JSON Schema of an object.
    pub input_schema: Value,
    /// What it does.
    pub kind: ToolKind,
    /// Whether its answers are words that somebody unknown wrote.
    pub is_untrusted_source: bool,
}

/// A server whose tools a persona should have, and has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its name.
    pub server: String,
    /// Why, for the operator.
    pub reason: String,
}

/// How a server is, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// Its name.
    pub server: String,
    /// `ready`, `starting`, `asleep`, `failed` or `unavailable`.
    pub state: &'static str,
    /// Why, where it failed or never can be called.
    pub reason: Option<String>,
    /// The revision of MCP that it speaks.
    pub revision: Option<String>,
    /// What keeps its program from what it was not given; nothing for a server over HTTP.
    pub confinement: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// What should be looked at: tools that changed, that are refused, that are missing.
    pub notes: Vec<String>,
    /// Its tools, by name.
    pub tools: Vec<ToolReport>,
}

/// How a tool is, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolReport {
    /// `server.tool`.
    pub name: String,
    /// What it does.
    pub kind: ToolKind,
    /// Whether it may be used.
    pub standing: Standing,
    /// Its fingerprint now.
    pub fingerprint: String,
}

impl ToolHost {
    /// Starts the servers and returns at once. A server that cannot start is tried again for as long as the host lives.
    #[must_use]
    pub fn start(settings: HostSettings, servers: &[ToolServer], pins: Arc<dyn PinStore>, tasks: &Tasks) -> Self {
        let host = Self {
            settings,
            tasks: tasks.clone(),
            pins,
            servers: RwLock::default(),
        };
        host.reload(servers);
        host
    }

    /// Takes over a new generation's servers. One that did not change goes on undisturbed.
    pub fn reload(&self, wanted: &[ToolServer]) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| {
            let is_kept = wanted.contains(&server.config);
            if !is_kept {
                server.stop.cancel();
            }
            is_kept
        });
        for config in wanted {
            servers.entry(config.name.clone()).or_insert_with(|| {
                let house = House {
                    game: self.settings.game.clone(),
                    secrets: self.settings.secrets.clone(),
                    sign_ins: Arc::clone(&self.settings.sign_ins),
                    program: self.settings.program.clone(),
                    scratch: self.settings.scratch.clone(),
                    tasks: self.tasks.clone(),
                };
                Server::start(config.clone(), Arc::new(house), self.pins.clone())
            });
        }
    }

    /// Looks through a server's tools again, so that what was accepted meanwhile is offered.
    pub fn look_again(&self, server: &str) {
        if let Some(server) = self.server(server) {
            server.want();
        }
    }

    /// Waits until every server can be called or has failed once.
    pub async fn settle(&self, at_most: Duration) {
        let settling = async {
            for server in self.servers() {
                let _ = server.settled().await;
            }
        };
        let _ = tokio::time::timeout(at_most, settling).await;
    }

    fn servers(&self) -> Vec<Arc<Server>> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    fn server(&self, name: &str) -> Option<Arc<Server>> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// The tools for a persona that may use `allowed`, in an order that stays, so that prompts can be cached.
    #[must_use]
    pub fn offered(&self, allowed: &[String]) -> Vec<OfferedTool> {
        let (mut offered, mut bytes) = (Vec::new(), 0);
        for server in self.servers() {
            let now = server.now();
            if !matches!(now.phase, Phase::Ready(_) | Phase::Asleep) {
                continue;
            }
            let is_untrusted_source = kinds::is_untrusted(&server.config);
            for tool in now
                .tools
                .iter()
                .filter(|tool| names::is_allowed(allowed, &server.config.name, &tool.name))
            {
                let Some(use_of) = &tool.use_of else { continue };
                bytes += use_of.description.len() + use_of.input.shown.to_string().len();
                if offered.len() == MOST_OFFERED || bytes > MOST_OFFERED_BYTES {
                    tracing::debug!(game.name = %self.settings.game, "a persona is allowed more tools than it is offered");
                    return offered;
                }
                offered.push(OfferedTool {
                    name: format!("{}.{}", server.config.name, tool.name),
                    wire_name: tool.wire_name.clone(),
                    description: use_of.description.clone(),
                    input_schema: use_of.input.shown.clone(),
                    kind: tool.kind,
                    is_untrusted_source,
                });
            }
        }
        offered
    }

    /// The servers that a persona may use and that cannot be called now, so that it can say so.
    #[must_use]
    pub fn unavailable(&self, allowed: &[String]) -> Vec<Unavailable> {
        let is_wanted = |server: &Server| {
            let name = &server.config.name;
            allowed.iter().any(|entry| entry.split('.').next() == Some(name))
        };
        let missing = self
            .servers()
            .into_iter()
            .filter(|server| is_wanted(server))
            .filter_map(|server| {
                let reason = match server.now().phase {
                    Phase::Ready(_) | Phase::Asleep => return None,
                    Phase::Starting => "it is starting".to_owned(),
                    Phase::Failed(why) => why,
                    Phase::Unavailable => server.lack().to_owned(),
                };
                Some(Unavailable {
                    server: server.config.name.clone(),
                    reason,
                })
            });
        missing.collect()
    }

    /// Makes a call. It always ends by its deadline, and dropping the future gives it up.
    pub async fn call(&self, call: ToolCall<'_>) -> ToolOutcome {
        let began = Instant::now();
        let Some((server, tool)) = self.find(call.wire_name, call.allowed) else {
            return ToolOutcome::Done(failed(clean::line(call.wire_name, 80), CallFault::Unknown, began));
        };
        let name = format!("{}.{}", server.config.name, tool.name);
        // Nobody is asked for a yes to what cannot be done anyway.
        let fit = usable(&tool).and_then(|use_of| Ok((use_of, fitting(use_of, &call.arguments)?)));
        if fit.is_ok() && call.is_tainted && !call.has_consent && tool.kind != ToolKind::Reads {
            let (arguments, is_cut) = clean::text(&call.arguments.to_string(), MOST_SHOWN);
            if is_cut {
                // Nobody can agree to what they cannot see.
                let fault = CallFault::BadArguments("they are too long for the player to agree to".to_owned());
                return ToolOutcome::Done(failed(name, fault, began));
            }
            count(&server, &tool, "needs_consent", began);
            return ToolOutcome::NeedsConsent(Consent {
                tool: name,
                kind: tool.kind,
                arguments,
            });
        }
        let made = match fit {
            Ok((use_of, arguments)) => self.made(&server, &tool, use_of, arguments, call).await,
            Err(fault) => Err(fault),
        };
        let answer = match made {
            Ok(mut answer) => {
                answer.took = began.elapsed();
                answer
            }
            Err(fault) => failed(name, fault, began),
        };
        let code = answer
            .fault
            .as_ref()
            .map_or(if answer.is_error { "error" } else { "done" }, CallFault::code);
        count(&server, &tool, code, began);
        ToolOutcome::Done(answer)
    }

    fn find(&self, wire_name: &str, allowed: &[String]) -> Option<(Arc<Server>, Arc<KnownTool>)> {
        self.servers().into_iter().find_map(|server| {
            let tools = server.now().tools;
            let is_meant = |tool: &&Arc<KnownTool>| {
                tool.wire_name == wire_name && names::is_allowed(allowed, &server.config.name, &tool.name)
            };
            let tool = tools.iter().find(is_meant).cloned();
            tool.map(|tool| (server, tool))
        })
    }

    async fn made(
        &self,
        server: &Server,
        tool: &KnownTool,
        use_of: &Use,
        arguments: Map<String, Value>,
        call: ToolCall<'_>,
    ) -> Result<ToolAnswer, CallFault> {
        let ears = Ears {
            server: server.config.name.clone(),
            tool: tool.name.clone(),
            progress: call.progress,
            player: call.player,
        };
        let result = call::make(server, &tool.name, arguments, call.deadline, ears).await?;
        let words = result::words(&result, use_of.output.as_ref(), MOST_ANSWER);
        let plain = words.plain();
        let is_untrusted = kinds::is_untrusted(&server.config);
        let name = format!("{}.{}", server.config.name, tool.name);
        if let Some(lie) = words.lie {
            let game = self.settings.game.to_string();
            metrics::counter!("gaia_tools_broken_promises_total", "game" => game, "tool" => name.clone()).increment(1);
            tracing::warn!(
                game.name = %self.settings.game, tool.name = name,
                "tool `{name}` does not answer as its own schema says: {lie}"
            );
        }
        Ok(ToolAnswer {
            text: result::framed(
                &server.config.name,
                &tool.name,
                is_untrusted,
                &words.text,
                words.was_truncated,
            ),
            tool: name,
            plain,
            is_error: words.is_error,
            is_untrusted,
            was_truncated: words.was_truncated,
            took: Duration::ZERO,
            fault: None,
        })
    }

    /// How the servers are, by name.
    #[must_use]
    pub fn report(&self) -> Vec<ServerReport> {
        self.servers().iter().map(|server| report(server)).collect()
    }
}

impl Drop for ToolHost {
    fn drop(&mut self) {
        for server in self.servers() {
            server.stop.cancel();
        }
    }
}

fn usable(tool: &KnownTool) -> Result<&Use, CallFault> {
    match (&tool.standing, &tool.use_of) {
        (Standing::Trusted, Some(use_of)) => Ok(use_of),
        (Standing::Changed, _) => Err(CallFault::Changed),
        _ => Err(CallFault::Refused),
    }
}

/// The arguments, if they are what the tool takes. Models like to write `null` for what they leave out.
fn fitting(use_of: &Use, arguments: &Value) -> Result<Map<String, Value>, CallFault> {
    let mut arguments = match arguments {
        Value::Object(arguments) => arguments.clone(),
        Value::Null => Map::new(),
        _ => return Err(CallFault::BadArguments("they are no object".to_owned())),
    };
    let faults_of = |arguments: &Map<_, _>| use_of.input.faults(&Value::Object(arguments.clone()));
    let Some(faults) = faults_of(&arguments) else {
        return Ok(arguments);
    };
    arguments.retain(|_, value| !value.is_null());
    match faults_of(&arguments) {
        None => Ok(arguments),
        Some(_) => Err(CallFault::BadArguments(faults)),
    }
}

/// What the model is told where there is no answer. A server's own words in it are somebody else's.
fn failed(tool: String, fault: CallFault, began: Instant) -> ToolAnswer {
    let is_untrusted = matches!(fault, CallFault::ServerRefused(_));
    let text = match tool.split_once('.') {
        Some((server, name)) => result::framed(server, name, is_untrusted, &fault.to_string(), false),
        None => fault.to_string(),
    };
    ToolAnswer {
        tool,
        text,
        plain: None,
        is_error: true,
        is_untrusted,
        was_truncated: false,
        took: began.elapsed(),
        fault: Some(fault),
    }
}

fn count(server: &Server, tool: &KnownTool, outcome: &'static str, began: Instant) {
    let name = format!("{}.{}", server.config.name, tool.name);
    let game = server.house.game.to_string();
    metrics::counter!("gaia_tools_calls_total", "game" => game.clone(), "tool" => name.clone(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("gaia_tools_call_seconds", "game" => game, "tool" => name).record(began.elapsed());
}

fn report(server: &Server) -> ServerReport {
    let now = server.now();
    let (state, reason) = match now.phase {
        Phase::Starting => ("starting", None),
        Phase::Ready(_) => ("ready", None),
        Phase::Asleep => ("asleep", None),
        Phase::Failed(why) => ("failed", Some(why)),
        Phase::Unavailable => ("unavailable", Some(server.lack().to_owned())),
    };
    let tools = now.tools.iter().map(|tool| ToolReport {
        name: format!("{}.{}", server.config.name, tool.name),
        kind: tool.kind,
        standing: tool.standing.clone(),
        fingerprint: tool.fingerprint.clone(),
    });
    ServerReport {
        server: server.config.name.clone(),
        state,
        reason,
        revision: now.revision,
        confinement: now.confinement.map(|confinement| confinement.to_string()),
        restarts: now.restarts,
        notes: now.notes,
        tools: tools.collect(),
    }
}
