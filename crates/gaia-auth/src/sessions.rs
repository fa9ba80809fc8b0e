//! Sessions: started, prolonged, checked and ended.

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use gaia_names::{Secret, SessionId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{ACCESS_TOKEN_SECONDS, CheckSession, Player, RefreshSession, SessionState, SignOut, SignedIn},
};
use gaia_service::{postgres::PostgresFault, redis::RedisLost};

use crate::{game::Game, refresh_token::RefreshToken, store};

/// A session that was just started, for a player who was let in.
pub(crate) struct Started {
    player: Player,
    session: SessionId,
    refresh_token: Secret,
    /// The player's oldest sessions, where there were too many.
    pub(crate) ended: Vec<SessionId>,
}

/// Starts a session. What it `ended` must be published once that is committed.
pub(crate) async fn start(client: &impl GenericClient, player: Player) -> Result<Started, PostgresFault> {
    let (session, token) = (SessionId::fresh(), RefreshToken::fresh());
    let ended = store::sessions::start(client, session, player.id, &token.hash()).await?;
    Ok(Started {
        player,
        session,
        refresh_token: token.text(),
        ended,
    })
}

impl Started {
    pub(crate) fn signed_in(self, game: &Game) -> Result<SignedIn, Fault> {
        Ok(SignedIn {
            access_token: game.keys.sign(&game.id, &self.player, self.session)?,
            player: self.player,
            refresh_token: self.refresh_token,
            token_type: "Bearer".to_owned(),
            expires_in: ACCESS_TOKEN_SECONDS,
        })
    }
}

/// Exchanges a refresh token for the next pair.
///
/// A token that comes a second time ends its session, even if the first answer was lost on its way: a lost answer and a
/// stolen token look the same from here. So a client sends a refresh once, keeps its answer before it uses it, and signs
/// in again where it got none.
pub(crate) async fn refresh(game: Arc<Game>, question: RefreshSession) -> Result<SignedIn, Fault> {
    let unknown = || {
        Fault::new(
            ErrorCode::TokenInvalid,
            "The refresh token is not one of this game's; sign in again.",
        )
    };
    let token = RefreshToken::parse(&question.refresh_token).ok_or_else(unknown)?;
    game.keys.show(&game.postgres).await?;
    let successor = RefreshToken::fresh();
    let client = game.postgres.client().await?;
    let exchanged = store::refresh_tokens::exchange(&client, &token.hash(), &successor.hash()).await?;
    if let Some((session, player)) = exchanged {
        let refresh_token = successor.text();
        return Started {
            player,
            session,
            refresh_token,
            ended: Vec::new(),
        }
        .signed_in(&game);
    }
    let spent = store::refresh_tokens::find_spent(&client, &token.hash())
        .await?
        .ok_or_else(unknown)?;
    if !spent.was_used {
        return Err(ErrorCode::SessionEnded.into());
    }
    let pending = game.revocations.pending();
    store::sessions::end(&client, spent.session).await?;
    // Where Redis is away this is made up for in the background; the answer is the same.
    drop(pending.publish(&[spent.session]).await);
    Err(ErrorCode::RefreshReused.into())
}

/// Ends a session, or all of the player's.
///
/// The row comes first: it is the truth, and it stays when Redis cannot be written. The answer is then "try again" and
/// not "done", because a gateway that does reach Redis would let the session's access token through until the background
/// has written the key. Asking again is harmless.
pub(crate) async fn sign_out(game: Arc<Game>, question: SignOut) -> Result<(), Fault> {
    let caller = question.caller;
    let client = game.postgres.client().await?;
    let pending = game.revocations.pending();
    let mut ended = vec![caller.session];
    if question.everywhere {
        ended.extend(store::sessions::end_all(&client, caller.player).await?);
    } else {
        store::sessions::end(&client, caller.session).await?;
    }
    drop(client);
    pending
        .publish(&ended)
        .await
        .map_err(|lost| not_published(&game, &lost))
}

/// Sessions have ended in Postgres, but Redis does not know it yet.
pub(crate) fn not_published(game: &Game, lost: &RedisLost) -> Fault {
    let (id, error) = (&game.id, gaia_service::telemetry::chain(lost));
    tracing::warn!(game.name = %id, error, "ended sessions of `{id}` cannot be written to redis yet: {error}");
    let detail = "The session has ended, but not every part of the game knows it yet; try again shortly.";
    Fault::new(ErrorCode::Unavailable, detail).retry_after_ms(1_000)
}

/// Says from Postgres whether a session holds.
pub(crate) async fn check(game: Arc<Game>, question: CheckSession) -> Result<SessionState, Fault> {
    // The gateway asks because Redis could not tell; the answer does not wait until it can.
    game.revocations.look_after();
    let client = game.postgres.client().await?;
    let is_open = store::sessions::is_open(&client, question.session).await?;
    Ok(if is_open {
        SessionState::Open
    } else {
        SessionState::Ended
    })
}
