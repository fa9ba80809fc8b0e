//! What chat answers, grouped by who asks.

use std::{future::Future, sync::Arc};

use gaia_protocol::{Fault, Request, chat, costs::ReadCosts};
use gaia_service::{
    Call,
    bus::{Answers, BusFault},
};

use crate::{bundles, conversations, costs, game::Game, turns};

/// How many turns one process works on at once, for one game. A turn mostly waits for a model.
pub(crate) const TURNS_AT_ONCE: usize = 4_000;
/// How many other questions are in hand at once.
const QUESTIONS_AT_ONCE: usize = 1_000;

/// Begins to answer.
pub(crate) async fn answer(game: &Arc<Game>) -> Result<(), BusFault> {
    let turns_at_once = Answers::new(&game.bus, &game.tasks, TURNS_AT_ONCE);
    let questions = Answers::new(&game.bus, &game.tasks, QUESTIONS_AT_ONCE);

    // For players.
    ask::<chat::ListPersonas, _>(&questions, game, conversations::list_personas).await?;
    ask::<chat::StartConversation, _>(&questions, game, conversations::start).await?;
    ask::<chat::ListConversations, _>(&questions, game, conversations::list).await?;
    ask::<chat::ReadConversation, _>(&questions, game, conversations::read).await?;
    ask::<chat::DeleteConversation, _>(&questions, game, conversations::delete).await?;
    ask::<chat::ListTurns, _>(&questions, game, turns::list).await?;
    ask::<chat::ReadTurn, _>(&questions, game, turns::read).await?;
    let taking = Arc::clone(game);
    turns_at_once
        .to_stream(move |call, question, sink| turns::take(Arc::clone(&taking), call, question, sink))
        .await?;

    // For the cluster's admin API.
    ask::<chat::PublishBundle, _>(&questions, game, bundles::publish).await?;
    ask::<chat::ReadBundle, _>(&questions, game, bundles::read).await?;
    ask::<ReadCosts, _>(&questions, game, costs::read).await?;

    // For auth.
    ask::<chat::ForgetPlayer, _>(&questions, game, conversations::forget_player).await
}

async fn ask<R, A>(answers: &Answers, game: &Arc<Game>, answer: fn(Arc<Game>, R) -> A) -> Result<(), BusFault>
where
    R: Request,
    A: Future<Output = Result<R::Reply, Fault>> + Send + 'static,
{
    let game = Arc::clone(game);
    answers
        .to(move |_: Call, question: R| answer(Arc::clone(&game), question))
        .await
}
