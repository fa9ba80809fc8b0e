//! One call of a tool: asked for, checked, carried out within its time, and put into words.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gaia_protocol::bundle::ToolKind;
use gaia_service::Tasks;
use rmcp::{
    RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientRequest,
        InputRequest, InputRequiredResult, InputResponses, JsonObject, RequestId, ServerResult,
    },
    service::{Peer, PeerRequestOptions, ServiceError},
};
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    ask::{AskPlayer, Ears, Progress},
    bounded::TOO_LARGE,
    clean,
    client::InHand,
    server::Server,
};

/// How often a server may ask for more before it answers.
const MOST_ROUNDS: usize = 8;
/// How many times its own timeout a call may take in all, however much progress it tells.
const AT_MOST_TIMES: u32 = 5;

/// A call that a model wants made.
pub struct ToolCall<'a> {
    /// The name under which the tool was offered.
    pub wire_name: &'a str,
    /// What the persona may use: `server` or `server.tool`. A model may ask for more than it was offered.
    pub allowed: &'a [String],
    /// What the model wants to hand over.
    pub arguments: Value,
    /// When it must be over, whatever happens.
    pub deadline: Instant,
    /// Whether the turn already holds words that somebody unknown wrote.
    pub is_tainted: bool,
    /// Whether the player said yes to this very call.
    pub has_consent: bool,
    /// Who hears of progress. What does not fit is left out.
    pub progress: Option<mpsc::Sender<Progress>>,
    /// Who can ask the player, where anyone can.
    pub player: Option<Arc<dyn AskPlayer>>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolOutcome {
    /// It was made, or could not be; either way there is something to tell the model.
    Done(ToolAnswer),
    /// It may only be made with the player's yes, and was not.
    NeedsConsent(Consent),
}

/// What to tell the model of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolAnswer {
    /// `server.tool`, as far as it is known.
    pub tool: String,
    /// The text, bounded, with its origin, as data.
    pub text: String,
    /// The same without its frame, where all of it was told and nothing went wrong.
    pub plain: Option<String>,
    /// Whether it says that something went wrong.
    pub is_error: bool,
    /// Whether it holds words that somebody unknown wrote: the turn is tainted from here on.
    pub is_untrusted: bool,
    /// Whether its end was left out.
    pub was_truncated: bool,
    /// How long it took.
    pub took: Duration,
    /// Why it was not made or did not succeed, where that was not the tool's own word.
    pub fault: Option<CallFault>,
}

impl ToolAnswer {
    /// The part of the answer at a path of keys and places, as words for one line of at most so many bytes. None where
    /// there is no text and no number.
    #[must_use]
    pub fn part(&self, path: &[&str], most_bytes: usize) -> Option<String> {
        fn step<'v>(value: &'v Value, step: &&str) -> Option<&'v Value> {
            match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                value => value.get(step),
            }
        }
        let plain = self.plain.as_ref()?;
        // What is no JSON is a text.
        let content = serde_json::from_str(plain).unwrap_or_else(|_| Value::String(plain.clone()));
        let words = match path.iter().try_fold(&content, step)? {
            Value::String(text) => clean::line(text, most_bytes),
            Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
            _ => return None,
        };
        Some(words).filter(|words| !words.is_empty())
    }
}

/// What the player would have to say yes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// `server.tool`.
    pub tool: String,
    /// What it does.
    pub kind: ToolKind,
    /// What it would be handed, as JSON, bounded. The player should see it.
    pub arguments: String,
}

/// Why a call was not made or has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// No such tool, or none that this persona may use.
    #[error("there is no such tool")]
    Unknown,
    /// It changed since it was trusted.
    #[error("the tool changed and waits to be accepted")]
    Changed,
    /// It cannot be used as its server presents it.
    #[error("the tool cannot be used")]
    Refused,
    /// Its server is not there. The reason is for the operator.
    #[error("the tool is not there now")]
    Unavailable(String),
    /// The model handed over something else than the tool takes.
    #[error("the arguments do not fit: {0}")]
    BadArguments(String),
    /// Its server has enough to do.
    #[error("the tool is busy")]
    Busy,
    /// No answer came in time.
    #[error("the tool did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Its server went away while it worked.
    #[error("the tool went away while it worked")]
    Lost,
    /// Its server lets nobody do it whose token does not allow all of these.
    #[error("the game may not do that there")]
    WantsScopes(Vec<String>),
    /// Its answer was too large.
    #[error("the tool's answer was too large")]
    TooLarge,
    /// Its server refused, in its own words.
    #[error("the tool refused: {0}")]
    ServerRefused(String),
    /// Its answer cannot be read.
    #[error("the tool's answer cannot be read")]
    Garbled,
}

impl CallFault {
    /// A word for metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Unavailable(_) => "unavailable",
            Self::BadArguments(_) => "bad_arguments",
            Self::Busy => "busy",
            Self::TimedOut(_) => "timed_out",
            Self::Lost => "lost",
            Self::WantsScopes(_) => "wants_scopes",
            Self::TooLarge => "too_large",
            Self::ServerRefused(_) => "server_refused",
            Self::Garbled => "garbled",
        }
    }
}

/// Makes the call at the server. Dropping the future tells the server to give up.
pub(crate) async fn make(
    server: &Server,
    tool: &str,
    arguments: JsonObject,
    deadline: Instant,
    ears: Ears,
) -> Result<CallToolResult, CallFault> {
    let began = Instant::now();
    let out_of_time = || CallFault::TimedOut(began.elapsed());
    let left = || deadline.saturating_duration_since(Instant::now());
    let idle = Duration::from_millis(server.config.timeout_ms.into());
    let at_most = left().min(idle * AT_MOST_TIMES);
    let work = async {
        let peer = timeout(left(), server.settled()).await.map_err(|_| out_of_time())?;
        let peer = peer.map_err(CallFault::Unavailable)?;
        let Ok(slot) = timeout(left().min(idle), server.slots.acquire()).await else {
            return Err(CallFault::Busy);
        };
        let _slot = slot.map_err(|_| CallFault::Lost)?;
        server.touch();
        let rounds = Rounds {
            peer: &peer,
            server,
            idle,
            at_most,
            ears: Arc::new(ears),
        };
        rounds
            .run(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments))
            .await
    };
    // The whole has a limit of its own besides that of each round.
    timeout(at_most, work).await.unwrap_or_else(|_| Err(out_of_time()))
}

struct Rounds<'a> {
    peer: &'a Peer<RoleClient>,
    server: &'a Server,
    idle: Duration,
    at_most: Duration,
    ears: Arc<Ears>,
}

impl Rounds<'_> {
    async fn run(&self, mut params: CallToolRequestParams) -> Result<CallToolResult, CallFault> {
        for _ in 0..MOST_ROUNDS {
            match self.round(params.clone()).await? {
                ServerResult::CallToolResult(result) => return Ok(result),
                ServerResult::EmptyResult(_) => return Ok(CallToolResult::success(Vec::new())),
                ServerResult::InputRequiredResult(wanted) => {
                    let (responses, state) = self.answer(wanted).await?;
                    params.input_responses = responses;
                    params.request_state = state;
                }
                _ => return Err(CallFault::Garbled),
            }
        }
        Err(CallFault::ServerRefused(format!(
            "it asked for more {MOST_ROUNDS} times"
        )))
    }

    async fn round(&self, params: CallToolRequestParams) -> Result<ServerResult, CallFault> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::with_timeout(self.idle)
            .reset_timeout_on_progress()
            .with_max_total_timeout(self.at_most);
        let sending = self.server.in_hand.sending().await;
        let sent = self.peer.send_request_with_option(request, options).await;
        let handle = sent.map_err(|fault| self.fault(fault))?;
        let mut given_up = GivenUp::guard(self.peer, handle.id.clone(), self.server);
        self.server
            .in_hand
            .add(handle.id.clone(), handle.progress_token.clone(), self.ears.clone());
        drop(sending);
        let answered = handle.await_response().await;
        given_up.is_over = true;
        answered.map_err(|fault| self.fault(fault))
    }

    fn fault(&self, fault: ServiceError) -> CallFault {
        match fault {
            ServiceError::McpError(fault) if i64::from(fault.code.0) == i64::from(TOO_LARGE) => CallFault::TooLarge,
            ServiceError::McpError(fault) => CallFault::ServerRefused(clean::line(&fault.message, 500)),
            ServiceError::Timeout { timeout } => CallFault::TimedOut(timeout),
            ServiceError::UnexpectedResponse => CallFault::Garbled,
            ServiceError::Cancelled { .. } => CallFault::ServerRefused("it gave the call up".to_owned()),
            other => {
                if let Some(scopes) = self.server.wanted_scopes(&other) {
                    return CallFault::WantsScopes(scopes);
                }
                // Whether the server is still there is found out at once.
                self.server.want();
                let text = crate::server::chain(&other);
                if text.contains("too large") || text.contains("exceed") {
                    CallFault::TooLarge
                } else {
                    CallFault::Lost
                }
            }
        }
    }

    /// Answers what the server wants to know before it goes on. What it asks of us and not of the player is off.
    async fn answer(&self, wanted: InputRequiredResult) -> Result<(Option<InputResponses>, Option<String>), CallFault> {
        let mut responses = InputResponses::new();
        for (key, request) in wanted.input_requests.unwrap_or_default() {
            let InputRequest::Elicitation(request) = request else {
                return Err(CallFault::ServerRefused(
                    "it wants something that we do not offer".to_owned(),
                ));
            };
            let reply = self.ears.ask(request.params).await;
            responses.insert(key, serde_json::to_value(reply).map_err(|_| CallFault::Garbled)?);
        }
        Ok(((!responses.is_empty()).then_some(responses), wanted.request_state))
    }
}

/// Tells the server when nobody waits for its answer any more.
struct GivenUp {
    peer: Peer<RoleClient>,
    id: RequestId,
    in_hand: Arc<InHand>,
    tasks: Tasks,
    is_over: bool,
}

impl GivenUp {
    fn guard(peer: &Peer<RoleClient>, id: RequestId, server: &Server) -> Self {
        Self {
            peer: peer.clone(),
            id,
            in_hand: server.in_hand.clone(),
            tasks: server.house.tasks.clone(),
            is_over: false,
        }
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.in_hand.remove(&self.id);
        if self.is_over {
            return;
        }
        let (peer, id) = (self.peer.clone(), self.id.clone());
        self.tasks.spawn_to_the_last(async move {
            let word = CancelledNotificationParam::new(Some(id), Some("nobody waits for it any more".to_owned()));
            let _ = timeout(Duration::from_secs(1), peer.notify_cancelled(word)).await;
        });
    }
}
