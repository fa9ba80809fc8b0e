//! Budgets and prices: what they come to mean, and what is said where they cannot hold.

use gaia_protocol::{bundle::Bundle, money::Price};
use insta::assert_snapshot;

use crate::Folder;

/// A config with one route of these keys, and these keys of the budget.
fn config(route: &str, budget: &str) -> Folder {
    Folder::with_config(&format!(
        "ai_configuration:\n  routes:\n    - {{name: a, {route}}}\n  budget: {{{budget}}}\n"
    ))
    .file("personas/mara.md", "You are Mara.")
}

fn bundle(route: &str, budget: &str) -> Bundle {
    config(route, budget).checked().bundle()
}

fn prices(route: &str) -> Vec<Price> {
    bundle(route, "").routes.remove(0).prices
}

const HAIKU: &str = "provider: anthropic, model: claude-haiku-4-5, api_key: env:KEY";
const UNKNOWN: &str = "provider: openai, model: gpt-99, api_key: env:KEY";

#[test]
fn amounts_are_millionths_of_a_dollar_and_exact() {
    let budget = bundle(HAIKU, "per_day: $5, per_month: 100 USD, per_player_per_day: 0.50").budget;
    assert_eq!((budget.per_day, budget.per_month), (Some(5_000_000), Some(100_000_000)));
    assert_eq!(
        (budget.per_player_per_day, budget.per_persona_per_day),
        (Some(500_000), None)
    );
    for (written, micros) in [
        ("0", 0),
        ("$0.000001", 1),
        ("'$ 12.5'", 12_500_000),
        ("0.1", 100_000),
        ("0.29", 290_000),
        ("1.005", 1_005_000),
        ("5USD", 5_000_000),
        ("1000000000", 1_000_000_000_000_000),
    ] {
        let budget = bundle(HAIKU, &format!("per_day: {written}")).budget;
        assert_eq!(budget.per_day, Some(micros), "{written}");
    }
}

#[test]
fn amounts_that_are_none_are_refused() {
    let faults = |amount: &str| config(HAIKU, &format!("per_day: {amount}")).errors();
    assert_snapshot!(faults("-1"), @r"
    games/lost-bell/config.yaml:4:21: error: `ai_configuration.budget.per_day` must be an amount of US dollars such as $5, 5 USD or 0.50, with at most six decimals, not `-1`
    ");
    assert_snapshot!(faults("5 EUR"), @r"
    games/lost-bell/config.yaml:4:21: error: `ai_configuration.budget.per_day` must be US dollars
      help: providers bill in US dollars: write $5 or 5 USD
    ");
    assert_snapshot!(faults("0.0000001"), @r"
    games/lost-bell/config.yaml:4:21: error: `ai_configuration.budget.per_day` has more than six decimals
      help: a millionth of a dollar is the smallest amount
    ");
    for bad in [
        "five",
        "1,000",
        "$",
        "USD",
        "1e3",
        "5$",
        "1000000000.01",
        "''",
        "1.2.3",
        "$5 USD",
        ".",
    ] {
        assert!(faults(bad).contains("per_day"), "{bad}");
    }
}

#[test]
fn a_known_model_has_its_price_and_a_route_may_have_its_own() {
    let haiku = prices(HAIKU);
    assert_eq!(
        (haiku.len(), haiku[0].input, haiku[0].output),
        (1, 1_000_000, 5_000_000)
    );
    assert_eq!((haiku[0].cache_read, haiku[0].cache_write), (100_000, 1_250_000));
    let own = prices(&format!(
        "{HAIKU}, price: {{input: 0.80, output: $4, cache_read: 0.075}}"
    ));
    let price = own[0];
    assert_eq!((price.input, price.output), (800_000, 4_000_000));
    assert_eq!((price.cache_read, price.cache_write), (75_000, 800_000));
    let dated = prices("provider: openai, model: o3-2025-04-16, api_key: env:KEY");
    assert_eq!(dated.len(), 2, "a price that was changed has two");
}

#[test]
fn what_answers_nearby_costs_nothing() {
    for route in [
        "provider: openai, model: llama3, base_url: 'http://127.0.0.1:11434/v1'",
        "provider: openai, model: gpt-4o, base_url: 'http://127.0.0.1:11434/v1'",
        "provider: openai, model: m, base_url: 'http://vllm:8000/v1', api_key: env:KEY",
        "provider: openai, model: m, base_url: 'https://models.example.com/v1'",
    ] {
        let checked = config(route, "per_day: $1").checked();
        assert!(checked.bundle().routes[0].prices.is_empty(), "{route}");
        assert!(checked.warnings.is_empty(), "{route}");
    }
}

#[test]
fn a_price_that_nobody_knows_is_a_fault_where_there_is_a_budget() {
    assert_snapshot!(config(UNKNOWN, "").faults(), @r"
    games/lost-bell/config.yaml:3:7: warning: nobody knows what the model `gpt-99` of the route `a` costs, so `gaia costs` will say that it costs nothing
      help: write what a million tokens cost: `price: {input: 1.00, output: 5.00}`, zeros if nothing
    ");
    assert_snapshot!(config(UNKNOWN, "per_month: $10").faults(), @r"
    games/lost-bell/config.yaml:3:7: error: nobody knows what the model `gpt-99` of the route `a` costs, so the game's budget cannot hold
      help: write what a million tokens cost: `price: {input: 1.00, output: 5.00}`, zeros if nothing
    ");
    let of_somebody_else = "provider: openai, model: gpt-4o, base_url: 'https://llm.example.com/v1', api_key: env:KEY";
    assert!(config(of_somebody_else, "per_day: $1").errors().contains("`gpt-4o`"));
    let with_price = format!("{UNKNOWN}, price: {{input: 0, output: 0}}");
    assert_eq!(config(&with_price, "per_day: $1").faults(), "");
}

#[test]
fn a_personas_own_budget_is_a_budget() {
    let folder = config(UNKNOWN, "").file(
        "personas/mara.md",
        "---\nlimits: {budget_per_day: 0.25}\n---\nYou are Mara.",
    );
    assert!(folder.errors().contains("the game's budget cannot hold"));
    let folder = config(HAIKU, "").file(
        "personas/mara.md",
        "---\nlimits: {budget_per_day: 0.25}\n---\nYou are Mara.",
    );
    let bundle = folder.checked().bundle();
    assert_eq!(bundle.personas[0].limits.budget_per_day, Some(250_000));
    assert!(bundle.has_budget() && bundle.budget.per_persona_per_day.is_none());
}

#[test]
fn half_a_price_is_none() {
    let faults = config(&format!("{UNKNOWN}, price: {{input: 1}}"), "per_day: $1").errors();
    assert_snapshot!(faults, @r"
    games/lost-bell/config.yaml:3:75: error: `ai_configuration.routes.price` needs `output`
      help: for example `output: 5.00`
    ");
}
