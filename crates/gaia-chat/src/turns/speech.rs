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
    replies::{self, Draft, Question},
};

/// How many pieces wait to be said. The maker of a reply waits when there are more.
const WAITING_PIECES: usize = 32;

/// Dropping it stops the provider's call at once.
pub(super) struct Speech {
    pub(super) question: Arc<Question>,
    pub(super) draft: Arc<Draft>,
    composing: Fuse<BoxFuture<'static, ()>>,
    pieces: mpsc::Receiver<String>,
    stops: Stops,
    early: String,
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
        }
    }

    /// The next piece; none when the reply is whole. May be dropped and asked again without loss.
    pub(super) async fn next(&mut self) -> Option<String> {
        if self.early.is_empty() {
            self.piece().await
        } else {
            Some(std::mem::take(&mut self.early))
        }
    }

    /// Goes on with the reply while nothing of it may be said yet. Never resolves; may be dropped without loss.
    pub(super) async fn gather(&mut self) {
        while let Some(piece) = self.piece().await {
            self.early.push_str(&piece);
        }
        std::future::pending().await
    }

    async fn piece(&mut self) -> Option<String> {
        while !self.stops.is_hit() {
            let said = match self.made().await {
                Some(piece) => self.stops.pass(piece),
                None => return Some(self.stops.rest()).filter(|rest| !rest.is_empty()),
            };
            if !said.is_empty() {
                return Some(said);
            }
        }
        None
    }

    async fn made(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                biased;
                piece = self.pieces.recv() => return piece,
                () = &mut self.composing => {}
            }
        }
    }
}
