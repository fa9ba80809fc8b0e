//! A reply while it is being made, and what of it has not been said yet.

use std::sync::Arc;

use futures::{
    FutureExt,
    future::{BoxFuture, Fuse},
};
use tokio::sync::mpsc;

use super::stops::Stops;
use crate::{
    game::Game,
    replies::{self, Draft, Piece, Question},
};

/// How many pieces wait to be said. The maker of a reply waits when there are more.
const WAITING_PIECES: usize = 32;

/// Dropping it stops the provider's call at once.
pub(super) struct Speech {
    pub(super) question: Arc<Question>,
    pub(super) draft: Arc<Draft>,
    composing: Fuse<BoxFuture<'static, ()>>,
    pieces: mpsc::Receiver<Piece>,
    stops: Stops,
    early: String,
    early_bridge: Option<String>,
}

impl Speech {
    /// Nothing is done before it is first asked for a piece.
    pub(super) fn begin(game: &Arc<Game>, question: Question) -> Self {
        let (question, draft) = (Arc::new(question), Arc::new(Draft::default()));
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        let stops = Stops::new(&question.options.stop);
        let composing = replies::compose(Arc::clone(game), Arc::clone(&question), Arc::clone(&draft), sender);
        Self {
            question,
            draft,
            composing: composing.boxed().fuse(),
            pieces,
            stops,
            early: String::new(),
            early_bridge: None,
        }
    }

    /// The next piece; none when the reply is whole. May be dropped and asked again without loss.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        if let Some(line) = self.early_bridge.take() {
            return Some(Piece::Interim(line));
        }
        if self.early.is_empty() {
            self.piece().await
        } else {
            Some(Piece::Words(std::mem::take(&mut self.early)))
        }
    }

    /// Goes on with the reply while nothing of it may be said yet. Never resolves; may be dropped without loss.
    pub(super) async fn gather(&mut self) {
        while let Some(piece) = self.piece().await {
            match piece {
                Piece::Words(words) => {
                    // There is no wait any more that could be bridged.
                    self.early_bridge = None;
                    self.early.push_str(&words);
                }
                Piece::Interim(line) => self.early_bridge = Some(line),
                // No tool is used before the turn is accepted.
                Piece::Tool(_) | Piece::Ask(_) => {}
            }
        }
        std::future::pending().await
    }

    async fn piece(&mut self) -> Option<Piece> {
        while !self.stops.is_hit() {
            let said = match self.made().await {
                Some(Piece::Words(words)) => self.stops.pass(words),
                Some(bridge) => return Some(bridge),
                None => {
                    return Some(self.stops.rest())
                        .filter(|rest| !rest.is_empty())
                        .map(Piece::Words);
                }
            };
            if !said.is_empty() {
                return Some(Piece::Words(said));
            }
        }
        None
    }

    async fn made(&mut self) -> Option<Piece> {
        loop {
            tokio::select! {
                biased;
                piece = self.pieces.recv() => return piece,
                () = &mut self.composing => {}
            }
        }
    }
}
