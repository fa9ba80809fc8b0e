//! The secrets of one cluster: made here, kept in one file of mode 0600, never shown.

use std::collections::BTreeMap;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use gaia_names::{GameId, Secret, Service, Store, expose};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};

use crate::{Blueprint, DeployError};

/// The services that have tables.
pub(crate) const WITH_TABLES: [Service; 2] = [Service::Auth, Service::Chat];

/// All secrets of one cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// Postgres' superuser: only to make roles and the database.
    #[serde(serialize_with = "expose")]
    pub(crate) postgres_superuser: Secret,
    /// Postgres' owner of all tables.
    #[serde(serialize_with = "expose")]
    pub(crate) postgres_apply: Secret,
    /// Redis' user that makes the others.
    #[serde(serialize_with = "expose")]
    pub(crate) redis_apply: Secret,
    /// NATS' system account.
    #[serde(serialize_with = "expose")]
    pub(crate) nats_system: Secret,
    /// The key of a cluster's own inference. Clusters without one may have been made before it was.
    #[serde(default = "none", serialize_with = "expose")]
    pub(crate) inference: Secret,
    /// What the nodes of a store show each other, where it has several.
    #[serde(default = "none", skip_serializing_if = "is_none", serialize_with = "expose")]
    pub(crate) nodes: Secret,
    /// Those of each game.
    pub(crate) games: BTreeMap<GameId, GameSecrets>,
}

/// The secrets of one game in a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GameSecrets {
    #[serde(serialize_with = "expose_all")]
    pub(crate) postgres: BTreeMap<Service, Secret>,
    #[serde(serialize_with = "expose")]
    pub(crate) redis: Secret,
    #[serde(serialize_with = "expose_all")]
    pub(crate) nats: BTreeMap<Service, Secret>,
    /// What the gateway's admin API asks for.
    #[serde(serialize_with = "expose")]
    pub(crate) admin_token: Secret,
    /// What signs access tokens.
    #[serde(serialize_with = "expose")]
    pub(crate) signing_key: Secret,
}

impl Secrets {
    /// New ones, for no game yet.
    pub(crate) fn make() -> Result<Self, DeployError> {
        Ok(Self {
            postgres_superuser: random()?,
            postgres_apply: random()?,
            redis_apply: random()?,
            nats_system: random()?,
            inference: random()?,
            nodes: none(),
            games: BTreeMap::new(),
        })
    }

    /// Makes those that a blueprint asks for, unless they are there.
    pub(crate) fn complete(&mut self, blueprint: &Blueprint) -> Result<(), DeployError> {
        for game in blueprint.games.keys() {
            self.add_game(game)?;
        }
        if !self.has_nodes(blueprint) {
            self.nodes = random()?;
        }
        Ok(())
    }

    /// Whether the nodes of its stores have what to show each other, where there are several.
    pub(crate) fn has_nodes(&self, blueprint: &Blueprint) -> bool {
        !is_none(&self.nodes) || !Store::ALL.iter().any(|store| blueprint.is_clustered(*store))
    }

    /// Makes those of a game, unless it has some.
    pub(crate) fn add_game(&mut self, game: &GameId) -> Result<(), DeployError> {
        if !self.games.contains_key(game) {
            self.games.insert(game.clone(), GameSecrets::make()?);
        }
        Ok(())
    }
}

impl GameSecrets {
    fn make() -> Result<Self, DeployError> {
        Ok(Self {
            postgres: each(&WITH_TABLES)?,
            redis: random()?,
            nats: each(Service::ALL)?,
            admin_token: random()?,
            signing_key: signing_key_pem()?,
        })
    }
}

/// A new Ed25519 key: PKCS #8, PEM.
///
/// # Errors
///
/// If the system gives no randomness.
pub fn signing_key_pem() -> Result<Secret, DeployError> {
    let no_key = |_| DeployError::System {
        doing: "make a signing key",
        source: std::io::Error::other("the system gave no randomness"),
    };
    let pair = Ed25519KeyPair::generate().map_err(no_key)?;
    // Version 1 of PKCS #8 carries the private key alone, which every reader understands.
    let document = pair.to_pkcs8v1().map_err(no_key)?;
    let text = STANDARD.encode(document.as_ref());
    Ok(Secret::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    )))
}

/// 32 random bytes that may stand in a URL, a config file and SQL as they are.
pub(crate) fn random() -> Result<Secret, DeployError> {
    let mut bytes = [0u8; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|fault| DeployError::System {
        doing: "make a secret",
        source: std::io::Error::other(fault.to_string()),
    })?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

fn none() -> Secret {
    Secret::new("")
}

fn is_none(secret: &Secret) -> bool {
    secret.expose().is_empty()
}

fn each(services: &[Service]) -> Result<BTreeMap<Service, Secret>, DeployError> {
    services
        .iter()
        .map(|service| random().map(|secret| (*service, secret)))
        .collect()
}

fn expose_all<S: serde::Serializer>(all: &BTreeMap<Service, Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(all.iter().map(|(service, secret)| (service, secret.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_different_and_not_shown() {
        let mut secrets = Secrets::make().unwrap();
        secrets.add_game(&"kos".parse().unwrap()).unwrap();
        let text = serde_json::to_string(&secrets).unwrap();
        let shown = format!("{secrets:?}");
        for secret in [&secrets.postgres_apply, &secrets.redis_apply, &secrets.nats_system] {
            assert_eq!(secret.expose().len(), 43);
            assert_eq!(text.matches(secret.expose()).count(), 1);
            assert!(!shown.contains(secret.expose()));
        }
    }

    #[test]
    fn a_signing_key_is_pkcs8_that_reads_back() {
        let pem = signing_key_pem().unwrap();
        let body: String = pem.expose().lines().filter(|line| !line.starts_with('-')).collect();
        assert!(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(body).unwrap()).is_ok());
    }
}
