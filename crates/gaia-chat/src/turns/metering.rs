//! What calls of models used: counted for whoever watches, and kept where no reply is there to be kept with it.

use std::sync::Arc;

use super::speech::Speech;
use crate::{
    game::Game,
    store::{
        self,
        claims::{UsageRow, Wanted},
    },
};

/// Counts what the calls for one reply used.
pub(crate) fn count(game: &Game, persona: &str, usage: &[UsageRow]) {
    for row in usage {
        let add = |kind: &'static str, tokens: u64| {
            let labels = [
                ("game", game.id.to_string()),
                ("persona", persona.to_owned()),
                ("route", row.route.clone()),
                ("model", row.model.clone()),
                ("kind", kind.to_owned()),
            ];
            metrics::counter!("gaia_chat_tokens_total", &labels).increment(tokens);
        };
        add("input", row.input_tokens);
        add("output", row.output_tokens);
        add("cache_read", row.cache_read_tokens);
        add("cache_write", row.cache_write_tokens);
    }
}

/// Stops a reply that nobody will hear. Its call has its price all the same.
pub(super) fn discard(game: &Arc<Game>, wanted: &Arc<Wanted>, speech: Speech) {
    let (draft, persona) = (Arc::clone(&speech.draft), speech.question.persona().id.to_string());
    drop(speech);
    let usage = draft.take().usage;
    count(game, &persona, &usage);
    keep(game, wanted, persona, usage);
}

/// Keeps what was used beside the turn, where its end could not be kept or where there is none. Nobody waits for it.
pub(crate) fn keep(game: &Arc<Game>, wanted: &Arc<Wanted>, persona: String, usage: Vec<UsageRow>) {
    if usage.is_empty() {
        return;
    }
    let (beside, wanted) = (Arc::clone(game), Arc::clone(wanted));
    game.tasks.spawn(async move {
        if let Err(fault) = store::claims::meter(&beside.postgres, &wanted, &persona, &usage).await {
            let chain = gaia_service::telemetry::chain(&fault);
            tracing::warn!(turn = %wanted.turn, error = %chain, "what a call used could not be kept: {chain}");
        }
    });
}
