//! A turn that is being worked on here: what has been said, and who hears it.

use std::{sync::OnceLock, time::Duration};

use gaia_names::{ConversationId, PlayerId, TurnId};
use gaia_protocol::{
    Fault,
    chat::{Asked, PlayerAnswer, TakeTurn, ToolNews, Turn, TurnEvent, TurnOptions, TurnUsage},
};
use gaia_service::EventSink;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::asks::Asks;

/// How many hear one turn. When one more comes, the one that has been there longest is most likely gone.
const MOST_SINKS: usize = 8;
/// How long one event may wait for a NATS that is away. A delta that is dropped is repaired by the last event.
const PATIENCE: Duration = Duration::from_millis(250);

/// A turn in hand.
pub(crate) struct Running {
    pub(crate) turn: TurnId,
    pub(crate) conversation: ConversationId,
    pub(crate) player: PlayerId,
    pub(crate) text: String,
    /// What else was asked of it.
    pub(crate) options: TurnOptions,
    /// The player wants it to stop.
    pub(crate) cancelled: CancellationToken,
    /// Its conversation is gone.
    pub(crate) given_up: CancellationToken,
    /// The player's message is kept.
    accepted: CancellationToken,
    /// Whoever began it can put questions to the player.
    pub(super) may_ask: bool,
    pub(super) asks: Asks,
    /// Whoever began it wants to know what it took.
    wants_usage: bool,
    usage: OnceLock<TurnUsage>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    accepted: Option<i64>,
    interim: Option<String>,
    deltas: Vec<String>,
    sinks: Vec<EventSink>,
    is_over: bool,
}

impl Running {
    pub(super) fn new(ask: &TakeTurn, sink: EventSink) -> Self {
        let told = Told {
            sinks: vec![sink],
            ..Told::default()
        };
        Self {
            turn: ask.turn,
            conversation: ask.conversation,
            player: ask.caller.player,
            text: ask.text.clone(),
            options: ask.options.clone().unwrap_or_default(),
            wants_usage: ask.options.is_some(),
            usage: OnceLock::new(),
            cancelled: CancellationToken::new(),
            given_up: CancellationToken::new(),
            accepted: CancellationToken::new(),
            may_ask: ask.may_ask,
            asks: Asks::default(),
            told: Mutex::new(told),
        }
    }

    /// Tells everybody that the message is kept.
    pub(super) async fn accept(&self, sequence: i64) {
        let mut told = self.told.lock().await;
        told.accepted = Some(sequence);
        let turn = self.turn;
        tell(&told.sinks, &TurnEvent::Accepted { turn, sequence }).await;
        self.accepted.cancel();
    }

    /// Resolves once the message is kept and the turn is this process's. Before that, nothing outside may be changed.
    pub(crate) async fn is_accepted(&self) {
        self.accepted.cancelled().await;
    }

    /// The persona uses a tool.
    pub(super) async fn tool(&self, news: ToolNews) {
        tell(&self.told.lock().await.sinks, &TurnEvent::Tool(news)).await;
    }

    /// The player is to be asked.
    pub(super) async fn put_question(&self, question: Asked) {
        tell(&self.told.lock().await.sinks, &TurnEvent::Ask(question)).await;
    }

    /// The player answers a question. False if nobody waits for it.
    pub(super) fn answer(&self, number: u32, answer: PlayerAnswer) -> bool {
        self.asks.answer(number, answer)
    }

    /// Says more of the reply.
    pub(super) async fn say(&self, text: String) {
        if text.is_empty() {
            return;
        }
        let mut told = self.told.lock().await;
        told.deltas.push(text.clone());
        let number = number_of(told.deltas.len());
        tell(&told.sinks, &TurnEvent::Delta { number, text }).await;
    }

    /// Bridges the wait for the reply.
    pub(super) async fn bridge(&self, text: String) {
        let mut told = self.told.lock().await;
        told.interim = Some(text.clone());
        tell(&told.sinks, &TurnEvent::Interim { text }).await;
    }

    /// Tells everybody that the turn is being worked on.
    pub(super) async fn alive(&self) {
        let told = self.told.lock().await;
        tell(&told.sinks, &TurnEvent::Alive {}).await;
        // An event may be dropped on its way, and nobody would miss a question.
        for question in self.asks.waiting() {
            tell(&told.sinks, &TurnEvent::Ask(question)).await;
        }
    }

    /// What has been said so far.
    pub(super) async fn said(&self) -> String {
        self.told.lock().await.deltas.concat()
    }

    /// Lets one more hear what comes after a delta, and all that follows. False if the turn is over.
    pub(super) async fn follow(&self, sink: EventSink, after: u32) -> bool {
        let mut told = self.told.lock().await;
        if told.is_over {
            return false;
        }
        let sink = [sink];
        if let (Some(sequence), 0) = (told.accepted, after) {
            let turn = self.turn;
            tell(&sink, &TurnEvent::Accepted { turn, sequence }).await;
        }
        if let Some(text) = told.interim.clone().filter(|_| told.deltas.is_empty()) {
            tell(&sink, &TurnEvent::Interim { text }).await;
        }
        let already = usize::try_from(after).unwrap_or(usize::MAX);
        for (index, text) in told.deltas.iter().enumerate().skip(already) {
            let number = number_of(index + 1);
            let text = text.clone();
            tell(&sink, &TurnEvent::Delta { number, text }).await;
        }
        for question in self.asks.waiting() {
            tell(&sink, &TurnEvent::Ask(question)).await;
        }
        if told.sinks.len() >= MOST_SINKS {
            told.sinks.remove(0);
        }
        told.sinks.extend(sink);
        true
    }

    /// What it took.
    pub(super) fn used(&self, usage: TurnUsage) {
        if self.wants_usage {
            let _ = self.usage.set(usage);
        }
    }

    /// The last event.
    pub(super) async fn close(&self, outcome: Result<Turn, Fault>) {
        let mut told = self.told.lock().await;
        told.is_over = true;
        match outcome {
            Ok(turn) => {
                let usage = self.usage.get().copied();
                tell(&told.sinks, &TurnEvent::Final { turn, usage }).await;
            }
            Err(fault) => {
                for sink in &told.sinks {
                    let refusal = sink.refuse(fault.clone());
                    let _ = tokio::time::timeout(PATIENCE, refusal).await;
                }
            }
        }
    }
}

async fn tell(sinks: &[EventSink], event: &(impl Serialize + Sync)) {
    for sink in sinks {
        let _ = tokio::time::timeout(PATIENCE, sink.event(event)).await;
    }
}

fn number_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
