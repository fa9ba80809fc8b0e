//! Players: read, renamed, given a role, deleted.

use std::sync::Arc;

use gaia_names::{PlayerId, SessionId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{DeletePlayer, Player, ReadPlayer, RenamePlayer, SetRole},
};
use gaia_service::postgres::PostgresFault;

use crate::{game::Game, names, sessions, store};

pub(crate) async fn read(game: Arc<Game>, question: ReadPlayer) -> Result<Player, Fault> {
    let client = game.postgres.client().await?;
    let player = store::players::find(&client, question.caller.player).await?;
    player.ok_or_else(|| ErrorCode::SessionEnded.into())
}

pub(crate) async fn rename(game: Arc<Game>, question: RenamePlayer) -> Result<Player, Fault> {
    let name = names::parse(&question.display_name)?;
    let client = game.postgres.client().await?;
    let player = store::players::rename(&client, question.caller.player, &name).await?;
    player.ok_or_else(|| ErrorCode::SessionEnded.into())
}

pub(crate) async fn set_role(game: Arc<Game>, question: SetRole) -> Result<Player, Fault> {
    let client = game.postgres.client().await?;
    let player = store::players::set_role(&client, question.player, question.role).await?;
    player.ok_or_else(|| Fault::new(ErrorCode::NotFound, "There is no such player in this game."))
}

/// Deletes a player here at once, and in chat as soon as chat answers. Deleting again is harmless.
pub(crate) async fn delete(game: Arc<Game>, question: DeletePlayer) -> Result<(), Fault> {
    let caller = question.caller;
    let pending = game.revocations.pending();
    let mut ended = erase(&game, caller.player).await?;
    game.deleted.notify_one();
    // The caller's own session always, so that a repeated question writes it even though the player is gone.
    ended.push(caller.session);
    pending
        .publish(&ended)
        .await
        .map_err(|lost| sessions::not_published(&game, &lost))
}

/// One transaction: no crash leaves a player without name but with sessions, or a deletion that chat never hears of.
async fn erase(game: &Game, player: PlayerId) -> Result<Vec<SessionId>, PostgresFault> {
    let mut client = game.postgres.client().await?;
    let all_or_nothing = client.transaction().await?;
    if !store::players::lock(&all_or_nothing, player).await? {
        return Ok(Vec::new());
    }
    let ended = store::sessions::end_all(&all_or_nothing, player).await?;
    store::sessions::disown(&all_or_nothing, player).await?;
    store::players::delete(&all_or_nothing, player).await?;
    store::deletions::add(&all_or_nothing, player).await?;
    all_or_nothing.commit().await?;
    Ok(ended)
}
