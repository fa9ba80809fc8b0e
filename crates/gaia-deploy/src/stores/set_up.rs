//! Making the stores of a cluster ready from within it, where whoever applies cannot reach them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{
    addresses::Addresses,
    migrations,
    nats::{self, Reader},
    postgres, redis,
};
use crate::{DeployError, error::with_cause, files, secrets::Secrets};

/// How long the stores may take until they answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often they are asked meanwhile.
const STEP: Duration = Duration::from_millis(100);

/// What `gaia serve setup` is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SetUp {
    pub(crate) addresses: Addresses,
    pub(crate) secrets: Secrets,
    /// Whom NATS lets in as soon as it has read its accounts.
    pub(crate) reader: Reader,
}

/// Waits for the stores and makes in them what the cluster's services need: roles and tables in Postgres, users in Redis.
/// NATS is only asked whether it knows everybody. Doing it again changes nothing.
///
/// # Errors
///
/// If the settings cannot be read, or a store does not answer or refuses.
pub async fn set_up(settings: &Path) -> Result<(), DeployError> {
    let Some(SetUp {
        addresses,
        secrets,
        reader,
    }) = files::read_json(settings, "the settings of a setup")?
    else {
        return Err(DeployError::Input(format!("there is no file {}", settings.display())));
    };
    let superuser = addresses.superuser(&secrets);
    until("postgres", async || postgres::ping(&superuser).await).await?;
    tracing::info!("roles and tables are made in Postgres");
    // Nobody but a setup comes as superuser, owner or first user where it runs; who does may have former passwords.
    let ends_admins = true;
    postgres::apply_roles(&superuser, &secrets, ends_admins).await?;
    migrations::migrate(&addresses.owner(&secrets)).await?;
    let owner = addresses.redis_owner(&secrets);
    until("redis", async || redis::ping(&owner).await).await?;
    if redis::is_cluster(&owner.access.address) {
        tracing::info!("the nodes of Redis become a cluster");
        redis::form(&owner).await?;
    }
    tracing::info!("users are made in Redis");
    redis::set_users(&owner, &secrets, ends_admins).await?;
    until("nats", async || nats::greet(&addresses.nats).await).await?;
    nats::wait_for_accounts(&addresses.nats, &reader, PATIENCE).await?;
    tracing::info!("all three stores are ready");
    Ok(())
}

async fn until(store: &str, asked: impl AsyncFn() -> Result<(), DeployError>) -> Result<(), DeployError> {
    let began = Instant::now();
    while let Err(fault) = asked().await {
        if began.elapsed() > PATIENCE {
            return Err(DeployError::Silent {
                what: store.to_owned(),
                seconds: PATIENCE.as_secs(),
                why: with_cause(&fault),
            });
        }
        sleep(STEP).await;
    }
    Ok(())
}
