//! What the game's models cost, for whoever pays.

use std::sync::Arc;

use gaia_protocol::{
    ErrorCode, Fault,
    costs::{Costs, MOST_ROWS, Period, ReadCosts},
};

use crate::{budget, game::Game, store::ledger};

/// Adds up what the ledger has.
pub(crate) async fn read(game: Arc<Game>, ask: ReadCosts) -> Result<Costs, Fault> {
    let until = game.budget.today();
    let since = ask.since.unwrap_or_else(|| budget::began(Period::Month, until));
    if since > until {
        let detail = format!("`since` is {since}, and today is {until} (UTC); give an earlier day.");
        return Err(Fault::new(ErrorCode::InvalidInput, detail));
    }
    let (total, mut rows) = ledger::costs(&game.postgres, since, ask.by).await?;
    let is_cut = rows.len() > MOST_ROWS;
    rows.truncate(MOST_ROWS);
    let spending = game.budget.ledger_spending(&game.bundle.now().bundle).await?;
    Ok(Costs {
        since,
        until,
        by: ask.by,
        rows,
        is_cut,
        total,
        spending,
    })
}
