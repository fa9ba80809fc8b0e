//! The game's public keys, fetched from `auth` and kept.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use gaia_protocol::{ErrorCode, Fault, auth::ReadKeys};
use gaia_service::{Bus, Call};
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde_json::Value;

/// A key nobody knows sends us to `auth` at most this often: the key's name comes from whoever sent the token. Who comes
/// sooner waits, because a key may be that new.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// A failure holds only so long, so that a cluster that is coming up answers as soon as it can.
const FAILURE_HOLDS: Duration = Duration::from_millis(300);
/// Keys that were withdrawn are forgotten after this.
const FRESH: Duration = Duration::from_secs(300);

/// One game's keys.
pub(super) struct Keys {
    bus: Bus,
    known: RwLock<Option<Arc<Known>>>,
    /// Held while `auth` is asked, with the last time.
    asking: tokio::sync::Mutex<Option<Asked>>,
}

/// One time that `auth` was asked.
struct Asked {
    began: Instant,
    ended: Instant,
    said: Result<(), Fault>,
}

struct Known {
    by_name: HashMap<String, DecodingKey>,
    document: Value,
    read_at: Instant,
}

impl Keys {
    pub(super) fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            known: RwLock::new(None),
            asking: tokio::sync::Mutex::new(None),
        }
    }

    /// The key with this name.
    pub(super) async fn named(&self, call: &Call, name: &str) -> Result<DecodingKey, Fault> {
        let known = self.current();
        let key = known.as_ref().and_then(|known| known.by_name.get(name).cloned());
        let is_fresh = known.is_some_and(|known| known.read_at.elapsed() < FRESH);
        match key {
            Some(key) if is_fresh => Ok(key),
            Some(key) => {
                // `auth` may be away for a while; a key that was good is good until `auth` says otherwise.
                let asked = self.ask(call).await;
                match (asked, self.find(name)) {
                    (Ok(()), found) => found.ok_or_else(|| ErrorCode::TokenInvalid.into()),
                    (Err(_), _) => Ok(key),
                }
            }
            None => {
                self.ask(call).await?;
                self.find(name).ok_or_else(|| ErrorCode::TokenInvalid.into())
            }
        }
    }

    /// All of them, as `auth` gives them.
    pub(super) async fn document(&self, call: &Call) -> Result<Value, Fault> {
        let is_fresh = |known: &Arc<Known>| known.read_at.elapsed() < FRESH;
        if let Some(known) = self.current().filter(is_fresh) {
            return Ok(known.document.clone());
        }
        let asked = self.ask(call).await;
        match self.current() {
            Some(known) => Ok(known.document.clone()),
            None => Err(asked.err().unwrap_or_else(|| ErrorCode::Unavailable.into())),
        }
    }

    fn current(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find(&self, name: &str) -> Option<DecodingKey> {
        self.current()?.by_name.get(name).cloned()
    }

    /// Asks `auth`, unless somebody else has done so since we came, or in vain a moment ago.
    async fn ask(&self, call: &Call) -> Result<(), Fault> {
        let came = Instant::now();
        let mut asking = self.asking.lock().await;
        if let Some(last) = &*asking {
            let holds = match last.said {
                Ok(()) => last.began >= came,
                Err(_) => last.ended >= came || last.ended.elapsed() < FAILURE_HOLDS,
            };
            if holds {
                return last.said.clone();
            }
            if last.said.is_ok() {
                tokio::time::sleep_until((last.began + ASKED_AGAIN).into()).await;
            }
        }
        let began = Instant::now();
        let said = match self.bus.ask(call, &ReadKeys {}).await {
            Ok(document) => {
                let known = Known {
                    by_name: usable(&document),
                    document,
                    read_at: Instant::now(),
                };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
                Ok(())
            }
            Err(fault) => Err(fault),
        };
        *asking = Some(Asked {
            began,
            ended: Instant::now(),
            said: said.clone(),
        });
        said
    }
}

/// The Ed25519 keys of a key set that have a name.
fn usable(document: &Value) -> HashMap<String, DecodingKey> {
    let keys = document.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(|key| {
        let key: Jwk = serde_json::from_value(key.clone()).ok()?;
        let AlgorithmParameters::OctetKeyPair(parameters) = &key.algorithm else {
            return None;
        };
        if parameters.curve != EllipticCurve::Ed25519 {
            return None;
        }
        let name = key.common.key_id.clone()?;
        Some((name, DecodingKey::from_jwk(&key).ok()?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_named_ed25519_keys_are_used() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let keys = usable(&json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one", "alg": "EdDSA", "use": "sig" },
            { "kty": "OKP", "crv": "Ed25519", "x": x },
            { "kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256" },
            { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa" },
            "nonsense",
        ]}));
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["one"]);
        assert!(usable(&json!({})).is_empty());
    }
}
