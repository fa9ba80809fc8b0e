//! Every question that `auth` answers.

use std::{future::Future, pin::Pin, sync::Arc};

use gaia_protocol::{
    ErrorCode, Fault, Request,
    api_keys::{CreateKey, FindNamedPlayer, ListKeys, RevokeKey, VerifyKey},
    auth::{
        CheckSession, DeletePlayer, EnterAsGuest, ReadKeys, ReadPlayer, RefreshSession, RenamePlayer, SetRole, SignIn,
        SignOut, SignUp,
    },
};
use gaia_service::{
    Call, Tasks,
    bus::{Answers, BusFault},
};

use crate::{api_keys, enter, game::Game, keys, players, sessions};

/// How many questions of one game are in hand at once.
const PLACES: usize = 256;

pub(crate) async fn answer(game: &Arc<Game>, tasks: &Tasks) -> Result<(), BusFault> {
    let answers = Answers::new(&game.bus, tasks, PLACES);

    // For players who come in.
    answers.to::<EnterAsGuest, _, _>(with(game, enter::as_guest)).await?;
    answers.to::<SignUp, _, _>(with(game, enter::sign_up)).await?;
    answers.to::<SignIn, _, _>(with(game, enter::sign_in)).await?;
    answers
        .to::<RefreshSession, _, _>(with(game, sessions::refresh))
        .await?;

    // For players who are in.
    answers.to::<SignOut, _, _>(with(game, sessions::sign_out)).await?;
    answers.to::<ReadPlayer, _, _>(with(game, players::read)).await?;
    answers.to::<RenamePlayer, _, _>(with(game, players::rename)).await?;
    answers.to::<DeletePlayer, _, _>(with(game, players::delete)).await?;

    // For the gateway itself.
    answers.to::<CheckSession, _, _>(with(game, sessions::check)).await?;
    answers.to::<ReadKeys, _, _>(with(game, keys::read)).await?;
    answers.to::<VerifyKey, _, _>(with(game, api_keys::verify)).await?;
    answers
        .to::<FindNamedPlayer, _, _>(with(game, api_keys::find_player))
        .await?;

    // For the cluster's admin API.
    answers.to::<SetRole, _, _>(with(game, players::set_role)).await?;
    answers.to::<CreateKey, _, _>(with(game, api_keys::create)).await?;
    answers.to::<ListKeys, _, _>(with(game, api_keys::list)).await?;
    answers.to::<RevokeKey, _, _>(with(game, api_keys::revoke)).await
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>>;

/// An answer from one game, given up when nobody waits for it any more.
fn with<R, A>(
    game: &Arc<Game>,
    answer: fn(Arc<Game>, R) -> A,
) -> impl Fn(Call, R) -> Answer<R::Reply> + Send + Sync + use<R, A>
where
    R: Request,
    A: Future<Output = Result<R::Reply, Fault>> + Send + 'static,
{
    let game = Arc::clone(game);
    move |call, question| {
        let answer = answer(Arc::clone(&game), question);
        Box::pin(async move {
            let late = |_| Err(Fault::from(ErrorCode::DeadlineExceeded));
            tokio::time::timeout(call.remaining(), answer)
                .await
                .unwrap_or_else(late)
        })
    }
}
