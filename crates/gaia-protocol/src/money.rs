//! Money: whole millionths of a US dollar, and what tokens cost. No fractions are lost and none are won.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The millionths in a dollar, and the tokens that a price is for.
pub const MILLION: u64 = 1_000_000;
/// The most that one call is taken to cost, in millionths of a dollar. Sums of it stay exact wherever they are kept:
/// Redis' scripts count with doubles.
pub const MOST_MICROS: u64 = 1 << 40;

/// What the tokens of a model cost from a day on, in millionths of a US dollar for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The first day, in UTC, on which it holds.
    pub from: NaiveDate,
    /// Read afresh.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Put into the provider's cache.
    pub cache_write: u64,
}

/// The tokens of one call, as a provider tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read afresh: what came from or went into a cache is not in it.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Put into the cache.
    pub cache_write: u64,
}

impl Tokens {
    /// Counts that are told again replace those told before; what is not told again stays.
    #[must_use]
    pub fn replaced_by(self, later: Self) -> Self {
        let newer = |old: u64, new: u64| if new > 0 { new } else { old };
        Self {
            input: newer(self.input, later.input),
            output: newer(self.output, later.output),
            cache_read: newer(self.cache_read, later.cache_read),
            cache_write: newer(self.cache_write, later.cache_write),
        }
    }
}

impl Price {
    /// What costs nothing.
    pub const FREE: Self = Self {
        from: NaiveDate::MIN,
        input: 0,
        output: 0,
        cache_read: 0,
        cache_write: 0,
    };

    /// The price that holds on a day: the last one that began by then. Before the first one, the first one holds, so that
    /// a clock that is wrong makes nothing free. None: it costs nothing.
    #[must_use]
    pub fn on(prices: &[Self], day: NaiveDate) -> Self {
        let begun = prices.iter().filter(|price| price.from <= day);
        let last = begun.max_by_key(|price| price.from);
        let first = || prices.iter().min_by_key(|price| price.from);
        last.or_else(first).copied().unwrap_or(Self::FREE)
    }

    /// Whether calls cost nothing.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        self.input == 0 && self.output == 0 && self.cache_read == 0 && self.cache_write == 0
    }

    /// What a call costs, in millionths of a dollar, rounded up.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> u64 {
        let parts = [
            (self.input, tokens.input),
            (self.output, tokens.output),
            (self.cache_read, tokens.cache_read),
            (self.cache_write, tokens.cache_write),
        ];
        let sum = parts
            .iter()
            .map(|(price, tokens)| u128::from(*price) * u128::from(*tokens))
            .fold(0, u128::saturating_add);
        let micros = sum.div_ceil(u128::from(MILLION));
        u64::try_from(micros).unwrap_or(MOST_MICROS).min(MOST_MICROS)
    }

    /// The most that a call can cost that reads and writes at most this much: wherever its input comes from or goes to.
    #[must_use]
    pub fn most(&self, input: u64, output: u64) -> u64 {
        let dearest = self.input.max(self.cache_read).max(self.cache_write);
        let price = Self {
            input: dearest,
            ..*self
        };
        price.cost(&Tokens {
            input,
            output,
            ..Tokens::default()
        })
    }
}

/// An amount for people: `$1.25`, `$0.000315`.
#[must_use]
pub fn dollars(micros: u64) -> String {
    let fraction = format!("{:06}", micros % MILLION);
    let kept = fraction.trim_end_matches('0').len().max(2);
    format!("${}.{}", micros / MILLION, &fraction[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn haiku() -> Price {
        Price {
            from: day("2025-10-15"),
            input: 1_000_000,
            output: 5_000_000,
            cache_read: 100_000,
            cache_write: 1_250_000,
        }
    }

    fn tokens(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Tokens {
        Tokens {
            input,
            output,
            cache_read,
            cache_write,
        }
    }

    #[test]
    fn each_kind_of_token_has_its_own_price() {
        for (used, cost) in [
            (tokens(1_000, 0, 0, 0), 1_000),
            (tokens(0, 1_000, 0, 0), 5_000),
            (tokens(0, 0, 1_000, 0), 100),
            (tokens(0, 0, 0, 1_000), 1_250),
            (tokens(20, 11, 700, 300), 20 + 55 + 70 + 375),
            (Tokens::default(), 0),
        ] {
            assert_eq!(haiku().cost(&used), cost, "{used:?}");
        }
    }

    #[test]
    fn a_cost_is_rounded_up_once_and_not_part_by_part() {
        assert_eq!(haiku().cost(&tokens(0, 0, 1, 0)), 1);
        assert_eq!(haiku().cost(&tokens(0, 0, 10, 0)), 1);
        assert_eq!(haiku().cost(&tokens(0, 0, 11, 0)), 2);
        assert_eq!(haiku().cost(&tokens(0, 0, 5, 2)), 3, "0.5 and 2.5 are 3");
    }

    #[test]
    fn what_a_provider_claims_cannot_overflow() {
        let dear = Price {
            input: u64::MAX,
            ..haiku()
        };
        assert_eq!(dear.cost(&tokens(u64::MAX, u64::MAX, 0, 0)), MOST_MICROS);
    }

    #[test]
    fn the_most_that_a_call_can_cost_takes_the_dearest_way_in() {
        assert_eq!(haiku().most(1_000, 100), 1_250 + 500);
        for used in [
            tokens(1_000, 100, 0, 0),
            tokens(0, 100, 1_000, 0),
            tokens(0, 100, 0, 1_000),
        ] {
            assert!(haiku().cost(&used) <= haiku().most(1_000, 100));
        }
    }

    #[test]
    fn the_price_of_a_day_is_the_last_that_began() {
        let cut = Price {
            from: day("2026-03-01"),
            input: 800_000,
            ..haiku()
        };
        for prices in [[haiku(), cut], [cut, haiku()]] {
            for (on, input) in [
                ("2020-01-01", 1_000_000),
                ("2025-10-15", 1_000_000),
                ("2026-02-28", 1_000_000),
                ("2026-03-01", 800_000),
                ("2030-01-01", 800_000),
            ] {
                assert_eq!(Price::on(&prices, day(on)).input, input, "{on}");
            }
        }
        assert!(Price::on(&[], day("2026-01-01")).is_free());
    }

    #[test]
    fn amounts_are_shown_exactly() {
        for (micros, shown) in [
            (0, "$0.00"),
            (315, "$0.000315"),
            (1_250_000, "$1.25"),
            (5_000_000, "$5.00"),
            (1_200_300, "$1.2003"),
        ] {
            assert_eq!(dollars(micros), shown);
        }
    }
}
