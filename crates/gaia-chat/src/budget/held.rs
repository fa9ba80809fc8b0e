//! What is set aside for one call, from the wish to the bill. Whatever happens to the call, dropping this settles it.

use std::{sync::Arc, time::Instant};

use chrono::NaiveDate;
use gaia_protocol::money::{Price, Tokens};
use uuid::Uuid;

use super::Budget;
use crate::store::{
    claims::UsageRow,
    ledger::{Reservation, provider_word},
};

/// A wish to set something aside. Dropped while nobody knows what became of it, it is taken back.
pub(super) struct Asking(Option<Terms>);

/// What a call is to be paid from.
struct Terms {
    budget: Arc<Budget>,
    reservation: Arc<Reservation>,
    price: Price,
    prompt_bytes: usize,
    began: Instant,
}

/// What is set aside for a call. Tell it what the call used, or that there was no call.
pub(crate) struct Held {
    terms: Terms,
    /// The epoch of the counters in which it is set aside; none where nothing had to be.
    epoch: Option<String>,
    bill: Bill,
}

enum Bill {
    /// The provider has been called and has told nothing.
    Unknown,
    /// The provider was never reached, or refused.
    Nothing,
    Known(UsageRow),
}

/// A call that has ended.
pub(super) struct Settlement {
    pub(super) reservation: Arc<Reservation>,
    pub(super) epoch: Option<String>,
    /// None: there was no call.
    pub(super) usage: Option<UsageRow>,
}

impl Asking {
    pub(super) fn new(budget: &Arc<Budget>, reservation: Reservation, price: Price, prompt_bytes: usize) -> Self {
        Self(Some(Terms {
            budget: Arc::clone(budget),
            reservation: Arc::new(reservation),
            price,
            prompt_bytes,
            began: Instant::now(),
        }))
    }

    pub(super) fn reservation(&self) -> &Reservation {
        let terms = self.0.as_ref().expect("it is taken only by what consumes it");
        &terms.reservation
    }

    /// Nothing has to be set aside.
    pub(super) fn unreserved(self) -> Held {
        self.held(None)
    }

    /// It is set aside. Postgres is told meanwhile.
    pub(super) fn reserved(self, epoch: String) -> Held {
        let held = self.held(Some(epoch));
        let budget = Arc::clone(&held.terms.budget);
        let row = (
            Reservation::clone(&held.terms.reservation),
            budget.options.reservation_seconds,
        );
        let tasks = budget.tasks.clone();
        tasks.spawn(async move {
            // Where this fails, the ledger still gets the call's bill; only a process and a Redis that are lost together
            // would lose it.
            if let Err(fault) = budget.set_aside.write(Arc::new(row)).await {
                let chain = gaia_service::telemetry::chain(&fault);
                tracing::warn!(game.name = %budget.game, error = %chain, "a reservation could not be kept: {chain}");
            }
        });
        held
    }

    /// It is not set aside, for certain.
    pub(super) fn refused(mut self) {
        self.0 = None;
    }

    fn held(mut self, epoch: Option<String>) -> Held {
        Held {
            terms: self.0.take().expect("it is taken only by what consumes it"),
            epoch,
            bill: Bill::Unknown,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(terms) = self.0.take() {
            terms.settle(Some(String::new()), None);
        }
    }
}

impl Held {
    /// The day of the budget.
    pub(crate) fn day(&self) -> NaiveDate {
        self.terms.reservation.day
    }

    /// Its id, where something is set aside.
    pub(crate) fn reservation(&self) -> Option<Uuid> {
        self.epoch.as_ref().map(|_| self.terms.reservation.id)
    }

    /// What tokens cost.
    pub(crate) fn cost(&self, tokens: &Tokens) -> u64 {
        self.terms.price.cost(tokens)
    }

    /// The provider was never reached, or refused the call: nothing is owed. It is given back before the next route wants
    /// to set something aside.
    pub(crate) async fn never_began(mut self) {
        self.bill = Bill::Nothing;
        let Terms {
            budget, reservation, ..
        } = &self.terms;
        if let Some(epoch) = &self.epoch
            && let Err(fault) = budget.counters.settle(reservation, epoch, 0).await
        {
            tracing::debug!(error = %fault, "it is given back later");
        }
    }

    /// The call is over, and this is its row in the ledger.
    pub(crate) fn settle(mut self, usage: UsageRow) {
        self.bill = Bill::Known(usage);
    }

    /// A provider that was called and given up without a word will want to be paid for what it has read.
    fn guessed(&self) -> UsageRow {
        let reservation = &self.terms.reservation;
        let tokens = Tokens {
            input: guess(self.terms.prompt_bytes),
            ..Tokens::default()
        };
        UsageRow {
            id: Uuid::now_v7(),
            turn: reservation.turn,
            route: reservation.route.clone(),
            provider: provider_word(reservation.provider),
            model: reservation.model.clone(),
            input_tokens: tokens.input,
            output_tokens: 0,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            is_estimated: true,
            milliseconds: u64::try_from(self.terms.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            day: reservation.day,
            cost_micros: self.cost(&tokens),
            reservation: self.reservation(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let usage = match std::mem::replace(&mut self.bill, Bill::Nothing) {
            Bill::Unknown => Some(self.guessed()),
            Bill::Nothing => None,
            Bill::Known(usage) => Some(usage),
        };
        self.terms.settle(self.epoch.take(), usage);
    }
}

impl Terms {
    fn settle(&self, epoch: Option<String>, usage: Option<UsageRow>) {
        let budget = &self.budget;
        let cost_micros = usage.as_ref().map_or(0, |usage| usage.cost_micros);
        if cost_micros > 0 {
            let labels = [
                ("game", budget.game.to_string()),
                ("persona", self.reservation.persona.clone()),
                ("route", self.reservation.route.clone()),
            ];
            metrics::counter!("gaia_chat_spent_micros_total", &labels).increment(cost_micros);
        }
        if epoch.is_none() && cost_micros == 0 {
            return;
        }
        let settlement = Settlement {
            reservation: Arc::clone(&self.reservation),
            epoch,
            usage,
        };
        // Where there is no room, its time will be over, and it is entered at what it can have cost at most.
        if budget.settlements.try_send(settlement).is_err() {
            tracing::warn!(game.name = %budget.game, "a call could not be settled at once");
        }
    }
}

/// Four bytes a token is what English comes to.
pub(crate) fn guess(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}
