//! What apply must remember of a cluster, in its own namespace: a config map with the record, a secret with the secrets,
//! and a lease that keeps two from changing it at once.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use gaia_kubernetes::{Kind, Kubernetes};
use gaia_names::ClusterName;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::objects::{CLUSTER, namespace};
use crate::{DeployError, record::Record, secrets::Secrets};

/// The config map and the secret.
pub(crate) const INVENTORY: &str = "gaia-inventory";
pub(crate) const SECRETS: &str = "gaia-secrets";
const LEASE: &str = "gaia-apply";
/// The home of whoever has the lease, as an annotation.
const HOME: &str = "gaia.dev/home";
/// How long a lease holds without a sign of life, in seconds.
const LEASE_SECONDS: i64 = 15;
/// How often it is renewed.
const HEARTBEAT: Duration = Duration::from_secs(4);

/// One cluster's namespace, as its own memory.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) cluster: ClusterName,
}

impl Inventory {
    pub(crate) fn namespace(&self) -> String {
        namespace(&self.cluster)
    }

    /// The record; none if nothing was begun.
    pub(crate) async fn record(&self) -> Result<Option<Record>, DeployError> {
        let found = self
            .kubernetes
            .get(Kind::CONFIG_MAP, &self.namespace(), INVENTORY)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let text = found["data"]["record"].as_str().unwrap_or_default();
        let parsed = serde_json::from_str(text);
        parsed
            .map(Some)
            .map_err(|source| self.garbled("a cluster's record", INVENTORY, source))
    }

    pub(crate) async fn secrets(&self) -> Result<Option<Secrets>, DeployError> {
        let found = self.kubernetes.get(Kind::SECRET, &self.namespace(), SECRETS).await?;
        let Some(found) = found else { return Ok(None) };
        let data = found["data"]["secrets.json"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(data).unwrap_or_default();
        let parsed = serde_json::from_slice(&bytes);
        parsed
            .map(Some)
            .map_err(|source| self.garbled("a cluster's secrets", SECRETS, source))
    }

    pub(crate) async fn write_record(&self, record: &Record) -> Result<(), DeployError> {
        let text = serde_json::to_string(record).map_err(|source| self.garbled("JSON", INVENTORY, source))?;
        let mut object = self.object(Kind::CONFIG_MAP, INVENTORY);
        object["data"] = json!({ "record": text });
        self.kubernetes.apply(&object, false).await?;
        Ok(())
    }

    pub(crate) async fn write_secrets(&self, secrets: &Secrets) -> Result<(), DeployError> {
        let text = serde_json::to_vec(secrets).map_err(|source| self.garbled("JSON", SECRETS, source))?;
        let mut object = self.object(Kind::SECRET, SECRETS);
        object["type"] = json!("Opaque");
        object["data"] = json!({ "secrets.json": STANDARD.encode(text) });
        self.kubernetes.apply(&object, false).await?;
        Ok(())
    }

    /// Takes the lease, or says who has it. It is renewed until it is dropped. Whoever asks is alone with the cluster in
    /// its home, so that a lease of the same home is of somebody who is dead.
    pub(crate) async fn lock(&self, command: &str, home: &str) -> Result<Lease, DeployError> {
        let holder = format!("pid {}: `{command}`", std::process::id());
        let mut wanted = self.object(Kind::LEASE, LEASE);
        wanted["metadata"]["annotations"] = json!({ HOME: home });
        wanted["spec"] = spec(&holder);
        match self.kubernetes.create(&wanted).await {
            Ok(_) => {}
            Err(fault) if fault.status() == Some(409) => self.take_over(wanted, home).await?,
            Err(fault) => return Err(fault.into()),
        }
        let (inventory, beating) = (self.clone(), holder.clone());
        let mut heartbeat = JoinSet::new();
        heartbeat.spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let renewed = json!({ "spec": { "renewTime": now() } });
                let namespace = inventory.namespace();
                let beat = inventory.kubernetes.patch(Kind::LEASE, &namespace, LEASE, "", &renewed);
                match beat.await {
                    // It went with its namespace.
                    Err(fault) if fault.status() == Some(404) => break,
                    Err(fault) => tracing::warn!("the lease of {beating} cannot be renewed: {fault}"),
                    Ok(()) => {}
                }
            }
        });
        Ok(Lease { _heartbeat: heartbeat })
    }

    async fn take_over(&self, mut wanted: Value, home: &str) -> Result<(), DeployError> {
        let found = self.kubernetes.get(Kind::LEASE, &self.namespace(), LEASE).await?;
        let Some(found) = found else {
            self.kubernetes.create(&wanted).await?;
            return Ok(());
        };
        let spec = &found["spec"];
        let renewed = spec["renewTime"]
            .as_str()
            .and_then(|text| text.parse::<DateTime<Utc>>().ok());
        let age = renewed.map_or(i64::MAX, |renewed| (Utc::now() - renewed).num_seconds());
        let is_ours = found["metadata"]["annotations"][HOME] == home;
        if age <= LEASE_SECONDS && !is_ours {
            return Err(DeployError::Locked {
                cluster: self.cluster.clone(),
                holder: spec["holderIdentity"].as_str().unwrap_or("somebody").to_owned(),
            });
        }
        // Somebody who is quicker has changed it since, and this is refused.
        wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
        match self.kubernetes.replace(&wanted).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.status() == Some(409) => Err(DeployError::Locked {
                cluster: self.cluster.clone(),
                holder: "somebody who was a moment quicker".to_owned(),
            }),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Gives the lease back at once, in place of letting it run out.
    pub(crate) async fn unlock(&self, lease: Lease) {
        drop(lease);
        // It runs out by itself if this fails.
        let _ = self.kubernetes.delete(Kind::LEASE, &self.namespace(), LEASE).await;
    }

    fn object(&self, kind: Kind, name: &str) -> Value {
        json!({
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {
                "name": name,
                "namespace": self.namespace(),
                "labels": { CLUSTER: self.cluster, "app.kubernetes.io/managed-by": "gaia", "app.kubernetes.io/part-of": "gaia" },
            },
        })
    }

    fn garbled(&self, what: &'static str, name: &str, source: serde_json::Error) -> DeployError {
        DeployError::Garbled {
            path: format!("{name} in the namespace {}", self.namespace()).into(),
            what,
            source,
        }
    }
}

/// A lease that is renewed until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _heartbeat: JoinSet<()>,
}

fn spec(holder: &str) -> Value {
    let now = now();
    json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": LEASE_SECONDS,
        "acquireTime": now,
        "renewTime": now,
    })
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}
