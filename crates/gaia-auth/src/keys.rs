//! The keys that sign access tokens and the public half that others check them with.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use gaia_names::{GameId, Secret, SessionId};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{ACCESS_TOKEN_SECONDS, Claims, ISSUER, Player, ReadKeys},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};

use crate::game::Game;

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
    /// A set, so that the next key can be shown before it signs.
    public: JwkSet,
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
            public: JwkSet { keys: vec![public] },
        })
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

pub(crate) async fn read(game: Arc<Game>, _: ReadKeys) -> Result<serde_json::Value, Fault> {
    serde_json::to_value(&game.keys.public).map_err(|error| {
        tracing::error!(error = %error, "the public keys cannot be written: {error}");
        ErrorCode::Internal.into()
    })
}
