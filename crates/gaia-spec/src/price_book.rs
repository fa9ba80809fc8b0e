//! The price book of what clusters run on: what cores, memory and volumes cost, where and from when.

use chrono::NaiveDate;
use gaia_names::Target;

use crate::{
    fault::{Faults, Findings},
    fields::Fields,
    table::PRICE_BOOK,
    walk, yaml,
};

/// The book that comes with Gaia, as text.
const SHIPPED: &str = include_str!("../data/infrastructure_prices.yaml");

/// What units cost, in millionths of the book's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitPrices {
    /// A core for an hour.
    pub vcpu_hour: u64,
    /// A GiB of memory for an hour.
    pub memory_gib_hour: u64,
    /// A GiB of a volume for a month.
    pub volume_gib_month: u64,
}

/// What cores, memory and volumes cost, where and from when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceBook {
    /// What all of its prices are in: `USD`.
    pub currency: String,
    prices: Vec<Price>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Price {
    target: Target,
    /// None: all that no other price names.
    region: Option<String>,
    from: NaiveDate,
    units: UnitPrices,
}

impl PriceBook {
    /// The book that comes with Gaia.
    ///
    /// # Errors
    ///
    /// None: a test reads it.
    pub fn shipped() -> Result<Self, Faults> {
        Self::read("the price book that comes with Gaia", SHIPPED)
    }

    /// Reads a book.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, by place.
    pub fn read(file: &str, text: &str) -> Result<Self, Faults> {
        let mut findings = Findings::of(file);
        let fields = yaml::parse(text, &mut findings).map(|root| walk::check(&root, PRICE_BOOK, &mut findings));
        let faults = Faults::sorted(findings.into_list());
        match fields {
            Some(fields) if faults.errors() == 0 => Ok(Self {
                currency: fields.text("currency").unwrap_or_default(),
                prices: fields
                    .items("prices")
                    .iter()
                    .filter_map(|item| price(item.fields()))
                    .collect(),
            }),
            _ => Err(faults),
        }
    }

    /// What units cost on a target, in a region and on a day. None: the book does not say.
    #[must_use]
    pub fn on(&self, target: Target, region: &str, day: NaiveDate) -> Option<UnitPrices> {
        let of_region = |wanted: Option<&str>| {
            let is_meant = |price: &&Price| price.target == target && price.region.as_deref() == wanted;
            let begun = self.prices.iter().filter(is_meant).filter(|price| price.from <= day);
            begun.max_by_key(|price| price.from).map(|price| price.units)
        };
        of_region(Some(region)).or_else(|| of_region(None))
    }
}

/// The book that comes with Gaia, as a beginning for one's own.
#[must_use]
pub fn explain_prices() -> &'static str {
    SHIPPED
}

fn price(fields: &Fields) -> Option<Price> {
    Some(Price {
        target: fields.text("target")?.parse().ok()?,
        region: fields.text("region"),
        from: fields.text("from")?.parse().ok()?,
        units: UnitPrices {
            vcpu_hour: fields.number("vcpu_hour")?,
            memory_gib_hour: fields.number("memory_gib_hour")?,
            volume_gib_month: fields.number("volume_gib_month")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_book_that_is_shipped_has_a_price_for_every_target() {
        let book = PriceBook::shipped().unwrap();
        let today = day("2026-11-01");
        for target in Target::ALL {
            let units = book.on(*target, "us-east", today).unwrap();
            let is_free = units == UnitPrices::default();
            assert_eq!(is_free, *target != Target::Kubernetes, "{target}");
        }
    }

    #[test]
    fn the_newest_price_of_the_region_holds_and_else_that_of_all_regions() {
        let text = "currency: EUR\nprices:\n  - {target: compose, vcpu_hour: 0.01}\n  \
                    - {target: compose, region: eu-west, from: 2026-01-01, vcpu_hour: 0.02}\n  \
                    - {target: compose, region: eu-west, from: 2026-06-01, vcpu_hour: 0.03, volume_gib_month: 1}\n";
        let book = PriceBook::read("prices.yaml", text).unwrap();
        assert_eq!(book.currency, "EUR");
        let core = |region, on| book.on(Target::Compose, region, day(on)).map(|units| units.vcpu_hour);
        assert_eq!(core("us-east", "2026-07-01"), Some(10_000));
        assert_eq!(core("eu-west", "2025-12-31"), Some(10_000));
        assert_eq!(core("eu-west", "2026-05-31"), Some(20_000));
        assert_eq!(core("eu-west", "2026-06-01"), Some(30_000));
        assert_eq!(book.on(Target::Kubernetes, "eu-west", day("2026-06-01")), None);
    }

    #[test]
    fn what_is_wrong_with_a_book_is_told_with_its_place() {
        let text = "currency: euro\nprices:\n  - {region: eu-west, from: soon, vcpu_hour: 0.0000001}\n";
        let faults = PriceBook::read("prices.yaml", text).unwrap_err().to_string();
        for said in [
            "prices.yaml:1:11: error: `currency` must be the three capital letters",
            "`prices` needs `target`",
            "`prices.from` must be a day",
            "`prices.vcpu_hour` must be a number such as 0.0405, with at most six decimals",
        ] {
            assert!(faults.contains(said), "{said} is not in {faults}");
        }
    }
}
