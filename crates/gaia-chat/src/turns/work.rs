//! The life of one turn: claimed, answered, kept.
//!
//! The claim runs beside the call of the model wherever Redis has what the prompt needs. Nothing of the reply is said
//! before the claim has been committed, and `final` follows the commit of the end.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use gaia_protocol::{
    ErrorCode, Fault,
    chat::{ALIVE_EVERY_MS, Reply, Turn, TurnState, TurnUsage},
};
use gaia_service::postgres::PostgresFault;
use tokio::time::{MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::{
    claim::{self, Granted},
    held::Held,
    metering,
    outputs::FirstOutputs,
    running::Running,
    speech::Speech,
};
use crate::{
    authored,
    bundles::Loaded,
    context::{self, Context, PastExchange},
    conversations::{no_conversation, no_persona},
    game::Game,
    replies::{Piece, Question},
    store::{
        self,
        claims::{Claimed, Ended, KeptReply, UsageRow, Wanted},
    },
};

/// How often the lease of ten seconds is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How long the end of a turn is tried again while Postgres is away.
const KEEP_TRYING: Duration = Duration::from_secs(6);
/// How long the claim lets the call of the model go first.
const LEAD: Duration = Duration::from_millis(2);
const ALIVE: Duration = Duration::from_millis(ALIVE_EVERY_MS);

/// Where a turn came from, and when.
pub(super) struct Origin {
    began: Instant,
    traceparent: Option<String>,
}

impl Origin {
    pub(super) fn now(traceparent: Option<String>) -> Self {
        Self {
            began: Instant::now(),
            traceparent,
        }
    }
}

/// The work on one turn.
pub(super) struct Work {
    game: Arc<Game>,
    loaded: Arc<Loaded>,
    running: Arc<Running>,
    wanted: Arc<Wanted>,
    origin: Origin,
    /// What the player says their name is, where this message says it.
    player_name: Option<String>,
    persona: OnceLock<String>,
}

/// Why nothing more is said.
enum Ending {
    Whole,
    Cancelled,
    Stopping,
    Lost(Fault),
}

impl Work {
    pub(super) fn new(game: Arc<Game>, running: Arc<Running>, origin: Origin) -> Self {
        let wanted = Arc::new(Wanted {
            conversation: running.conversation,
            player: running.player,
            turn: running.turn,
            text: running.text.clone(),
            lease: Uuid::now_v7(),
        });
        Self {
            loaded: game.bundle.now(),
            player_name: authored::name_given(&wanted.text),
            game,
            running,
            wanted,
            origin,
            persona: OnceLock::new(),
        }
    }

    /// From the claim to the end that is kept.
    pub(super) async fn run(&self) -> Result<Turn, Fault> {
        let speech = self.speak_early().await?;
        let (granted, speech) = self.claim(speech).await;
        let (early, unheard) = match (&granted, speech) {
            (Ok(Granted::Ours(claimed)), Some(early)) if fits(&early, claimed) => (Some(early), None),
            (_, speech) => (None, speech),
        };
        if let Some(unheard) = unheard {
            self.discard(unheard);
        }
        let claimed = match granted? {
            Granted::Over(turn) => {
                self.running.accept(turn.sequence).await;
                return Ok(turn);
            }
            Granted::Ours(claimed) => claimed,
        };
        let _ = self.persona.set(claimed.persona.clone());
        self.running.accept(claimed.sequence).await;
        let mut speech = match early {
            Some(speech) => speech,
            None => self.speak(self.true_context(&claimed).await?),
        };
        let ending = self.listen(&mut speech, &claimed).await;
        match ending {
            Ending::Whole => self.finish(TurnState::Done, speech, claimed).await,
            Ending::Cancelled => self.finish(TurnState::Cancelled, speech, claimed).await,
            Ending::Stopping => {
                let said = self.running.said().await;
                let ended = self.ended(TurnState::Interrupted, said, &speech);
                drop(speech);
                self.interrupt(ended).await;
                Err(ErrorCode::TurnInterrupted.into())
            }
            Ending::Lost(fault) => {
                self.discard(speech);
                Err(fault)
            }
        }
    }

    fn discard(&self, speech: Speech) {
        metering::discard(&self.game, &self.wanted, speech);
    }

    /// Begins the reply before the claim, where Redis has a context that can be used and the turn is not in it already.
    async fn speak_early(&self) -> Result<Option<Speech>, Fault> {
        let Some(context) = context::recent(&self.game.redis, self.wanted.conversation).await else {
            return Ok(None);
        };
        if context.player != self.wanted.player
            || context.has(self.wanted.turn)
            || !context.suffices(&self.loaded.bundle)
            || self.loaded.persona(&context.persona).is_none()
        {
            return Ok(None);
        }
        Ok(Some(self.speak(context)))
    }

    fn speak(&self, context: Context) -> Speech {
        let player_name = self.player_name.clone().or_else(|| context.player_name.clone());
        let persona = self.loaded.persona(&context.persona).unwrap_or_default();
        let question = Question {
            loaded: Arc::clone(&self.loaded),
            persona,
            turn: self.wanted.turn,
            conversation: self.wanted.conversation,
            text: self.wanted.text.clone(),
            asked_at: self.origin.began,
            gave_name: self.player_name.is_some(),
            player_name,
            traceparent: self.origin.traceparent.clone(),
            options: self.running.options.clone(),
            running: Arc::clone(&self.running),
            context,
        };
        Speech::begin(&self.game, question)
    }

    async fn claim(&self, mut speech: Option<Speech>) -> (Result<Granted, Fault>, Option<Speech>) {
        if let Some(speech) = &mut speech {
            // What the player waits for goes first: a model takes longer than a claim, and both want the same processors.
            let draft = Arc::clone(&speech.draft);
            tokio::select! {
                biased;
                () = draft.is_called() => {}
                () = speech.gather() => {}
                () = tokio::time::sleep(LEAD) => {}
            }
        }
        let claim = claim::claim(&self.game, &self.wanted, &self.loaded, speech.is_some());
        let gather = async {
            match &mut speech {
                Some(speech) => speech.gather().await,
                None => std::future::pending().await,
            }
        };
        let granted = self
            .while_alive(async {
                tokio::select! {
                    granted = claim => granted,
                    () = gather => Err(ErrorCode::Internal.into()),
                }
            })
            .await;
        (granted, speech)
    }

    async fn true_context(&self, claimed: &Claimed) -> Result<Context, Fault> {
        let Ok(persona) = claimed.persona.parse() else {
            return Err(ErrorCode::Internal.into());
        };
        if self.loaded.persona(&persona).is_none() {
            return Err(no_persona(&persona));
        }
        let (player, conversation) = (self.wanted.player, self.wanted.conversation);
        let context = context::true_one(&self.game, &self.loaded.bundle, player, conversation, claimed, persona);
        match self.while_alive(context).await {
            Ok(context) => Ok(context),
            Err(fault) => {
                self.interrupt(Ended::without_reply(TurnState::Interrupted)).await;
                Err(fault.into())
            }
        }
    }

    async fn listen(&self, speech: &mut Speech, claimed: &Claimed) -> Ending {
        let mut leased = std::pin::pin!(self.keep_lease());
        let mut alive = ticks();
        let mut held = Held::default();
        let mut outputs = FirstOutputs::new(&self.game.id, &claimed.persona, self.origin.began, &self.loaded.bundle);
        loop {
            tokio::select! {
                biased;
                () = self.running.cancelled.cancelled() => return Ending::Cancelled,
                () = self.running.given_up.cancelled() => return Ending::Lost(no_conversation()),
                () = self.game.tasks.stopping() => return Ending::Stopping,
                fault = &mut leased => return Ending::Lost(fault),
                () = held.due() => {
                    alive.reset();
                    self.running.say(held.take(self.game.in_hand.pace())).await;
                    // What was said goes out before the work on its end begins.
                    tokio::task::yield_now().await;
                }
                piece = speech.next() => match piece {
                    Some(piece) => {
                        outputs.note(&piece, &speech.draft);
                        match piece {
                            Piece::Words(words) => held.push(&words),
                            Piece::Interim(line) => self.running.bridge(line).await,
                            Piece::Tool(news) => self.running.tool(news).await,
                            Piece::Ask(question) => self.running.put_question(question).await,
                        }
                    }
                    None => {
                        self.running.say(held.take(Duration::ZERO)).await;
                        return Ending::Whole;
                    }
                },
                _ = alive.tick() => self.running.alive().await,
            }
        }
    }

    /// Resolves when the lease is somebody else's. While Postgres is away nobody else can take it.
    async fn keep_lease(&self) -> Fault {
        loop {
            tokio::time::sleep(RENEW).await;
            match store::claims::keep(&self.game.postgres, &self.wanted).await {
                Ok(true) => {}
                Ok(false) => return lease_lost(),
                Err(fault) => {
                    let chain = gaia_service::telemetry::chain(&fault);
                    tracing::warn!(turn = %self.wanted.turn, error = %chain, "a lease could not be renewed: {chain}");
                }
            }
        }
    }

    async fn finish(&self, state: TurnState, speech: Speech, claimed: Claimed) -> Result<Turn, Fault> {
        let said = self.running.said().await;
        let is_cut = speech.draft.is_cut();
        let ended = self.ended(state, said, &speech);
        self.tell_usage(&ended.usage, is_cut);
        let (question, reply) = (Arc::clone(&speech.question), ended.reply.clone());
        // The provider's call ends here, before anything that takes time.
        drop(speech);
        let finished_at = self.while_alive(self.keep_end(ended)).await?;
        let exchange = reply.as_ref().map(|reply| PastExchange {
            turn: self.wanted.turn,
            text: self.wanted.text.clone(),
            reply: reply.text.clone(),
            lines: reply.lines.clone(),
        });
        self.remember(&question, &claimed, exchange).await;
        Ok(Turn {
            id: self.wanted.turn,
            conversation: self.wanted.conversation,
            sequence: claimed.sequence,
            text: self.wanted.text.clone(),
            state,
            reply: reply.map(
                |KeptReply {
                     text, source, route, ..
                 }| Reply { text, source, route },
            ),
            created_at: claimed.created_at,
            finished_at: Some(finished_at),
        })
    }

    async fn remember(&self, question: &Question, claimed: &Claimed, exchange: Option<PastExchange>) {
        let (redis, conversation) = (&self.game.redis, self.wanted.conversation);
        if claimed.is_again {
            // Turns may have followed it, which this context does not know.
            return context::forget(redis, &[conversation]).await;
        }
        let mut context = question.context.clone();
        context.player_name.clone_from(&question.player_name);
        let context = context.followed_by(claimed.sequence, exchange, &self.loaded.bundle);
        context::remember(redis, conversation, &context).await;
    }

    fn ended(&self, state: TurnState, said: String, speech: &Speech) -> Ended {
        let drafted = speech.draft.take();
        metering::count(&self.game, speech.question.persona().id.as_str(), &drafted.usage);
        let reply = (!said.is_empty()).then_some(KeptReply {
            text: said,
            source: drafted.source,
            route: drafted.route,
            lines: drafted.lines,
        });
        Ended {
            state,
            reply: reply.filter(|_| state != TurnState::Interrupted),
            embedding: drafted.embedding,
            player_name: self.player_name.clone(),
            usage: drafted.usage,
        }
    }

    /// Tells whoever wants to know what the turn took.
    fn tell_usage(&self, usage: &[UsageRow], is_cut: bool) {
        let mut all = TurnUsage {
            is_cut,
            ..TurnUsage::default()
        };
        for call in usage {
            all.input_tokens += call.input_tokens + call.cache_read_tokens + call.cache_write_tokens;
            all.cached_tokens += call.cache_read_tokens;
            all.output_tokens += call.output_tokens;
            all.is_estimated |= call.is_estimated;
        }
        self.running.used(all);
    }

    /// Keeps the end, again and again while Postgres is away for a moment.
    async fn keep_end(&self, ended: Ended) -> Result<chrono::DateTime<chrono::Utc>, Fault> {
        let began = Instant::now();
        let mut is_doubtful = false;
        let end = Arc::new((Wanted::clone(&self.wanted), ended));
        loop {
            match self.game.ends.write(Arc::clone(&end)).await {
                Ok(Some(finished_at)) => return Ok(finished_at),
                Ok(None) if is_doubtful => return self.kept_by_lost_answer(&end.1).await,
                Ok(None) => {
                    self.keep_usage(&end.1);
                    return Err(lease_lost());
                }
                Err(fault @ (PostgresFault::Lost(_) | PostgresFault::Busy)) => {
                    // The commit may have happened although its answer got lost.
                    is_doubtful = true;
                    if began.elapsed() > KEEP_TRYING {
                        return Err(fault.into());
                    }
                    tokio::time::sleep(Duration::from_millis(150)).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// The end is somebody else's to keep, but these calls were ours.
    fn keep_usage(&self, ended: &Ended) {
        let persona = self.persona.get().cloned().unwrap_or_default();
        metering::keep(&self.game, &self.wanted, persona, ended.usage.clone());
    }

    async fn kept_by_lost_answer(&self, ended: &Ended) -> Result<chrono::DateTime<chrono::Utc>, Fault> {
        let Wanted {
            player,
            conversation,
            turn,
            ..
        } = *self.wanted;
        let kept = store::turns::find(&self.game.postgres, player, conversation, turn).await?;
        let same = |kept: &Turn| kept.reply.as_ref().map(|reply| &reply.text) == ended.reply.as_ref().map(|r| &r.text);
        kept.filter(|kept| kept.state == ended.state && same(kept))
            .and_then(|kept| kept.finished_at)
            .ok_or_else(lease_lost)
    }

    /// Gives the turn back, so that whoever sends it again need not wait for the lease to run out.
    async fn interrupt(&self, ended: Ended) {
        let end = Arc::new((Wanted::clone(&self.wanted), ended));
        match self.game.ends.write(Arc::clone(&end)).await {
            Ok(Some(_)) => {}
            Ok(None) => self.keep_usage(&end.1),
            Err(fault) => {
                let chain = gaia_service::telemetry::chain(&fault);
                tracing::warn!(turn = %self.wanted.turn, error = %chain, "a turn could not be given back: {chain}");
            }
        }
    }

    async fn while_alive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut alive = ticks();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = alive.tick() => self.running.alive().await,
            }
        }
    }

    /// Counts how the turn ended.
    pub(super) fn count(&self, outcome: &Result<Turn, Fault>) {
        let outcome = match outcome {
            Ok(turn) if turn.state == TurnState::Cancelled => "cancelled",
            Ok(_) => "done",
            Err(fault) => fault.code.as_str(),
        };
        let labels = [
            ("game", self.game.id.to_string()),
            ("persona", self.persona.get().cloned().unwrap_or_default()),
            ("outcome", outcome.to_owned()),
        ];
        metrics::counter!("gaia_chat_turns_total", &labels).increment(1);
    }
}

/// Whether a reply that was begun early answers the turn that was claimed.
fn fits(early: &Speech, claimed: &Claimed) -> bool {
    let context = &early.question.context;
    !claimed.is_again && context.last + 1 == claimed.sequence && context.persona.as_str() == claimed.persona
}

fn ticks() -> tokio::time::Interval {
    let mut alive = interval_at(tokio::time::Instant::now() + ALIVE, ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive
}

fn lease_lost() -> Fault {
    ErrorCode::TurnInterrupted.into()
}
