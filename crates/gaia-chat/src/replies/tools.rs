//! The tools of one reply: what the model is offered, what it wanted, and what came of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use gaia_protocol::{
    bundle::{IntentCall, Persona},
    chat::{ToolNews, ToolState, Verdict, Wants},
};
use gaia_tools::{Consent, OfferedTool, Progress, ToolAnswer, ToolCall, ToolHost, ToolOutcome};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Piece, Question};
use crate::turns::PlayerOf;

/// How often a model may call tools before it must answer.
const MOST_ROUNDS: usize = 4;
/// How many calls of one round are made; of the others, the model is told that they were not.
const MOST_CALLS: usize = 8;
/// How long one round of calls may take, the player's thinking included.
const LONGEST: Duration = Duration::from_secs(30);
/// How much all answers of one reply may be together, in bytes: a model reads them anew in every round.
const MOST_ANSWERS: usize = 32 * 1024;
/// How many tellings of progress wait to be passed on. More are left out.
const WAITING_PROGRESS: usize = 16;

/// A call that a model wants made. It is known by its place, never by an id of the vendor's, so that another vendor can
/// go on with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedCall {
    /// The tool's wire name.
    pub(super) name: String,
    /// The arguments as JSON text, as the model wrote them.
    pub(super) arguments: String,
}

impl WantedCall {
    /// The arguments, if they are JSON. A model that hands over nothing may write nothing.
    pub(super) fn read(&self) -> Option<Value> {
        let text = self.arguments.trim();
        if text.is_empty() {
            return Some(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_str(text).ok()
    }

    /// No vendor takes back a name that is none, also where another vendor's model made it up.
    fn clean(&mut self) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_name) {
            "unknown_tool".clone_into(&mut self.name);
        }
    }
}

/// What the model is told of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) is_error: bool,
}

impl Told {
    /// Leaves out what there is no room for.
    fn shorten(&mut self, room: &mut usize) {
        if self.text.len() > *room {
            self.text.truncate(self.text.floor_char_boundary(*room));
            self.text.push_str("\n[no more answers fit: say what you know]");
        }
        *room = room.saturating_sub(self.text.len());
    }

    fn error(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_error: true,
        }
    }
}

/// What a model said and wanted, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) said: String,
    pub(super) calls: Vec<(WantedCall, Told)>,
}

impl Round {
    /// The name of a call for a vendor: letters, digits and `_`.
    pub(super) fn call_id(&self, round: usize, place: usize) -> String {
        format!("call_{}_{}", round + 1, place + 1)
    }
}

/// A reply's use of tools.
pub(crate) struct ToolUse {
    pub(super) offered: Vec<OfferedTool>,
    /// The servers that the persona should have and has not.
    pub(super) missing: Vec<String>,
    pub(super) rounds: Vec<Round>,
    /// The turn holds words that somebody unknown wrote.
    is_tainted: bool,
    /// How many more bytes of answers the model is told.
    room: usize,
    pieces: mpsc::Sender<Piece>,
}

impl ToolUse {
    /// What the persona has to hand now.
    pub(super) fn of(host: &ToolHost, persona: &Persona, pieces: mpsc::Sender<Piece>) -> Self {
        let allowed = &persona.tools;
        let (offered, missing) = if allowed.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            (host.offered(allowed), host.unavailable(allowed))
        };
        Self {
            offered,
            missing: missing.into_iter().map(|missing| missing.server).collect(),
            rounds: Vec::new(),
            is_tainted: false,
            room: MOST_ANSWERS,
            pieces,
        }
    }

    /// Whether the model may call tools again. Otherwise it must answer now.
    pub(super) fn may_call(&self) -> bool {
        !self.offered.is_empty() && self.rounds.len() < MOST_ROUNDS
    }

    /// Makes a round of calls, side by side, and keeps what came of them.
    pub(super) async fn carry_out(
        &mut self,
        host: &ToolHost,
        question: &Question,
        said: String,
        wanted: Vec<WantedCall>,
        until: Instant,
    ) {
        let made = self.make(host, question, &wanted, until, self.is_tainted).await;
        let mut calls = Vec::new();
        for (mut call, made) in wanted.into_iter().zip(made) {
            call.clean();
            let mut told = match made {
                Ok(answer) => {
                    self.is_tainted |= answer.is_untrusted;
                    Told {
                        text: answer.text,
                        is_error: answer.is_error,
                    }
                }
                Err(why) => Told::error(why),
            };
            told.shorten(&mut self.room);
            calls.push((call, told));
        }
        self.rounds.push(Round { said, calls });
    }

    /// Makes the call of an intent. What came of it, if it could be made.
    pub(crate) async fn ask(
        &self,
        host: &ToolHost,
        question: &Question,
        call: &IntentCall,
        until: Instant,
    ) -> Option<ToolAnswer> {
        let Some(tool) = self.offered.iter().find(|tool| tool.name == call.tool) else {
            tracing::warn!(game.name = %question.bundle().game, tool.name = call.tool,
                "an intent wants `{}`, which cannot be called now", call.tool);
            return None;
        };
        let wanted = WantedCall {
            name: tool.wire_name.clone(),
            arguments: Value::Object(call.arguments.clone()).to_string(),
        };
        // A likeness is what brought it about, so the player is asked wherever it does more than read.
        let made = self.make(host, question, &[wanted], until, true).await;
        made.into_iter().next()?.ok()
    }

    /// Makes calls side by side. Where one was not made, there is the reason.
    async fn make(
        &self,
        host: &ToolHost,
        question: &Question,
        wanted: &[WantedCall],
        until: Instant,
        is_tainted: bool,
    ) -> Vec<Result<ToolAnswer, &'static str>> {
        // A turn may yet turn out to be another process's, and what a tool does cannot be undone.
        question.running.is_accepted().await;
        let (progress, mut told) = mpsc::channel(WAITING_PROGRESS);
        let round = Making {
            host,
            question,
            offered: &self.offered,
            is_tainted,
            deadline: until.min(Instant::now() + LONGEST),
            progress,
            pieces: &self.pieces,
        };
        let calls = wanted.iter().enumerate().map(|(place, call)| round.make(place, call));
        let mut making = std::pin::pin!(join_all(calls));
        loop {
            tokio::select! {
                biased;
                made = &mut making => return made,
                // What does not fit is left out.
                Some(progress) = told.recv() => drop(self.pieces.try_send(Piece::Tool(news_of(progress)))),
            }
        }
    }
}

/// One round of calls while it is made.
struct Making<'a> {
    host: &'a ToolHost,
    question: &'a Question,
    offered: &'a [OfferedTool],
    is_tainted: bool,
    deadline: Instant,
    progress: mpsc::Sender<Progress>,
    pieces: &'a mpsc::Sender<Piece>,
}

impl Making<'_> {
    /// What came of a call, or why it was not made.
    async fn make(&self, place: usize, call: &WantedCall) -> Result<ToolAnswer, &'static str> {
        if place >= MOST_CALLS {
            return Err("This call was not made: there were too many at once.");
        }
        let arguments = call
            .read()
            .ok_or("This call was not made: its arguments are no JSON.")?;
        let known = self.offered.iter().find(|tool| tool.wire_name == call.name);
        if let Some(tool) = known {
            self.tell(&tool.name, ToolState::Working).await;
        }
        let outcome = match self.call(call, arguments.clone(), false).await {
            ToolOutcome::NeedsConsent(consent) => match self.consent(consent).await {
                true => self.call(call, arguments, true).await,
                false => {
                    if let Some(tool) = known {
                        self.tell(&tool.name, ToolState::Failed).await;
                    }
                    return Err("The player did not agree to this call, so it was not made. Do not ask for it again.");
                }
            },
            done => done,
        };
        let ToolOutcome::Done(answer) = outcome else {
            return Err("This call was not made.");
        };
        self.done(&answer).await;
        Ok(answer)
    }

    async fn call(&self, call: &WantedCall, arguments: Value, has_consent: bool) -> ToolOutcome {
        let wanted = ToolCall {
            wire_name: &call.name,
            allowed: &self.question.persona().tools,
            arguments,
            deadline: self.deadline,
            is_tainted: self.is_tainted,
            has_consent,
            progress: Some(self.progress.clone()),
            player: Some(Arc::new(self.player())),
        };
        self.host.call(wanted).await
    }

    async fn consent(&self, consent: Consent) -> bool {
        let wants = Wants::Consent {
            does: consent.kind,
            arguments: consent.arguments,
        };
        self.player().put(consent.tool, wants).await.verdict == Verdict::Accept
    }

    fn player(&self) -> PlayerOf {
        PlayerOf::new(&self.question.running, self.pieces, self.deadline.into())
    }

    async fn done(&self, answer: &ToolAnswer) {
        // A name that the model made up is nothing to show.
        if !self.offered.iter().any(|tool| tool.name == answer.tool) {
            return;
        }
        let state = if answer.is_error {
            ToolState::Failed
        } else {
            ToolState::Done
        };
        self.tell(&answer.tool, state).await;
    }

    async fn tell(&self, tool: &str, state: ToolState) {
        let news = ToolNews {
            tool: tool.to_owned(),
            state,
            percent: None,
            message: None,
        };
        // Nobody listens any more when the turn was given up.
        let _ = self.pieces.send(Piece::Tool(news)).await;
    }
}

fn news_of(progress: Progress) -> ToolNews {
    let share = progress.total.map(|total| progress.done / total * 100.0);
    ToolNews {
        tool: progress.tool,
        state: ToolState::Working,
        percent: share.filter(|share| share.is_finite()).map(percent),
        message: progress.message,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it lies between 0 and 100"
)]
fn percent(share: f64) -> u8 {
    share.clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_percent_whatever_a_server_claims() {
        let told = |done, total| {
            let progress = Progress {
                tool: "weather_api.now".to_owned(),
                done,
                total,
                message: None,
            };
            news_of(progress).percent
        };
        assert_eq!(told(1.0, Some(4.0)), Some(25));
        assert_eq!(told(9.0, Some(4.0)), Some(100));
        assert_eq!(told(-9.0, Some(4.0)), Some(0));
        assert_eq!((told(0.0, Some(0.0)), told(3.0, None)), (None, None));
    }

    #[test]
    fn what_goes_back_to_a_vendor_is_a_name_and_has_an_end() {
        let mut call = WantedCall {
            name: "weather.now please".to_owned(),
            arguments: String::new(),
        };
        call.clean();
        assert_eq!(call.name, "unknown_tool");
        let mut room = 10;
        for expected in [(8, 2), (43, 0)] {
            let mut told = Told::error("grüße!");
            told.shorten(&mut room);
            assert_eq!((told.text.len(), room), expected, "{}", told.text);
        }
    }

    #[test]
    fn a_call_may_hand_over_nothing_but_not_rubbish() {
        let call = |arguments: &str| WantedCall {
            name: "weather_api__now".to_owned(),
            arguments: arguments.to_owned(),
        };
        assert_eq!(call(" ").read(), Some(serde_json::json!({})));
        assert_eq!(call("{\"place\":\"Oslo\"}").read().unwrap()["place"], "Oslo");
        assert_eq!(call("{\"place\":").read(), None);
    }
}
