//! What is asked of whoever works on a turn. Everybody hears it; only the one with the turn answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use gaia_names::TurnId;
use gaia_protocol::{chat::TurnCommand, subjects};
use gaia_service::{EventSink, bus::BusFault};

use crate::game::Game;

/// How many commands are carried out at once. They only touch memory, but replaying a long reply takes a moment.
const AT_ONCE: usize = 64;

/// Begins to listen.
pub(crate) async fn hear_commands(game: &Arc<Game>) -> Result<(), BusFault> {
    let messages = game.bus.hear(subjects::turn_commands(&game.id, None)).await?;
    let game = Arc::clone(game);
    let tasks = game.tasks.clone();
    tasks.spawn(async move {
        // Until the very end: turns in hand go on while the process drains, and can still be cancelled.
        let ended = game.tasks.clone();
        let carried_out = messages.for_each_concurrent(AT_ONCE, |message| {
            let sink = game.bus.sink_for(&message);
            carry_out(Arc::clone(&game), message.subject.to_string(), message.payload, sink)
        });
        tokio::select! {
            () = carried_out => {}
            () = ended.stopping() => {}
            () = drained(&game) => {}
        }
    });
    Ok(())
}

/// Resolves when no turn is in hand and none will come.
pub(crate) async fn drained(game: &Game) {
    game.tasks.draining().await;
    while !game.in_hand.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn carry_out(game: Arc<Game>, subject: String, payload: Bytes, sink: Option<EventSink>) {
    let Some(turn) = subject.rsplit('.').next().and_then(|word| word.parse::<TurnId>().ok()) else {
        return;
    };
    let Ok(command) = serde_json::from_slice::<TurnCommand>(&payload) else {
        return;
    };
    let (TurnCommand::Cancel { player } | TurnCommand::Follow { player, .. } | TurnCommand::Answer { player, .. }) =
        command;
    let (Some(running), Some(sink)) = (game.in_hand.find(turn, player), sink) else {
        return;
    };
    match command {
        TurnCommand::Cancel { .. } => {
            running.cancelled.cancel();
            sink.event(&()).await;
        }
        TurnCommand::Follow { after, .. } => {
            running.follow(sink, after).await;
        }
        TurnCommand::Answer { number, answer, .. } => {
            sink.event(&running.answer(number, answer)).await;
        }
    }
}
