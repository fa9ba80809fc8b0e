//! The keys with which a game's own programs sign in, and the players that they speak for.
//!
//! A key's id stands where a session's id stands: the gateway looks in the same round trip whether it was revoked, and a
//! revocation is written down and made up for like the end of a session.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gaia_names::{KeyId, PlayerId, Secret, SessionId};
use gaia_protocol::{
    ErrorCode, Fault,
    api_keys::{
        ApiKey, CreateKey, FindNamedPlayer, KnownKey, LONGEST_KEY_NAME, LONGEST_PLAYER_NAME, ListKeys,
        MOST_KEY_REQUESTS_PER_MINUTE, NewApiKey, RevokeKey, VerifyKey, key_text,
    },
};

use crate::{game::Game, names, sessions, store};

/// The most keys of a game that hold at once.
const MOST_KEYS: i64 = 100;
/// How much of the random part of a key is shown, in characters.
const HINT: usize = 4;

/// Makes a key. Its text is in the answer and nowhere else.
pub(crate) async fn create(game: Arc<Game>, question: CreateKey) -> Result<NewApiKey, Fault> {
    let name = checked(&question)?;
    let client = game.postgres.client().await?;
    if store::api_keys::count(&client).await? >= MOST_KEYS {
        let detail = format!("The game has {MOST_KEYS} keys already; revoke one that nobody needs.");
        return Err(Fault::new(ErrorCode::InvalidInput, detail));
    }
    let random = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let text = key_text(&game.id, &random);
    let hint = key_text(&game.id, &random[..HINT]);
    // A password is hashed slowly because people choose it and it can be guessed. This is 256 bits of chance, which
    // nobody guesses, so a plain hash tells as little, and the gateway can ask for it with every request.
    let hash = digest(&SHA256, text.as_bytes());
    let key = store::api_keys::NewKey {
        id: KeyId::fresh(),
        hash: hash.as_ref(),
        hint: &hint,
        name,
        scopes: &question.scopes,
        requests_per_minute: question.requests_per_minute,
    };
    let key = store::api_keys::add(&client, &key).await?;
    let (id, game) = (key.id, &game.id);
    tracing::info!(game.name = %game, key.id = %id, "key {id} of `{game}` was made");
    Ok(NewApiKey {
        key,
        secret: Secret::new(text),
    })
}

fn checked(question: &CreateKey) -> Result<&str, Fault> {
    let refused = |detail: String| Err(Fault::new(ErrorCode::InvalidInput, detail));
    let name = question.name.trim();
    let length = name.chars().count();
    if length == 0 || length > LONGEST_KEY_NAME || name.chars().any(char::is_control) {
        return refused(format!(
            "`name` must have 1 to {LONGEST_KEY_NAME} characters in one line."
        ));
    }
    if question.scopes.is_empty() {
        return refused("`scopes` must name what the key is for.".to_owned());
    }
    if !(1..=MOST_KEY_REQUESTS_PER_MINUTE).contains(&question.requests_per_minute) {
        return refused(format!(
            "`requests_per_minute` must be 1 to {MOST_KEY_REQUESTS_PER_MINUTE}."
        ));
    }
    Ok(name)
}

pub(crate) async fn list(game: Arc<Game>, _: ListKeys) -> Result<Vec<ApiKey>, Fault> {
    Ok(store::api_keys::list(&game.postgres.client().await?).await?)
}

/// Revokes a key. As with a session, the row comes first and is the truth; asking again is harmless.
pub(crate) async fn revoke(game: Arc<Game>, question: RevokeKey) -> Result<ApiKey, Fault> {
    let client = game.postgres.client().await?;
    let pending = game.revocations.pending();
    let revoked = store::api_keys::revoke(&client, question.key).await?;
    drop(client);
    let ended: Vec<_> = revoked.iter().map(|key| SessionId(key.id.0)).collect();
    pending
        .publish(&ended)
        .await
        .map_err(|lost| sessions::not_published(&game, &lost))?;
    let key = revoked.ok_or_else(|| Fault::new(ErrorCode::NotFound, "The game has no key with this id."))?;
    let (id, game) = (key.id, &game.id);
    tracing::info!(game.name = %game, key.id = %id, "key {id} of `{game}` was revoked");
    Ok(key)
}

pub(crate) async fn verify(game: Arc<Game>, question: VerifyKey) -> Result<KnownKey, Fault> {
    let client = game.postgres.client().await?;
    let found = store::api_keys::find(&client, &question.hash).await?;
    let (key, is_seldom_seen) = found.ok_or_else(|| {
        Fault::new(
            ErrorCode::TokenInvalid,
            "The key is not one of this game's, or was revoked.",
        )
    })?;
    if is_seldom_seen {
        store::api_keys::note_use(&client, key.id).await?;
    }
    Ok(key)
}

/// Finds the player that a key's holder speaks for, or makes them.
pub(crate) async fn find_player(game: Arc<Game>, question: FindNamedPlayer) -> Result<PlayerId, Fault> {
    let hash = hash_name(&game, &question)?;
    let client = game.postgres.client().await?;
    if let Some(player) = store::named_players::find(&client, &hash).await? {
        return Ok(player);
    }
    match store::named_players::add(&client, &names::make(), &hash).await {
        Ok(player) => Ok(player),
        // Two asked at the same moment, and the other was first.
        Err(fault) if fault.violated() == Some(store::named_players::BY_NAME) => {
            let player = store::named_players::find(&client, &hash).await?;
            player.ok_or_else(|| Fault::from(ErrorCode::Overloaded).retry_after_ms(500))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// What a holder calls a player may be an address or a number of theirs, so only its hash is kept. A key's own player
/// has another beginning, so that no name leads to it.
fn hash_name(game: &Game, question: &FindNamedPlayer) -> Result<Vec<u8>, Fault> {
    let mut hash = Context::new(&SHA256);
    hash.update(game.id.as_str().as_bytes());
    match &question.name {
        None => {
            hash.update(b"\0key\0");
            hash.update(question.key.0.as_bytes());
        }
        Some(name) if (1..=LONGEST_PLAYER_NAME).contains(&name.len()) => {
            hash.update(b"\0name\0");
            hash.update(name.as_bytes());
        }
        Some(_) => {
            let detail = format!("The player's name must have 1 to {LONGEST_PLAYER_NAME} bytes.");
            return Err(Fault::new(ErrorCode::InvalidInput, detail));
        }
    }
    Ok(hash.finish().as_ref().to_vec())
}
