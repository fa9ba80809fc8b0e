//! The secrets of one cluster: made here, kept in one file of mode 0600, never shown.
//!
//! They are replaced with an overlap, and each stage is written down before anything follows from it: first the new ones
//! stand beside the former ones and the stores know both, while the services move to the new; then the stores forget the
//! former ones; then they go from the file. Logins have a second name, in turn with the first, so that nobody who is
//! connected is cut off before all have moved.

use std::collections::BTreeMap;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use gaia_names::{GameId, Secret, Service, Store, expose};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};

use crate::{
    Blueprint, DeployError, Step,
    apply::Made,
    plan::ids::{FORGOTTEN_SECRETS, FORMER_SECRETS, NEW_SECRETS},
};

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
    /// How often they were replaced.
    #[serde(default)]
    pub(crate) rotation: u32,
    /// Those that they replace, until nothing knows them any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former: Option<Box<Former>>,
}

/// Secrets that are being replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) secrets: Secrets,
    /// Whether every service has moved to the new ones, so that the stores are to forget these.
    pub(crate) are_ending: bool,
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
            rotation: 0,
            former: None,
        })
    }

    /// Makes those that a blueprint asks for, unless they are there, and drops those of games that it has not.
    pub(crate) fn complete(&mut self, blueprint: &Blueprint) -> Result<(), DeployError> {
        self.games.retain(|game, _| blueprint.games.contains_key(game));
        if let Some(former) = &mut self.former {
            former
                .secrets
                .games
                .retain(|game, _| blueprint.games.contains_key(game));
        }
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

    /// Makes others in their place and remembers these as the former ones. What the nodes of a store show each other stays,
    /// because NATS takes one password alone.
    pub(crate) fn rotate(&mut self) -> Result<(), DeployError> {
        let mut new = Self::make()?;
        for game in self.games.keys() {
            new.add_game(game)?;
        }
        new.nodes = self.nodes.clone();
        new.rotation = self.rotation.wrapping_add(1);
        let former = Former {
            secrets: std::mem::replace(self, new),
            are_ending: false,
        };
        self.former = Some(Box::new(former));
        Ok(())
    }

    /// Does what a step of a rotation says, once, however often it is asked for. What is made is to be kept then.
    pub(crate) fn carry_on(&mut self, step: &Step) -> Result<Made, DeployError> {
        match step.id.0.as_str() {
            NEW_SECRETS if self.former.is_none() => {
                self.rotate()?;
                Ok(Some((self.rotation.to_string(), String::new())))
            }
            FORMER_SECRETS => {
                if let Some(former) = &mut self.former {
                    former.are_ending = true;
                }
                Ok(None)
            }
            FORGOTTEN_SECRETS if self.former.as_ref().is_none_or(|former| former.are_ending) => {
                self.former = None;
                Ok(None)
            }
            _ => Err(DeployError::OtherBlueprint),
        }
    }

    /// All that the stores are to know, the newest first.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Self> {
        let former = self.former.iter().filter(|former| !former.are_ending);
        [self].into_iter().chain(former.map(|former| &former.secrets))
    }

    /// All that may open something, the newest first: in the midst of a change nobody knows which does.
    pub(crate) fn tried(&self) -> impl Iterator<Item = &Self> {
        [self]
            .into_iter()
            .chain(self.former.iter().map(|former| &former.secrets))
    }

    /// What the gateways of a game take for its admin's, the newest first.
    pub(crate) fn admin_tokens(&self, game: &GameId) -> Vec<Secret> {
        let known = self.tried().filter_map(|tried| tried.games.get(game));
        known.map(|own| own.admin_token.clone()).collect()
    }

    /// The same without former ones that the stores are to forget.
    pub(crate) fn in_force(&self) -> Self {
        let mut own = self.clone();
        own.former = own.former.filter(|former| !former.are_ending);
        own
    }

    /// Whose password opens Postgres.
    pub(crate) fn postgres_users(&self) -> impl Iterator<Item = (&GameId, Service, &Secret)> {
        let games = self.games.iter();
        games.flat_map(|(game, own)| {
            own.postgres
                .iter()
                .map(move |(service, secret)| (game, *service, secret))
        })
    }

    /// As whom the services of a game come to Redis.
    pub(crate) fn redis_user(&self, game: &GameId) -> String {
        self.in_turn(game.to_string())
    }

    /// As whom a service comes to Postgres and NATS. Row-level security goes by what stands before the first `/`.
    pub(crate) fn service_user(&self, game: &GameId, service: Service) -> String {
        self.in_turn(format!("{game}/{service}"))
    }

    fn in_turn(&self, name: String) -> String {
        match self.rotation % 2 {
            0 => name,
            _ => format!("{name}/2"),
        }
    }

    /// Whether the stores are to forget former ones.
    pub(crate) fn are_ending(&self) -> bool {
        self.former.as_ref().is_some_and(|former| former.are_ending)
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
