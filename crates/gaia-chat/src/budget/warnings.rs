//! Telling that a budget runs low: once for each period, limit and percentage.

use chrono::NaiveDate;
use gaia_protocol::{
    costs::{BudgetWarning, Period},
    money::dollars,
    subjects,
};
use gaia_service::postgres::PostgresFault;

use super::{began, counters::Change};
use crate::{game::Game, store::events};

/// At how many percent of a budget somebody is told.
const PERCENTAGES: [u8; 3] = [50, 80, 100];
/// What such an event is called.
const KIND: &str = "budget";

/// A part of a budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossed {
    pub(super) period: Period,
    pub(super) began: NaiveDate,
    pub(super) percent: u8,
    pub(super) spent_micros: u64,
    pub(super) limit_micros: u64,
}

impl Crossed {
    /// The parts of a budget that a change has crossed. `day` is one of the period.
    pub(super) fn by(change: Change, day: NaiveDate, limit: Option<u64>) -> Vec<Self> {
        let limit_micros = limit.unwrap_or(0);
        let level = |percent: u8| (u128::from(limit_micros) * u128::from(percent)).div_ceil(100);
        let is_crossed = |percent: &u8| {
            let level = level(*percent);
            level > 0 && u128::from(change.before) < level && level <= u128::from(change.after)
        };
        let crossed = |percent| Self {
            period: change.period,
            began: began(change.period, day),
            percent,
            spent_micros: change.after,
            limit_micros,
        };
        PERCENTAGES.into_iter().filter(is_crossed).map(crossed).collect()
    }

    /// What makes it the same.
    pub(super) fn key(&self) -> String {
        let Self {
            period,
            began,
            percent,
            limit_micros,
            ..
        } = self;
        format!("{}:{began}:{percent}:{limit_micros}", period.as_str())
    }

    fn in_words(&self, game: &Game) -> String {
        let (spent, limit) = (dollars(self.spent_micros), dollars(self.limit_micros));
        let (game, period) = (&game.id, self.period.as_str());
        match self.percent {
            100 => {
                format!("the budget of `{game}` for the {period} is spent: {spent} of {limit}; only free routes answer")
            }
            percent => format!("`{game}` has spent {percent}% of its budget for the {period}: {spent} of {limit}"),
        }
    }
}

/// Keeps the event, and tells everybody if it is new.
pub(super) async fn tell(game: &Game, crossed: &Crossed) -> Result<(), PostgresFault> {
    let warning = BudgetWarning {
        period: crossed.period,
        began: crossed.began,
        percent: crossed.percent,
        spent_micros: crossed.spent_micros,
        limit_micros: crossed.limit_micros,
        at: game.budget.options.clock.now(),
    };
    if !events::add(&game.postgres, KIND, &crossed.key(), &warning).await? {
        return Ok(());
    }
    let words = crossed.in_words(game);
    let Crossed { percent, period, .. } = crossed;
    tracing::warn!(game.name = %game.id, budget.percent = percent, budget.period = period.as_str(), "{words}");
    let labels = [
        ("game", game.id.to_string()),
        ("period", period.as_str().to_owned()),
        ("percent", percent.to_string()),
    ];
    metrics::counter!("gaia_chat_budget_warnings_total", &labels).increment(1);
    // The row is what must not be lost; whoever listens hears it if NATS is there.
    let _ = game.bus.tell(subjects::budget_events(&game.id), &warning).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentages(before: u64, after: u64, limit: Option<u64>) -> String {
        let change = Change {
            period: Period::Month,
            before,
            after,
        };
        let day = "2026-03-17".parse().unwrap();
        let crossed = Crossed::by(change, day, limit);
        assert!(crossed.iter().all(|one| one.began.to_string() == "2026-03-01"));
        let percentages: Vec<_> = crossed.iter().map(|crossed| crossed.percent.to_string()).collect();
        percentages.join(" ")
    }

    #[test]
    fn a_part_of_a_budget_is_crossed_once_on_the_way_up() {
        assert_eq!(percentages(0, 49, Some(100)), "");
        assert_eq!(percentages(49, 50, Some(100)), "50");
        assert_eq!(percentages(50, 79, Some(100)), "");
        assert_eq!(percentages(10, 500, Some(100)), "50 80 100");
        assert_eq!(percentages(500, 900, Some(100)), "");
        assert_eq!(
            percentages(0, 0, Some(0)),
            "",
            "nothing is crossed where nothing may be spent"
        );
        assert_eq!(percentages(0, 9, None), "");
        assert_eq!(percentages(0, 1, Some(1)), "50 80 100");
    }
}
