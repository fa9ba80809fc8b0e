//! When a player first had something of a reply, against the target that the game promises.

use std::time::{Duration, Instant};

use gaia_names::GameId;
use gaia_protocol::bundle::Bundle;

use crate::replies::{Draft, Piece};

/// The first useful outputs of one turn: the first of all, and the first words of the reply itself. They are counted
/// apart, so that lines that bridge a wait cannot hide a slow route.
pub(super) struct FirstOutputs {
    labels: [(&'static str, String); 2],
    began: Instant,
    target: Duration,
    has_routes: bool,
    has_any: bool,
    has_words: bool,
}

impl FirstOutputs {
    pub(super) fn new(game: &GameId, persona: &str, began: Instant, bundle: &Bundle) -> Self {
        Self {
            labels: [("game", game.to_string()), ("persona", persona.to_owned())],
            began,
            target: Duration::from_millis(bundle.response_time_target_ms.into()),
            has_routes: !bundle.routes.is_empty(),
            has_any: false,
            has_words: false,
        }
    }

    /// The player is about to get a piece.
    pub(super) fn note(&mut self, piece: &Piece, draft: &Draft) {
        if self.has_words || matches!(piece, Piece::Tool(_) | Piece::Ask(_)) {
            return;
        }
        let took = self.began.elapsed();
        let is_in_time = took <= self.target;
        if !std::mem::replace(&mut self.has_any, true) {
            metrics::counter!("gaia_chat_first_output_total", &self.with_answer(is_in_time)).increment(1);
        }
        if matches!(piece, Piece::Interim(_)) {
            return;
        }
        self.has_words = true;
        let is_of_a_model = draft.is_of_a_model();
        if self.has_routes {
            let labels = self.with_answer(is_in_time && is_of_a_model);
            metrics::counter!("gaia_chat_first_token_total", &labels).increment(1);
        }
        if is_of_a_model {
            let [game, persona] = self.labels.clone();
            let labels = [game, persona, ("route", draft.route())];
            metrics::histogram!("gaia_chat_first_token_seconds", &labels).record(took);
        }
    }

    fn with_answer(&self, is_in_time: bool) -> [(&'static str, String); 3] {
        let [game, persona] = self.labels.clone();
        let in_time = if is_in_time { "yes" } else { "no" };
        [game, persona, ("in_time", in_time.to_owned())]
    }
}
