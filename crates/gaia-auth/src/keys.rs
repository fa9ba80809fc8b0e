//! The keys that sign access tokens and the public half that others check them with.
//!
//! While a signing key is replaced, some instances sign with the one and some with the other, and gateways ask any of
//! them for the public halves. So each instance writes its own into Postgres before the first token that it signs is
//! out, all show what is there, and a key is shown until the last token that it can have signed is over.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use gaia_names::{GameId, Secret, SessionId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{ACCESS_TOKEN_SECONDS, Claims, ISSUER, Player, ReadKeys},
};
use gaia_service::{Postgres, Tasks, postgres::PostgresFault};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};

use crate::{game::Game, store::signing_keys};

/// How often an instance that signs says that it still does, in seconds.
const SAID_AGAIN_SECONDS: i64 = 300;
/// How long a key is shown from then on, in seconds: as long as a token of that time lasts, and what a sign-in may take.
const SHOWN_SECONDS: i64 = SAID_AGAIN_SECONDS + ACCESS_TOKEN_SECONDS + 60;
/// How long whoever asks for the keys waits for Postgres. Our own key, and those that were read last, need none.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why a signing key cannot be used. It says nothing of the key itself.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The text is no PEM with an Ed25519 key.
    #[error("it is no private Ed25519 key in PEM")]
    Pem(#[from] jsonwebtoken::errors::Error),
    /// The bytes in the PEM are no key.
    #[error("it is no PKCS #8 key")]
    Pkcs8(#[from] aws_lc_rs::error::KeyRejected),
}

/// One game's signing key.
///
/// With one crypto feature on, `jsonwebtoken` chooses its provider by itself: here `aws_lc_rs`.
pub(crate) struct Keys {
    signing: EncodingKey,
    header: Header,
    public: Jwk,
    /// When Postgres was told that it signs.
    said_at: Mutex<Option<Instant>>,
    /// The keys of all instances, as they were read last.
    shown: Mutex<JwkSet>,
}

impl Keys {
    pub(crate) fn read(pem: &Secret) -> Result<Self, KeyFault> {
        let signing = EncodingKey::from_ed_pem(pem.expose().as_bytes())?;
        let pair = Ed25519KeyPair::from_pkcs8(signing.as_bytes())?;
        let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
        let mut public = Jwk::from_decoding_key(&public, Some(Algorithm::EdDSA))?;
        let id = public.thumbprint(ThumbprintHash::SHA256)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(id);
        Ok(Self {
            signing,
            header,
            shown: Mutex::new(JwkSet {
                keys: vec![public.clone()],
            }),
            public,
            said_at: Mutex::new(None),
        })
    }

    /// Sees to it that every instance shows the key, before it signs.
    ///
    /// # Errors
    ///
    /// Where Postgres does not answer.
    pub(crate) async fn show(&self, postgres: &Postgres) -> Result<(), PostgresFault> {
        let said_at = *lock(&self.said_at);
        if said_at.is_some_and(|at| at.elapsed().as_secs() < SAID_AGAIN_SECONDS.unsigned_abs()) {
            return Ok(());
        }
        let now = Instant::now();
        let client = postgres.client().await?;
        signing_keys::show(&client, &self.public, SHOWN_SECONDS).await?;
        *lock(&self.said_at) = Some(now);
        Ok(())
    }

    /// The public halves of all keys with which a token may be signed that still lasts.
    async fn shown(&self, postgres: &Postgres) -> JwkSet {
        let read = async { signing_keys::read(&postgres.client().await?).await };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(mut keys)) => {
                let is_own = |key: &Jwk| key.common.key_id == self.public.common.key_id;
                if !keys.iter().any(is_own) {
                    keys.push(self.public.clone());
                }
                *lock(&self.shown) = JwkSet { keys };
            }
            Ok(Err(fault)) => tracing::debug!(error = %fault, "the keys of other instances cannot be read now"),
            Err(_) => tracing::debug!("the keys of other instances cannot be read in time"),
        }
        lock(&self.shown).clone()
    }

    /// Signs what a player may show for the next 15 minutes.
    pub(crate) fn sign(&self, game: &GameId, player: &Player, session: SessionId) -> Result<Secret, Fault> {
        let now = chrono::Utc::now().timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: game.to_string(),
            sub: player.id,
            sid: session,
            role: player.role,
            iat: now,
            exp: now + ACCESS_TOKEN_SECONDS,
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.signing).map_err(|error| {
            tracing::error!(game.name = %game, error = %error, "an access token of `{game}` cannot be signed: {error}");
            Fault::from(ErrorCode::Internal)
        })?;
        Ok(Secret::new(token))
    }
}

/// Shows the key as soon as Postgres is there, so that the first to sign in need not wait for it.
pub(crate) async fn show_early(game: Arc<Game>, tasks: Tasks) {
    while let Err(fault) = game.keys.show(&game.postgres).await {
        tracing::debug!(error = %fault, "the key of this instance is shown later");
        tokio::select! {
            () = tasks.draining() => return,
            () = tokio::time::sleep(PATIENCE) => {}
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn read(game: Arc<Game>, _: ReadKeys) -> Result<serde_json::Value, Fault> {
    serde_json::to_value(game.keys.shown(&game.postgres).await).map_err(|error| {
        tracing::error!(error = %error, "the public keys cannot be written: {error}");
        ErrorCode::Internal.into()
    })
}
