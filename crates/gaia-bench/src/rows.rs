//! What is measured, in the order of the table.

mod deadline;
mod load;
mod offline;
mod plans;
mod security;
mod size;
mod tools;

use std::{pin::Pin, time::Duration};

use anyhow::Result;

use crate::table::Measured;

/// Every kind of budget, none of which is ever reached.
const BUDGET: &str =
    "budget: {per_day: $100000, per_month: $1000000, per_player_per_day: $100, per_persona_per_day: $90000}";

type Row = fn() -> Pin<Box<dyn Future<Output = Result<Measured>>>>;

/// Every row, by name.
pub(crate) const ALL: &[(&str, Row)] = &[
    ("time to first answer", || Box::pin(size::first_answer())),
    ("idle memory of one game", || Box::pin(size::idle_memory())),
    ("reads: GET /v1/conversations, 64 clients", || Box::pin(load::reads())),
    ("chat turns, LLM at once, 32 clients", || Box::pin(load::turns())),
    ("added to the first token, 200 turns/s", || Box::pin(load::added(""))),
    ("added to the first token, 200 turns/s, with budgets", || {
        Box::pin(load::added(BUDGET))
    }),
    ("wave of 1,000 conversations", || Box::pin(load::wave())),
    ("deadline of 300 ms, a provider stalls", || {
        Box::pin(deadline::kept(Duration::from_millis(300)))
    }),
    ("deadline of 500 ms, a provider stalls", || {
        Box::pin(deadline::kept(Duration::from_millis(500)))
    }),
    ("deadline of 2 s, a provider stalls", || {
        Box::pin(deadline::kept(Duration::from_secs(2)))
    }),
    ("idle sockets on one gateway", || Box::pin(size::sockets())),
    ("row-level security on the hot path", || Box::pin(security::row_level())),
    ("a tool call through the host", || Box::pin(tools::through_the_host())),
    ("plans that find nothing to do, on Kubernetes", || {
        Box::pin(plans::no_op())
    }),
    ("embeddings", || Box::pin(offline::embeddings())),
    ("offline answers that fit", || Box::pin(offline::fitting())),
];
