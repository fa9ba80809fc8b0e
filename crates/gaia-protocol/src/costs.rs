//! What a game's models cost: the question that `gaia costs` asks, and what is told when a budget runs low.

use chrono::{DateTime, NaiveDate, Utc};
use gaia_names::Service;
use serde::{Deserialize, Serialize};

use crate::Request;

/// The most rows that an answer holds.
pub const MOST_ROWS: usize = 1_000;

/// What costs are added up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The day, in UTC.
    #[default]
    Day,
    /// The persona.
    Persona,
    /// The route of the game's config.
    Route,
    /// The provider's model.
    Model,
    /// The player; those who have been forgotten are one.
    Player,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Day, Self::Persona, Self::Route, Self::Model, Self::Player];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Persona => "persona",
            Self::Route => "route",
            Self::Model => "model",
            Self::Player => "player",
        }
    }
}

/// What a game's models cost. Only the cluster's admin API asks this.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadCosts {
    /// From which day on, in UTC; absent for the first of this month.
    pub since: Option<NaiveDate>,
    /// What to add up by.
    #[serde(default)]
    pub by: By,
}

impl Request for ReadCosts {
    type Reply = Costs;
    const SERVICE: Service = Service::Chat;
    const VERB: &'static str = "costs.read.v1";
}

/// What a game's models cost. Amounts are whole millionths of a US dollar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Costs {
    /// The first day, in UTC.
    pub since: NaiveDate,
    /// The last day: today, in UTC.
    pub until: NaiveDate,
    /// What the rows are added up by.
    pub by: By,
    /// Days in their order, everything else dearest first.
    pub rows: Vec<CostsRow>,
    /// Whether there are more rows than an answer holds. The total has them all.
    pub is_cut: bool,
    /// All of it.
    pub total: CostsRow,
    /// The budget's periods, as they stand now.
    pub spending: Vec<Spending>,
}

/// What some calls cost together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CostsRow {
    /// Which: a day, or a name. Empty for the total and for players who have been forgotten.
    pub key: String,
    /// How many calls.
    pub calls: u64,
    /// Tokens read afresh.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from providers' caches.
    pub cache_read_tokens: u64,
    /// Tokens put into providers' caches.
    pub cache_write_tokens: u64,
    /// How many of the calls are estimated, because the provider did not tell.
    pub estimated_calls: u64,
    /// What they cost.
    pub cost_micros: u64,
    /// How much of that is estimated.
    pub estimated_micros: u64,
}

/// A period that a budget may bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// A day of the calendar, in UTC.
    Day,
    /// A month of the calendar, in UTC.
    Month,
}

impl Period {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// What a game has spent in the period that runs. Amounts are whole millionths of a US dollar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Spending {
    /// Which period.
    pub period: Period,
    /// What calls have cost.
    pub spent_micros: u64,
    /// What calls that run just now may cost at most.
    pub reserved_micros: u64,
    /// The budget; absent where there is none.
    pub limit_micros: Option<u64>,
}

impl Spending {
    /// What may still be spent: nothing is reserved or owed of it. None where there is no budget.
    #[must_use]
    pub fn remaining_micros(&self) -> Option<u64> {
        let taken = self.spent_micros.saturating_add(self.reserved_micros);
        Some(self.limit_micros?.saturating_sub(taken))
    }
}

/// A budget runs low. Told once for each period, limit and percentage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetWarning {
    /// Which period.
    pub period: Period,
    /// Its first day.
    pub began: NaiveDate,
    /// 50, 80 or 100. At 100 what is left does not cover another call.
    pub percent: u8,
    /// What had been spent, in millionths of a US dollar.
    pub spent_micros: u64,
    /// The budget, in millionths of a US dollar.
    pub limit_micros: u64,
    /// When it was noticed.
    pub at: DateTime<Utc>,
}
