//! Every key of a price book for what clusters run on.

use super::{Key, Kind, config::REGIONS};

/// The keys of a price book.
pub(crate) const PRICE_BOOK: &[Key] = &[
    Key::new("currency", Kind::Currency, "What all of its prices are in.")
        .default("USD")
        .example("USD"),
    Key::new(
        "prices",
        Kind::List {
            item: &Kind::Map(PRICE),
            least: 0,
            most: 1_000,
            is_distinct: false,
        },
        "What a target asks for, from a day on. A price of a region comes before one without.",
    )
    .said("nothing is known"),
];

const PRICE: &[Key] = &[
    Key::new(
        "target",
        Kind::Choice(&["local", "compose", "kubernetes"]),
        "Where clusters run.",
    )
    .required()
    .example("kubernetes"),
    Key::new("region", Kind::Choice(REGIONS), "The home of the game.")
        .said("all regions")
        .example("eu-west"),
    Key::new("from", Kind::Day, "The first day on which it holds, in UTC.")
        .default("1970-01-01")
        .example("2026-04-01"),
    unit("vcpu_hour", "A core for an hour.", "0.0405"),
    unit("memory_gib_hour", "A GiB of memory for an hour.", "0.0045"),
    unit("volume_gib_month", "A GiB of a volume for a month.", "0.08"),
];

const fn unit(name: &'static str, doc: &'static str, example: &'static str) -> Key {
    Key::new(name, Kind::Amount, doc).default("0").example(example)
}
