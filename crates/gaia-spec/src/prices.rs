//! The price book: what the tokens of well-known models cost, and what a route costs after all.

use std::sync::LazyLock;

use chrono::NaiveDate;
use gaia_protocol::{
    bundle::Provider,
    money::{MILLION, Price},
};

use crate::{
    fault::Findings,
    fields::Fields,
    game::Route,
    scalars,
    yaml::{self, Content, Node},
};

struct Known {
    provider: Provider,
    model: String,
    prices: Vec<Price>,
}

static BOOK: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let root = yaml::parse(include_str!("../data/prices.yaml"), &mut Findings::of("prices.yaml"));
    let known = |provider, model: &str, node: &Node| Known {
        provider,
        model: model.to_owned(),
        prices: items(node).iter().filter_map(price).collect(),
    };
    entries(root.as_ref())
        .flat_map(|(vendor, models)| {
            let provider = match vendor {
                "anthropic" => Provider::Anthropic,
                _ => Provider::Openai,
            };
            entries(Some(models)).map(move |(model, node)| known(provider, model, node))
        })
        .collect()
});

/// What a route costs where the config says so.
pub(crate) fn given(fields: &Fields) -> Option<Vec<Price>> {
    let price = fields.get("price")?.fields();
    let input = price.number("input")?;
    Some(vec![Price {
        // The day on which time begins: it holds always.
        from: NaiveDate::default(),
        input,
        output: price.number("output")?,
        // Whoever does not say more pays for these as for what is read afresh.
        cache_read: price.number("cache_read").unwrap_or(input),
        cache_write: price.number("cache_write").unwrap_or(input),
    }])
}

/// What a model of a vendor costs, as the book has it. None: the book does not know.
pub(crate) fn known(provider: Provider, model: &str) -> Option<&'static [Price]> {
    let named = |name: &str| {
        let known = BOOK
            .iter()
            .find(|known| known.provider == provider && known.model == name);
        known.map(|known| known.prices.as_slice())
    };
    named(model).or_else(|| named(without_date(model)?))
}

/// Whether somebody else's bill follows from calls of a route: those of a key of its own at an address that is not near.
pub(crate) fn is_paid(route: &Route) -> bool {
    route.key.is_some() && !scalars::is_near_address(&route.base_url)
}

/// Whether the price book is about what answers at a route's address.
pub(crate) fn is_vendors(route: &Route) -> bool {
    let own = match route.provider {
        Provider::Anthropic => "https://api.anthropic.com",
        Provider::Openai => "https://api.openai.com",
    };
    let rest = route.base_url.strip_prefix(own);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A model's name without the date behind it: `gpt-4o-2024-08-06`, `claude-haiku-4-5-20251001`, `claude-3-opus-latest`.
fn without_date(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let is_digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, last) = model.rsplit_once('-')?;
    if is_digits(last, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (is_digits(last, 2) && is_digits(month, 2) && is_digits(year, 4)).then_some(rest)
}

fn price(node: &Node) -> Option<Price> {
    let text = |key: &str| {
        entries(Some(node)).find_map(|(name, value)| match &value.content {
            Content::Scalar { text, .. } if name == key => Some(text.as_str()),
            _ => None,
        })
    };
    let amount = |key: &str| scalars::exact(text(key)?, MILLION);
    let input = amount("input")?;
    Some(Price {
        from: text("from")?.parse().ok()?,
        input,
        output: amount("output")?,
        cache_read: amount("cache_read").unwrap_or(input),
        cache_write: amount("cache_write").unwrap_or(input),
    })
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.content) {
        Some(Content::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|entry| (entry.key.as_str(), &entry.value))
}

fn items(node: &Node) -> &[Node] {
    match &node.content {
        Content::List(items) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_book_is_a_price_that_can_be_true() {
        assert!(BOOK.len() > 25, "only {} models", BOOK.len());
        let text = include_str!("../data/prices.yaml");
        let lines = text.lines().filter(|line| line.trim_start().starts_with("- {")).count();
        let prices: Vec<_> = BOOK.iter().flat_map(|known| &known.prices).collect();
        assert_eq!(prices.len(), lines, "a line was not understood");
        for known in BOOK.iter() {
            for price in &known.prices {
                assert!(price.output > price.input && price.input > 0, "{}", known.model);
                assert!(price.cache_read <= price.input, "{}", known.model);
                let is_dearer = price.cache_write > price.input;
                assert_eq!(is_dearer, known.provider == Provider::Anthropic, "{}", known.model);
            }
            assert!(known.prices.is_sorted_by_key(|price| price.from), "{}", known.model);
        }
    }

    #[test]
    fn a_model_is_known_with_and_without_its_date() {
        let input = |provider, model| known(provider, model).map(|prices| prices[0].input);
        for (model, expected) in [
            ("claude-haiku-4-5", Some(1_000_000)),
            ("claude-haiku-4-5-20251001", Some(1_000_000)),
            ("claude-3-5-haiku-latest", Some(800_000)),
            ("claude-haiku", None),
            ("claude-haiku-4-5-fast", None),
        ] {
            assert_eq!(input(Provider::Anthropic, model), expected, "{model}");
        }
        for (model, expected) in [
            ("gpt-4o-mini-2024-07-18", Some(150_000)),
            ("gpt-4o-2024-08-06", Some(2_500_000)),
            ("claude-haiku-4-5", None),
            ("gpt-4o-audio", None),
        ] {
            assert_eq!(input(Provider::Openai, model), expected, "{model}");
        }
    }

    #[test]
    fn a_price_that_was_cut_has_its_dates() {
        let prices = known(Provider::Openai, "o3").unwrap();
        let on = |day: &str| Price::on(prices, day.parse().unwrap()).input;
        assert_eq!((on("2025-06-09"), on("2025-06-10")), (10_000_000, 2_000_000));
    }
}
