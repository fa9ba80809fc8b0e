//! The budget: before a call, the most that it can cost is set aside; afterwards, what it did cost is entered.
//!
//! Redis counts what is spent and set aside (`counters`), because that must be asked before each call, in one round trip.
//! Postgres has the ledger and a row for all that is set aside. These rules keep the two in step:
//!
//! - Nothing is set aside while the counters are not known to be whole: where their marker is missing, where Redis could
//!   not be asked, and from the start until they have been made again. Who sees it makes them again from Postgres
//!   (`rebuild`); meanwhile only what costs nothing is called.
//! - Each reservation has an id. It leaves the counters once, whoever settles it, and the ledger takes it once. Counters
//!   that are made again between the two set it aside once more, until the ledger certainly has it.
//! - What a process leaves behind when it dies is entered, when its time is over, at what it can have cost at most: a
//!   provider may have been called and will want to be paid. What was not called is given back at once.
//! - A game without a budget asks nobody; its calls are only entered.

mod counters;
mod held;
mod keeper;
mod rebuild;
mod warnings;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use gaia_names::{GameId, InstanceId, PlayerId, TurnId};
use gaia_protocol::{
    bundle::{Bundle, Persona, Route},
    costs::{Period, Spending},
    money::Price,
};
use gaia_service::{Postgres, Redis, Tasks};
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

use self::{
    counters::{Answer, Counters, Limits},
    held::{Asking, Settlement},
    warnings::Crossed,
};
pub(crate) use self::{
    held::{Held, guess},
    keeper::keep,
};
use crate::store::{Batches, ledger};

/// How long a call waits for counters that are just being made again.
const WAIT: Duration = Duration::from_millis(250);
/// How long what is set aside waits for more of it, so that Postgres is told of many at once. A call that is over by then
/// is in the ledger, and costs Postgres nothing more.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// How many ended calls wait for being settled. More than that are settled when their time is over.
const WAITING_SETTLEMENTS: usize = 16_384;

/// What time it is. Tests bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// A clock that is asked whenever somebody wants to know.
    pub fn new(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The day in UTC.
    pub(crate) fn today(&self) -> NaiveDate {
        self.now().date_naive()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

/// How budgets are kept.
#[derive(Clone)]
pub struct BudgetOptions {
    /// Which day it is.
    pub clock: Clock,
    /// How long a call may run before it is taken for lost and entered at what it can have cost at most, in seconds.
    /// Longer than any reply may take.
    pub reservation_seconds: u32,
    /// How long the turn of a call that has ended may take to enter it into the ledger, before that is done for it.
    pub turns_time: Duration,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self {
            clock: Clock::new(Utc::now),
            reservation_seconds: 300,
            turns_time: Duration::from_secs(15),
        }
    }
}

/// One game's budget at this process.
pub(crate) struct Budget {
    game: GameId,
    instance: InstanceId,
    options: BudgetOptions,
    postgres: Postgres,
    counters: Counters,
    set_aside: Batches<(ledger::Reservation, u32), ()>,
    settlements: mpsc::Sender<Settlement>,
    /// What comes in there; whoever keeps the budget takes it.
    incoming: Mutex<Option<mpsc::Receiver<Settlement>>>,
    /// Whether the counters are known to be whole.
    is_whole: watch::Sender<bool>,
    /// They are not whole even where the marker is there.
    must_rebuild: AtomicBool,
    /// Wakes whoever keeps the budget.
    wake: Notify,
    /// Budgets that were found to be spent, with whether that has been told.
    spent: Mutex<Vec<(Crossed, bool)>>,
    tasks: Tasks,
}

/// A call that is about to be made.
pub(crate) struct Call<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) persona: &'a Persona,
    pub(crate) route: &'a Route,
    pub(crate) player: PlayerId,
    pub(crate) turn: TurnId,
    /// How long what is sent is, in bytes.
    pub(crate) prompt_bytes: usize,
    /// How many tokens that can be at most.
    pub(crate) most_input: u64,
}

/// Why a call must not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    /// The game's day.
    #[error("what is left of the game's budget for the day does not cover a call")]
    Day,
    /// The game's month.
    #[error("what is left of the game's budget for the month does not cover a call")]
    Month,
    /// The persona's day.
    #[error("what is left of the character's budget for the day does not cover a call")]
    Persona,
    /// The player's day.
    #[error("what is left of the player's budget for the day does not cover a call")]
    Player,
    /// Redis is away or has just come back.
    #[error("it is not known what has been spent, because redis is away or has just come back")]
    Unknown,
}

impl Exhausted {
    /// A short name, for metrics.
    const fn scope(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Persona => "persona",
            Self::Player => "player",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the whole game cannot call, and not one character or player alone.
    pub(crate) const fn is_of_game(self) -> bool {
        matches!(self, Self::Day | Self::Month | Self::Unknown)
    }
}

impl Budget {
    pub(crate) fn new(
        (game, instance): (&GameId, InstanceId),
        postgres: &Postgres,
        redis: &Redis,
        tasks: &Tasks,
        options: BudgetOptions,
    ) -> Self {
        let (settlements, incoming) = mpsc::channel(WAITING_SETTLEMENTS);
        Self {
            game: game.clone(),
            instance,
            options,
            postgres: postgres.clone(),
            counters: Counters::new(game, redis),
            set_aside: Batches::every(TOLD_EVERY, postgres, tasks, |postgres, reservations| {
                Box::pin(ledger::set_aside(postgres, reservations))
            }),
            settlements,
            incoming: Mutex::new(Some(incoming)),
            is_whole: watch::Sender::new(false),
            // The process before this one may have had no budget, or another one.
            must_rebuild: AtomicBool::new(true),
            wake: Notify::new(),
            spent: Mutex::default(),
            tasks: tasks.clone(),
        }
    }

    /// Sets aside the most that a call can cost. Whoever calls tells the answer what was used.
    ///
    /// # Errors
    ///
    /// Where that would go past a limit, or where nobody knows.
    pub(crate) async fn reserve(self: &Arc<Self>, call: &Call<'_>) -> Result<Held, Exhausted> {
        let day = self.options.clock.today();
        let price = Price::on(&call.route.prices, day);
        let worst_micros = price.most(call.most_input, call.persona.limits.reply_tokens.into());
        let reservation = ledger::Reservation {
            id: Uuid::now_v7(),
            turn: call.turn,
            player: Some(call.player),
            persona: call.persona.id.to_string(),
            route: call.route.name.clone(),
            provider: call.route.provider,
            model: call.route.model.clone(),
            day,
            worst_micros,
        };
        let asking = Asking::new(self, reservation, price, call.prompt_bytes);
        if worst_micros == 0 || !call.bundle.has_budget() {
            return Ok(asking.unreserved());
        }
        let reserved = self.ask(asking, &Limits::of(call)).await;
        if let Err(why) = &reserved {
            let labels = [
                ("game", self.game.to_string()),
                ("route", call.route.name.clone()),
                ("scope", why.scope().to_owned()),
            ];
            metrics::counter!("gaia_chat_reservations_refused_total", &labels).increment(1);
        }
        reserved
    }

    async fn ask(self: &Arc<Self>, asking: Asking, limits: &Limits) -> Result<Held, Exhausted> {
        for is_last in [false, true] {
            if !*self.is_whole.borrow() && !self.wait().await {
                break;
            }
            let answer = self.counters.reserve(asking.reservation(), limits, &self.options).await;
            match answer {
                Ok(Answer::Reserved(epoch)) => return Ok(asking.reserved(epoch)),
                Ok(Answer::Refused(why, spent)) => {
                    self.note_spent(why, spent, asking.reservation(), limits);
                    asking.refused();
                    return Err(why);
                }
                Ok(Answer::NotWhole) if is_last => break,
                Ok(Answer::NotWhole) => self.doubt(),
                // It may have been set aside all the same, so it is given back.
                Err(_) => {
                    self.distrust();
                    drop(asking);
                    return Err(Exhausted::Unknown);
                }
            }
        }
        asking.refused();
        Err(Exhausted::Unknown)
    }

    /// Waits a moment for the counters to be whole; true if they are.
    async fn wait(&self) -> bool {
        self.wake.notify_one();
        let mut is_whole = self.is_whole.subscribe();
        let whole = is_whole.wait_for(|is_whole| *is_whole);
        tokio::time::timeout(WAIT, whole).await.is_ok_and(|whole| whole.is_ok())
    }

    /// The counters' marker is missing.
    fn doubt(&self) {
        self.is_whole.send_replace(false);
        self.wake.notify_one();
    }

    /// The counters may not be whole, whatever their marker says.
    fn distrust(&self) {
        self.must_rebuild.store(true, Ordering::Release);
        self.doubt();
    }

    /// What has been spent leaves no room for a call, whatever comes back of what is set aside.
    fn note_spent(&self, why: Exhausted, spent_micros: u64, reservation: &ledger::Reservation, limits: &Limits) {
        let (period, limit) = match why {
            Exhausted::Day => (Period::Day, limits.day),
            Exhausted::Month => (Period::Month, limits.month),
            Exhausted::Persona | Exhausted::Player | Exhausted::Unknown => return,
        };
        let Some(limit_micros) = limit.filter(|limit| spent_micros.saturating_add(reservation.worst_micros) > *limit)
        else {
            return;
        };
        let crossed = Crossed {
            period,
            began: began(period, reservation.day),
            percent: 100,
            spent_micros,
            limit_micros,
        };
        let mut spent = self.spent();
        let is_same = |known: &Crossed| {
            (known.period, known.began, known.limit_micros) == (crossed.period, crossed.began, crossed.limit_micros)
        };
        if !spent.iter().any(|(known, _)| is_same(known)) {
            // Periods that are over are not asked about any more.
            spent.retain(|(known, is_told)| !is_told || known.period != period);
            spent.push((crossed, false));
            self.wake.notify_one();
        }
    }

    /// What was found to be spent and has not been told.
    fn untold(&self) -> Vec<Crossed> {
        let spent = self.spent();
        spent
            .iter()
            .filter(|(_, is_told)| !is_told)
            .map(|(crossed, _)| *crossed)
            .collect()
    }

    /// It has been told.
    fn told(&self, crossed: &Crossed) {
        for (known, is_told) in self.spent().iter_mut() {
            *is_told |= known == crossed;
        }
    }

    fn spent(&self) -> MutexGuard<'_, Vec<(Crossed, bool)>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is spent and set aside, as the counters have it; nothing where there is no budget or no answer.
    pub(crate) async fn spending(&self, bundle: &Bundle) -> Vec<Spending> {
        if !bundle.has_budget() || !*self.is_whole.borrow() {
            return Vec::new();
        }
        let day = self.options.clock.today();
        let Ok(counted) = self.counters.counted(day).await else {
            return Vec::new();
        };
        spending(bundle, counted)
    }

    /// The same, as the ledger has it.
    ///
    /// # Errors
    ///
    /// Where Postgres does not answer.
    pub(crate) async fn ledger_spending(
        &self,
        bundle: &Bundle,
    ) -> Result<Vec<Spending>, gaia_service::postgres::PostgresFault> {
        let day = self.options.clock.today();
        let counted = ledger::spending(&self.postgres, day, began(Period::Month, day)).await?;
        Ok(spending(bundle, counted))
    }

    pub(crate) fn today(&self) -> NaiveDate {
        self.options.clock.today()
    }
}

fn spending(bundle: &Bundle, counted: [(u64, u64); 2]) -> Vec<Spending> {
    let periods = [
        (Period::Day, bundle.budget.per_day),
        (Period::Month, bundle.budget.per_month),
    ];
    let spending = |((period, limit_micros), (spent_micros, reserved_micros))| Spending {
        period,
        spent_micros,
        reserved_micros,
        limit_micros,
    };
    periods.into_iter().zip(counted).map(spending).collect()
}

/// The first day of the period that a day is in.
pub(crate) fn began(period: Period, day: NaiveDate) -> NaiveDate {
    match period {
        Period::Day => day,
        Period::Month => day.with_day(1).unwrap_or(day),
    }
}
