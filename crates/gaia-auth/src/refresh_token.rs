//! Refresh tokens: 32 random bytes that only the client keeps; here only their hash is kept.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gaia_names::Secret;

/// A token that was just made.
pub(crate) struct RefreshToken([u8; 32]);

impl RefreshToken {
    pub(crate) fn fresh() -> Self {
        Self(rand::random())
    }

    /// What the client sends back.
    pub(crate) fn text(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        // The token is random and long, so a plain hash of it cannot be reversed by guessing.
        digest(&SHA256, &self.0).as_ref().to_vec()
    }

    /// What a client sent; none if it cannot be one of ours.
    pub(crate) fn parse(given: &Secret) -> Option<Self> {
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(given.expose(), &mut bytes).ok()?;
        (length == bytes.len()).then_some(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_garbage_is_not() {
        let token = RefreshToken::fresh();
        let text = token.text();
        assert_eq!(RefreshToken::parse(&text).unwrap().hash(), token.hash());
        assert_ne!(RefreshToken::fresh().hash(), token.hash());
        let text = text.expose();
        for bad in [
            "",
            "a",
            &text[1..],
            &format!("{text}A"),
            &format!("{text}="),
            &"A".repeat(100_000),
            "💥",
        ] {
            assert!(RefreshToken::parse(&Secret::new(bad)).is_none(), "{bad:.80} was taken");
        }
    }
}
