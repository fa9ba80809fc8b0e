//! What the steps are called, and what the resources they make are made from.

use gaia_names::{GameId, Store};

use super::StepId;
use crate::Blueprint;

/// The folders of the cluster.
pub(crate) const FOLDERS: &str = "folders";
/// What is left of a destroy that ended in the middle.
pub(crate) const LEFTOVERS: &str = "leftovers";
/// The generated secrets.
pub(crate) const SECRETS: &str = "secrets";
/// Secrets in the place of others, which hold beside them for a while.
pub(crate) const NEW_SECRETS: &str = "secrets:new";
/// The secrets that were replaced, when no service uses them any more.
pub(crate) const FORMER_SECRETS: &str = "secrets:former";
/// The same, when no store knows them any more.
pub(crate) const FORGOTTEN_SECRETS: &str = "secrets:forgotten";
/// The ports on loopback.
pub(crate) const PORTS: &str = "ports";
/// Postgres' data folder.
pub(crate) const POSTGRES_DATA: &str = "postgres:data";
/// The supervisor.
pub(crate) const SUPERVISOR: &str = "supervisor";
/// Postgres' database and roles.
pub(crate) const POSTGRES_ROLES: &str = "postgres:roles";
/// Postgres' schemas.
pub(crate) const POSTGRES_MIGRATIONS: &str = "postgres:migrations";
/// Redis' users.
pub(crate) const REDIS_USERS: &str = "redis:users";
/// NATS' accounts.
pub(crate) const NATS_ACCOUNTS: &str = "nats:accounts";
/// The note that all is done, where nothing else is missing.
pub(crate) const RECORD: &str = "record";
/// The Compose file and what the containers read.
pub(crate) const COMPOSE_FILES: &str = "files";
/// Destroy: all objects of a namespace but its volumes and what is needed to take them up again.
pub(crate) const OBJECTS: &str = "objects";
/// Destroy: the namespace with all that it holds.
pub(crate) const NAMESPACE: &str = "namespace";
/// Destroy: all volumes.
pub(crate) const VOLUMES: &str = "volumes";
/// Destroy: all processes.
pub(crate) const PROCESSES: &str = "processes";
/// Destroy: the folder with all data.
pub(crate) const FOLDER: &str = "folder";
/// Destroy: looking whether anything is left.
pub(crate) const PROOF: &str = "proof";

/// The stores in the order in which they start.
pub(crate) const STORES: [Store; 3] = [Store::Postgres, Store::Redis, Store::Nats];

/// The step of a store, or of one of its nodes.
pub(crate) fn store_step(instance: &str) -> StepId {
    StepId(format!("store:{instance}"))
}

/// The step of a part that is no store and no service.
pub(crate) fn part_step(name: &str) -> StepId {
    StepId(format!("part:{name}"))
}

pub(crate) fn service_step(instance: &str) -> StepId {
    StepId(format!("service:{instance}"))
}

pub(crate) fn bundle_step(game: &GameId) -> StepId {
    StepId(format!("bundle:{game}"))
}

/// What a bundle's resource is made from.
pub(crate) fn bundle_digest(blueprint: &Blueprint, game: &GameId) -> String {
    blueprint
        .games
        .get(game)
        .map(|own| format!("{}:{}", own.bundle.generation, own.bundle_digest))
        .unwrap_or_default()
}

/// What the folders are made from.
pub(crate) fn folders_digest() -> String {
    "1".to_owned()
}
