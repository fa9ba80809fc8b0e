//! `gaia costs`: what a game's models cost, and what is left of its budget.

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use gaia_names::GameId;
use gaia_protocol::{
    costs::{By, Costs, CostsRow, Spending},
    money::dollars,
};
use serde_json::json;

use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::Outcome,
    output::{Output, Table},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: String,
    /// The first day, in UTC: 2026-03-01 [default: the first of this month]
    #[arg(long, value_name = "DATE")]
    since: Option<NaiveDate>,
    /// What to add up by
    #[arg(long, value_name = "WHAT", default_value = "day")]
    by: Column,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// What to add up by, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Column {
    Day,
    Persona,
    Route,
    Model,
    Player,
}

impl From<Column> for By {
    fn from(column: Column) -> Self {
        match column {
            Column::Day => Self::Day,
            Column::Persona => Self::Persona,
            Column::Route => Self::Route,
            Column::Model => Self::Model,
            Column::Player => Self::Player,
        }
    }
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(&arguments.home)?;
    let cluster = super::cluster_named(&home, &arguments.game).await?;
    let named: Option<GameId> = arguments.game.parse().ok();
    let all = gaia_deploy::costs(&home, &cluster, named.as_ref(), arguments.since, arguments.by.into()).await?;
    for (game, costs) in &all {
        output.say(in_words(game, costs));
    }
    let document: Vec<_> = all
        .iter()
        .map(|(game, costs)| json!({ "game": game, "costs": costs }))
        .collect();
    output.document(&document);
    Ok(Outcome::Done)
}

fn in_words(game: &GameId, costs: &Costs) -> String {
    let mut text = format!("{game}  {} to {} (UTC)\n", costs.since, costs.until);
    if costs.total.calls == 0 {
        text.push_str("\nNo model was called.\n");
    } else {
        let key = costs.by.as_str();
        let head = [key, "calls", "read", "from cache", "written", "estimated", "cost"];
        let mut table = Table::new(&head);
        for each in &costs.rows {
            table.row(row(each, &each.key));
        }
        table.row(row(&costs.total, "total"));
        text.push_str(&format!("\n{table}\n"));
        if costs.is_cut {
            text.push_str("There are more rows; the total has them all. `--since` shows fewer.\n");
        }
    }
    for spending in &costs.spending {
        text.push_str(&format!("\n{}", left(spending)));
    }
    text
}

fn row(row: &CostsRow, key: &str) -> [String; 7] {
    let read = row.input_tokens + row.cache_read_tokens + row.cache_write_tokens;
    [
        if key.is_empty() { "(forgotten)" } else { key }.to_owned(),
        row.calls.to_string(),
        read.to_string(),
        share(row.cache_read_tokens, read),
        row.output_tokens.to_string(),
        share(row.estimated_micros, row.cost_micros),
        dollars(row.cost_micros),
    ]
}

/// A share in percent, rounded down; nothing of nothing is nothing.
fn share(part: u64, whole: u64) -> String {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole));
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}

/// What is spent of a period's budget, and what is left.
pub(super) fn left(spending: &Spending) -> String {
    let period = match spending.period {
        gaia_protocol::costs::Period::Day => "today",
        gaia_protocol::costs::Period::Month => "this month",
    };
    let spent = dollars(spending.spent_micros);
    match (spending.limit_micros, spending.remaining_micros()) {
        (Some(limit), Some(remaining)) => {
            let (limit, remaining) = (dollars(limit), dollars(remaining));
            format!("{period}: {spent} of {limit} spent, {remaining} left")
        }
        _ => format!("{period}: {spent} spent, no budget"),
    }
}

#[cfg(test)]
mod tests {
    use gaia_protocol::costs::Period;

    use super::*;

    #[test]
    fn costs_are_a_table_with_what_is_left_below() {
        let row = |key: &str, calls, cost_micros| CostsRow {
            key: key.to_owned(),
            calls,
            input_tokens: 100 * calls,
            output_tokens: 20 * calls,
            cache_read_tokens: 300 * calls,
            cache_write_tokens: 0,
            estimated_calls: 0,
            cost_micros,
            estimated_micros: cost_micros / 10,
        };
        let costs = Costs {
            since: "2026-03-01".parse().unwrap(),
            until: "2026-03-17".parse().unwrap(),
            by: By::Persona,
            rows: vec![row("mara", 2, 1_500_000), row("", 1, 315)],
            is_cut: false,
            total: row("", 3, 1_500_315),
            spending: vec![
                Spending {
                    period: Period::Day,
                    spent_micros: 315,
                    reserved_micros: 5_000,
                    limit_micros: Some(2_000_000),
                },
                Spending {
                    period: Period::Month,
                    spent_micros: 1_500_315,
                    reserved_micros: 0,
                    limit_micros: None,
                },
            ],
        };
        insta::assert_snapshot!(in_words(&"kos".parse().unwrap(), &costs), @r"
        kos  2026-03-01 to 2026-03-17 (UTC)

        PERSONA      CALLS  READ  FROM CACHE  WRITTEN  ESTIMATED  COST
        mara         2      800   75%         40       10%        $1.50
        (forgotten)  1      400   75%         20       9%         $0.000315
        total        3      1200  75%         60       9%         $1.500315

        today: $0.000315 of $2.00 spent, $1.994685 left
        this month: $1.500315 spent, no budget
        ");
    }
}
