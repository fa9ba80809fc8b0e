//! Whoever keeps a budget in the background: settles what has ended, sees to it that the ledger has it, enters what was
//! left behind, and makes the counters again when they are not whole.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;
use gaia_protocol::bundle::Budget as Limits;
use gaia_service::{postgres::PostgresFault, redis::RedisLost, telemetry::chain};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Budget,
    counters::{Change, Settled},
    held::Settlement,
    rebuild::{self, RebuildFault},
    warnings::{self, Crossed},
};
use crate::{
    game::Game,
    store::{
        claims::UsageRow,
        ledger::{self, Entry, Reservation, provider_word},
    },
    turns,
};

/// How often things are looked after when nobody asks for it.
const LOOK: Duration = Duration::from_secs(1);
/// How soon after a failure they are looked after again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long after a game has got a budget its counters are made once more: by then every process has heard of it.
const ONCE_MORE: Duration = Duration::from_secs(60);
/// How many calls are settled or entered at once.
const AT_ONCE: usize = 200;
/// How many settlements wait for a Redis that is away. What was not settled is entered when its time is over.
const MOST_UNSETTLED: usize = 16_384;

/// Why something could not be looked after.
#[derive(Debug, thiserror::Error)]
enum LookFault {
    #[error("the counters cannot be read")]
    Redis(#[from] RedisLost),
    #[error("the ledger cannot be written")]
    Postgres(#[from] PostgresFault),
    #[error("the counters cannot be made again")]
    Rebuild(#[from] RebuildFault),
    #[error("the counters are just being made again")]
    NotWhole,
}

struct Keeper {
    game: Arc<Game>,
    budget: Arc<Budget>,
    /// What Redis has not been told.
    unsettled: Vec<Settlement>,
    /// What has ended and may not be in the ledger.
    ended: VecDeque<(Instant, Settlement)>,
    /// What nobody has been told.
    untold: Vec<Crossed>,
    had_budget: bool,
    looked: Option<Instant>,
    once_more: Option<Instant>,
    was_well: bool,
}

/// Begins to keep a game's budget. Returns when the counters have been looked after for the first time.
pub(crate) async fn keep(game: &Arc<Game>) {
    let incoming = game
        .budget
        .incoming
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(incoming) = incoming else { return };
    let mut keeper = Keeper {
        game: Arc::clone(game),
        budget: Arc::clone(&game.budget),
        unsettled: Vec::new(),
        ended: VecDeque::new(),
        untold: Vec::new(),
        had_budget: game.bundle.now().bundle.has_budget(),
        looked: None,
        once_more: None,
        was_well: true,
    };
    keeper.look().await;
    game.tasks.spawn(keeper.run(incoming));
}

impl Keeper {
    async fn run(mut self, mut incoming: mpsc::Receiver<Settlement>) {
        let game = Arc::clone(&self.game);
        let mut over = std::pin::pin!(async {
            tokio::select! {
                () = game.tasks.stopping() => {}
                () = turns::drained(&game) => {}
            }
        });
        loop {
            let mut settlements = Vec::new();
            let woken = async {
                // However often we are woken, stores that are away are not asked in a tight loop.
                tokio::time::sleep(if self.was_well { Duration::ZERO } else { PAUSE }).await;
                self.budget.wake.notified().await;
            };
            tokio::select! {
                biased;
                () = &mut over => break,
                _ = incoming.recv_many(&mut settlements, AT_ONCE) => {}
                () = woken => self.looked = None,
                () = tokio::time::sleep(LOOK) => self.looked = None,
            }
            self.settle(settlements).await;
            if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                self.look().await;
            }
        }
        self.finish(incoming).await;
    }

    /// The last calls have ended, and so have their turns.
    async fn finish(mut self, mut incoming: mpsc::Receiver<Settlement>) {
        let mut settlements = Vec::new();
        while let Ok(settlement) = incoming.try_recv() {
            settlements.push(settlement);
        }
        self.settle(settlements).await;
        while !self.ended.is_empty() {
            let due = self.ended.len().min(AT_ONCE);
            if let Err(fault) = self.enter(due).await {
                let (count, chain) = (self.ended.len(), chain(&fault));
                tracing::warn!(count, error = %chain, "{count} calls are left to be entered later: {chain}");
                return;
            }
            if let Err(fault) = self.settle_again(due).await {
                tracing::debug!(error = %chain(&fault), "what the counters still hold leaves them when its time is over");
            }
            self.ended.drain(..due);
        }
    }

    async fn look(&mut self) {
        self.looked = Some(Instant::now());
        let looked = self.look_after().await;
        if let Err(fault) = &looked
            && self.was_well
        {
            let (game, chain) = (&self.game.id, chain(fault));
            tracing::warn!(game.name = %game, error = %chain, "the budget of `{game}` cannot be kept just now: {chain}");
        }
        self.was_well = looked.is_ok();
    }

    async fn look_after(&mut self) -> Result<(), LookFault> {
        if self.has_budget() {
            self.see_to_counters().await?;
            let unsettled = std::mem::take(&mut self.unsettled);
            self.settle(unsettled).await;
            if *self.budget.is_whole.borrow() {
                self.sweep().await?;
            }
            self.tell().await?;
        }
        loop {
            let is_due = |ended: &&(Instant, Settlement)| ended.0.elapsed() >= self.budget.options.turns_time;
            let due = self.ended.iter().take(AT_ONCE).take_while(is_due).count();
            if due == 0 {
                return Ok(());
            }
            self.enter(due).await?;
            self.settle_again(due).await?;
            self.ended.drain(..due);
        }
    }

    /// Whether there is one now. One that comes begins with what the ledger says.
    fn has_budget(&mut self) -> bool {
        let has = self.game.bundle.now().bundle.has_budget();
        if has != self.had_budget {
            self.budget.must_rebuild.store(true, Ordering::Release);
            self.budget.is_whole.send_replace(false);
            self.once_more = has.then(|| Instant::now() + ONCE_MORE);
        }
        self.had_budget = has;
        has
    }

    async fn see_to_counters(&mut self) -> Result<(), LookFault> {
        let budget = Arc::clone(&self.budget);
        if self.once_more.is_some_and(|at| at <= Instant::now()) {
            self.once_more = None;
            budget.must_rebuild.store(true, Ordering::Release);
        }
        let must_rebuild = budget.must_rebuild.swap(false, Ordering::AcqRel);
        let seen = async {
            if !must_rebuild && budget.counters.marker().await?.is_some() {
                return Ok(true);
            }
            budget.is_whole.send_replace(false);
            let Some(spent) = rebuild::rebuild(&budget).await? else {
                // Somebody else does it, perhaps without what we know.
                return Ok(!must_rebuild && budget.counters.marker().await?.is_some());
            };
            self.crossed(&spent, budget.today());
            metrics::counter!("gaia_chat_budget_rebuilt_total", "game" => self.game.id.to_string()).increment(1);
            tracing::info!(game.name = %self.game.id, "the budget of `{}` is counted from the ledger", self.game.id);
            Ok(true)
        };
        // A Redis that could not be asked may come back with an older state.
        let is_whole = seen.await.inspect_err(|_: &LookFault| {
            budget.must_rebuild.store(true, Ordering::Release);
            budget.is_whole.send_replace(false);
        })?;
        if !is_whole && must_rebuild {
            budget.must_rebuild.store(true, Ordering::Release);
        }
        // Who doubted meanwhile is not overruled.
        let is_whole = is_whole && !budget.must_rebuild.load(Ordering::Acquire);
        budget
            .is_whole
            .send_if_modified(|known| std::mem::replace(known, is_whole) != is_whole);
        Ok(())
    }

    /// Takes what was set aside for calls out of the counters, and puts in what they did cost.
    async fn settle(&mut self, settlements: Vec<Settlement>) {
        for some in in_parts(settlements) {
            let budget = &self.budget;
            let settled = join_all(some.iter().map(async |settlement| {
                let cost = settlement.usage.as_ref().map_or(0, |usage| usage.cost_micros);
                let epoch = settlement.epoch.as_ref()?;
                Some(budget.counters.settle(&settlement.reservation, epoch, cost).await)
            }))
            .await;
            for (settlement, settled) in some.into_iter().zip(settled) {
                match settled {
                    None | Some(Ok(Settled::Gone)) => {}
                    Some(Ok(Settled::Now(changes))) => self.crossed(&changes, settlement.reservation.day),
                    // What was never called is in no ledger, and so in no counters that were made from it.
                    Some(Ok(Settled::Unseen)) if settlement.usage.is_none() => {}
                    Some(Ok(Settled::Unseen)) => self.budget.distrust(),
                    Some(Ok(Settled::NotWhole)) => {
                        self.budget.doubt();
                        self.unsettled.push(settlement);
                        continue;
                    }
                    Some(Err(_)) => {
                        self.budget.distrust();
                        self.unsettled.push(settlement);
                        continue;
                    }
                }
                self.ended.push_back((Instant::now(), settlement));
            }
        }
        let over = self.unsettled.len().saturating_sub(MOST_UNSETTLED);
        self.unsettled.drain(..over);
    }

    /// Sees to it that the ledger has the first `due` of those that have ended, and that Postgres sets nothing aside for
    /// those of them that were never called.
    async fn enter(&self, due: usize) -> Result<(), PostgresFault> {
        let due = || self.ended.range(..due).map(|(_, settlement)| settlement);
        let entries: Vec<_> = due().filter_map(Settlement::entry).collect();
        ledger::enter(&self.budget.postgres, &entries).await?;
        let never_called = due().filter(|settlement| settlement.usage.is_none());
        let ids: Vec<Uuid> = never_called.map(|settlement| settlement.reservation.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        ledger::release(&self.budget.postgres, &ids).await
    }

    /// Counters that were made again after a call had left them, and before the ledger had it, have set it aside once more.
    async fn settle_again(&mut self, due: usize) -> Result<(), LookFault> {
        let has_epoch = |(_, settlement): &(Instant, Settlement)| settlement.epoch.is_some();
        if !self.had_budget || !self.ended.range(..due).any(has_epoch) {
            return Ok(());
        }
        let counters = &self.budget.counters;
        let marker = counters.marker().await?.ok_or(LookFault::NotWhole)?;
        let mut crossed = Vec::new();
        for (_, settlement) in self.ended.range(..due) {
            if settlement.epoch.as_ref().is_none_or(|epoch| *epoch == marker) {
                continue;
            }
            let cost = settlement.usage.as_ref().map_or(0, |usage| usage.cost_micros);
            match counters.settle(&settlement.reservation, "", cost).await? {
                Settled::Now(changes) => crossed.push((changes, settlement.reservation.day)),
                Settled::NotWhole => return Err(LookFault::NotWhole),
                Settled::Gone | Settled::Unseen => {}
            }
        }
        for (changes, day) in crossed {
            self.crossed(&changes, day);
        }
        Ok(())
    }

    /// Enters what was set aside and left behind.
    async fn sweep(&mut self) -> Result<(), LookFault> {
        let mut left = ledger::expired(&self.budget.postgres).await?;
        for held in self.budget.counters.expired(self.budget.today()).await? {
            if !left.iter().any(|one| one.id == held.id) {
                left.push(held);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = left.iter().map(at_worst).collect();
        let entered = ledger::enter(&self.budget.postgres, &entries).await?;
        for reservation in &left {
            let Some(entered) = entered.iter().find(|one| one.reservation == Some(reservation.id)) else {
                continue;
            };
            match self
                .budget
                .counters
                .settle(reservation, "", entered.cost_micros)
                .await?
            {
                Settled::Now(changes) => self.crossed(&changes, reservation.day),
                // The ledger has something that the counters may not have.
                _ if entered.is_new => self.budget.distrust(),
                _ => {}
            }
        }
        let (game, count) = (&self.game.id, left.len());
        tracing::info!(game.name = %game, count, "{count} calls of `{game}` that were left behind are in the ledger");
        Ok(())
    }

    /// Notes what somebody should be told.
    fn crossed(&mut self, changes: &[Change], day: chrono::NaiveDate) {
        let Limits { per_day, per_month, .. } = self.game.bundle.now().bundle.budget;
        for (change, limit) in changes.iter().zip([per_day, per_month]) {
            self.untold.extend(Crossed::by(*change, day, limit));
        }
        if !self.untold.is_empty() {
            self.looked = None;
        }
    }

    async fn tell(&mut self) -> Result<(), PostgresFault> {
        while let Some(crossed) = self.untold.first() {
            warnings::tell(&self.game, crossed).await?;
            self.untold.remove(0);
        }
        let spent = self.budget.untold();
        for crossed in spent {
            warnings::tell(&self.game, &crossed).await?;
            self.budget.told(&crossed);
        }
        Ok(())
    }
}

impl Settlement {
    /// What the ledger is to have of it.
    fn entry(&self) -> Option<Entry> {
        Some(Entry {
            usage: self.usage.clone()?,
            player: self.reservation.player,
            persona: self.reservation.persona.clone(),
        })
    }
}

/// What a call can have cost of which nobody knows more.
fn at_worst(reservation: &Reservation) -> Entry {
    Entry {
        usage: UsageRow {
            id: Uuid::now_v7(),
            turn: reservation.turn,
            route: reservation.route.clone(),
            provider: provider_word(reservation.provider),
            model: reservation.model.clone(),
            input_tokens: 0,
            output_tokens: 0,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            is_estimated: true,
            milliseconds: 0,
            day: reservation.day,
            cost_micros: reservation.worst_micros,
            reservation: Some(reservation.id),
        },
        player: reservation.player,
        persona: reservation.persona.clone(),
    }
}

fn in_parts(mut settlements: Vec<Settlement>) -> Vec<Vec<Settlement>> {
    let mut parts = Vec::new();
    while !settlements.is_empty() {
        let rest = settlements.split_off(settlements.len().min(AT_ONCE));
        parts.push(std::mem::replace(&mut settlements, rest));
    }
    parts
}
