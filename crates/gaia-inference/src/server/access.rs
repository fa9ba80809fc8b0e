//! Who may ask: whoever has the key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use gaia_names::Secret;
use sha2::{Digest, Sha256};

use super::Shared;
use super::refusal::Refusal;

/// The key, kept as its hash.
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(key: &Secret) -> Self {
        Self(Sha256::digest(key.expose()).into())
    }

    /// Whether a text is the key. It takes as long for a nearly right one as for any other: hashes of equal length
    /// are compared to their end.
    fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0
            .iter()
            .zip(given)
            .fold(0, |different, (one, other)| different | (one ^ other))
            == 0
    }
}

/// Lets a request through that carries a key.
pub(super) async fn with_key(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    use axum::response::IntoResponse;
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match given {
        Some((_, key)) if shared.keys.iter().any(|known| known.is(key.trim())) => next.run(request).await,
        _ => Refusal::wrong_key().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_opens() {
        let key = Key::new(&Secret::new("0123456789abcdef"));
        assert!(key.is("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"] {
            assert!(!key.is(wrong), "{wrong}");
        }
    }
}
