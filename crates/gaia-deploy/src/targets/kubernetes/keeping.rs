//! What a destroy leaves of a namespace that keeps its data: the volumes, the secrets that open them, and the record.

use std::time::Instant;

use gaia_kubernetes::Kind;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    inventory::{INVENTORY, Inventory, SECRETS},
    objects::{CLUSTER, EXTRAS, step_of},
    observing::MADE_OF,
    work::{ENDING, LOOK, still_there},
};
use crate::{DeployError, Kept};

/// Removes all that was made in a namespace but what is kept, and waits until it is gone.
pub(crate) async fn remove_all_but_data(inventory: &Inventory) -> Result<(), DeployError> {
    let (kubernetes, namespace) = (&inventory.kubernetes, inventory.namespace());
    let selector = format!("{CLUSTER}={}", inventory.cluster);
    for kind in all_kinds(inventory).await?.chain([Kind::LEASE]) {
        for object in kubernetes.list(kind, &namespace, &selector).await? {
            let name = name(&object);
            if why_kept(kind, name).is_none() {
                kubernetes.delete(kind, &namespace, name).await?;
            }
        }
    }
    let began = Instant::now();
    loop {
        let (left, _) = left(inventory).await?;
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > ENDING {
            return Err(still_there(left.join(", "), began));
        }
        sleep(LOOK).await;
    }
}

/// What is left in a namespace: what should have gone, and what is kept.
pub(crate) async fn left(inventory: &Inventory) -> Result<(Vec<String>, Vec<Kept>), DeployError> {
    let (kubernetes, namespace) = (&inventory.kubernetes, inventory.namespace());
    let selector = format!("{CLUSTER}={}", inventory.cluster);
    let (mut left, mut kept) = (
        Vec::new(),
        vec![Kept::data(format!("the namespace {namespace}, which holds the rest"))],
    );
    for kind in all_kinds(inventory).await?.chain([Kind::POD, Kind::VOLUME_CLAIM]) {
        for object in kubernetes.list(kind, &namespace, &selector).await? {
            let name = name(&object);
            match why_kept(kind, name) {
                Some(why) => kept.push(why(format!("{} {name}", kind.name))),
                None => left.push(step_of(kind, name).0),
            }
        }
    }
    Ok((left, kept))
}

async fn all_kinds(inventory: &Inventory) -> Result<impl Iterator<Item = Kind>, DeployError> {
    let extras = inventory.kubernetes.knows(&EXTRAS).await?;
    Ok(MADE_OF.into_iter().chain(extras))
}

fn why_kept(kind: Kind, name: &str) -> Option<fn(String) -> Kept> {
    match (kind, name) {
        (Kind::VOLUME_CLAIM, _) => Some(Kept::data),
        (Kind::SECRET, SECRETS) => Some(Kept::secrets),
        (Kind::CONFIG_MAP, INVENTORY) => Some(Kept::record),
        _ => None,
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
