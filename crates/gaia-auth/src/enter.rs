//! The ways in: as a guest, by signing up, by signing in.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use gaia_names::{PlayerId, Secret};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{EnterAsGuest, Player, SignIn, SignUp, SignedIn},
};
use gaia_service::postgres::PostgresFault;

use crate::{
    email::Email,
    game::Game,
    names,
    passwords::{self, Compared},
    sessions::{self, Started},
    store,
    throttle::Attempt,
};

/// How often a guest is tried again who met themselves at the door, or their own deletion.
const RACES: usize = 3;

/// Lets a guest in. The same device is the same player until the player signs up: from then on the password is the way
/// in, and the device starts a new guest.
pub(crate) async fn as_guest(game: Arc<Game>, question: EnterAsGuest) -> Result<SignedIn, Fault> {
    let device = hash_device(&game, &question.device_id)?;
    let chosen = question.display_name.as_deref().map(names::parse).transpose()?;
    let display_name = chosen.unwrap_or_else(names::make);
    game.keys.show(&game.postgres).await?;
    for _ in 0..RACES {
        match guest(&game, &device, &display_name).await {
            Ok(started) => return let_in(&game, "guest", started),
            Err(fault)
                if matches!(
                    fault.violated(),
                    Some(store::devices::BY_DEVICE | store::sessions::OF_PLAYER)
                ) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Err(Fault::from(ErrorCode::Overloaded).retry_after_ms(500))
}

async fn guest(game: &Game, device: &[u8], display_name: &str) -> Result<Started, PostgresFault> {
    let client = game.postgres.client().await?;
    let player = match store::devices::player_of(&client, device).await? {
        Some(player) => player,
        None => store::players::add_guest(&client, display_name, device).await?,
    };
    let pending = game.revocations.pending();
    let started = sessions::start(&client, player).await?;
    drop(pending.publish(&started.ended).await);
    Ok(started)
}

/// Signs a player up: a new one, or the guest who asks.
pub(crate) async fn sign_up(game: Arc<Game>, question: SignUp) -> Result<SignedIn, Fault> {
    let email = Email::parse(&question.email)?;
    passwords::check(&question.password, &email)?;
    let name = question.display_name.as_deref().map(names::parse).transpose()?;
    let guest = question.caller.map(|caller| caller.player);
    game.keys.show(&game.postgres).await?;
    refuse_early(&game, guest, &email).await?;
    // No connection is held meanwhile: hashing takes long, and others wait for connections.
    let password_hash = game.passwords.hash(question.password).await?;

    let mut client = game.postgres.client().await?;
    let pending = game.revocations.pending();
    let added = async {
        let all_or_nothing = client.transaction().await?;
        let player = match guest {
            None => {
                let name = name.unwrap_or_else(names::make);
                Some(store::players::add(&all_or_nothing, &name, &email, &password_hash).await?)
            }
            Some(guest) => {
                store::devices::forget(&all_or_nothing, guest).await?;
                store::players::sign_up_guest(&all_or_nothing, guest, name.as_deref(), &email, &password_hash).await?
            }
        };
        let Some(player) = player else { return Ok(None) };
        let started = sessions::start(&all_or_nothing, player).await?;
        all_or_nothing.commit().await?;
        Ok(Some(started))
    };
    match added.await {
        Ok(Some(started)) => {
            drop(pending.publish(&started.ended).await);
            let_in(&game, "sign-up", started)
        }
        Ok(None) => Err(signed_up_before()),
        Err(fault) if PostgresFault::violated(&fault) == Some(store::players::BY_EMAIL) => {
            Err(ErrorCode::EmailTaken.into())
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Spares the work of hashing where the answer is known. The constraint decides in the end.
async fn refuse_early(game: &Game, guest: Option<PlayerId>, email: &Email) -> Result<(), Fault> {
    let client = game.postgres.client().await?;
    if let Some(guest) = guest {
        match store::players::find(&client, guest).await? {
            None => return Err(ErrorCode::SessionEnded.into()),
            Some(player) if !player.is_guest => return Err(signed_up_before()),
            Some(_) => {}
        }
    }
    match store::players::find_by_email(&client, email).await? {
        Some(_) => Err(ErrorCode::EmailTaken.into()),
        None => Ok(()),
    }
}

fn signed_up_before() -> Fault {
    Fault::new(
        ErrorCode::Forbidden,
        "This player has signed up already; sign out first to sign up as another.",
    )
}

/// Signs a player in. An unknown email costs the same work as a wrong password and gets the same answer.
pub(crate) async fn sign_in(game: Arc<Game>, question: SignIn) -> Result<SignedIn, Fault> {
    let Ok(email) = Email::parse(&question.email) else {
        return Err(ErrorCode::WrongCredentials.into());
    };
    let attempt = Attempt::begin(&game.redis, &email).await?;
    match verify(&game, &email, question.password).await {
        Ok(Some(player)) => {
            attempt.succeeded().await;
            admit(&game, player).await
        }
        Ok(None) => Err(ErrorCode::WrongCredentials.into()),
        Err(fault) => {
            attempt.take_back().await;
            Err(fault)
        }
    }
}

/// The player with this email, if this is their password.
async fn verify(game: &Game, email: &Email, password: Secret) -> Result<Option<Player>, Fault> {
    let found = store::players::find_by_email(&game.postgres.client().await?, email).await?;
    let (player, kept) = found.unzip();
    match (game.passwords.compare(password, kept.clone()).await?, player) {
        (Compared::Right { better }, Some(player)) => {
            if let (Some(better), Some(kept)) = (better, kept) {
                store::players::rehash(&game.postgres.client().await?, player.id, &kept, &better).await?;
            }
            Ok(Some(player))
        }
        _ => Ok(None),
    }
}

async fn admit(game: &Game, player: Player) -> Result<SignedIn, Fault> {
    game.keys.show(&game.postgres).await?;
    let client = game.postgres.client().await?;
    let pending = game.revocations.pending();
    match sessions::start(&client, player).await {
        Ok(started) => {
            drop(pending.publish(&started.ended).await);
            let_in(game, "sign-in", started)
        }
        // The player was deleted since the password was compared.
        Err(fault) if fault.violated() == Some(store::sessions::OF_PLAYER) => Err(ErrorCode::WrongCredentials.into()),
        Err(fault) => Err(fault.into()),
    }
}

fn let_in(game: &Game, way: &'static str, started: Started) -> Result<SignedIn, Fault> {
    metrics::counter!("gaia_auth_sessions_started_total", "game" => game.id.to_string(), "way" => way).increment(1);
    started.signed_in(game)
}

/// A device id is as good as a password, so only its hash is kept. The game is part of it, so that the same device in two
/// games cannot be told to be the same.
fn hash_device(game: &Game, device_id: &Secret) -> Result<Vec<u8>, Fault> {
    let text = device_id.expose();
    if !(16..=128).contains(&text.chars().count()) {
        let detail = "The device id must be a random text of 16 to 128 characters.";
        return Err(Fault::new(ErrorCode::InvalidInput, detail));
    }
    let mut hash = Context::new(&SHA256);
    hash.update(game.id.as_str().as_bytes());
    hash.update(b"\0");
    hash.update(text.as_bytes());
    Ok(hash.finish().as_ref().to_vec())
}
