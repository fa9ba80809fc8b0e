//! What apply must remember of a cluster: `cluster.json` in its folder.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gaia_names::{ClusterName, GameId, InstanceId, Service, Target};
use serde::{Deserialize, Serialize};

use crate::{Blueprint, ClusterFolder, DeployError, Parent, Step, StepId, apply::Made, files, plan::ids};

/// The form of the file; another number means another form.
const FORMAT: u32 = 1;

/// What is meant to be with a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Life {
    /// It should run.
    Up,
    /// It was stopped and keeps its data.
    Stopped,
    /// It is being destroyed.
    Destroying,
    /// All of it goes but its data.
    Keeping,
    /// Only its data is left, and what is needed to take it up again.
    Kept,
}

/// One cluster's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    pub(crate) cluster: ClusterName,
    /// Where it runs. Records that do not say were written when there was one target.
    #[serde(default = "here")]
    pub(crate) target: Target,
    pub(crate) life: Life,
    /// The generation that was last begun, and its digest.
    pub(crate) generation: u64,
    pub(crate) digest: String,
    /// The blueprint that was last applied in full.
    pub(crate) applied: Option<Blueprint>,
    /// The number and digest of each game's newest bundle, given out before it is published.
    pub(crate) bundles: BTreeMap<GameId, (u64, String)>,
    /// How many instances of a service somebody asked for; it holds until somebody asks for other ones.
    #[serde(default)]
    pub(crate) asked: BTreeMap<Service, u16>,
    pub(crate) ports: Ports,
    pub(crate) instances: BTreeMap<String, InstanceId>,
    /// The labels that its networks and volumes were made with, on Compose.
    #[serde(default)]
    pub(crate) made_with: Option<BTreeMap<String, String>>,
    /// What was made, by the step that made it.
    pub(crate) resources: BTreeMap<StepId, Resource>,
    /// The step that is being done, or was when the command ended.
    pub(crate) intent: Option<Intent>,
}

/// The ports on loopback. They are written down before they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) nats: Option<u16>,
    pub(crate) gateway: BTreeMap<GameId, u16>,
    /// Where health, metrics and the admin API of each instance listen.
    pub(crate) ops: BTreeMap<String, u16>,
}

/// Something that a step made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resource {
    /// What it was made from; another one means that it has to change.
    pub(crate) digest: String,
    /// What it is on the machine: a path, a process, a port.
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
}

/// What somebody set out to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) step: StepId,
    pub(crate) command: String,
    pub(crate) since: DateTime<Utc>,
}

fn here() -> Target {
    Target::Local
}

impl Record {
    pub(crate) fn new(cluster: ClusterName, target: Target) -> Self {
        Self {
            format: FORMAT,
            cluster,
            target,
            life: Life::Up,
            generation: 0,
            digest: String::new(),
            applied: None,
            bundles: BTreeMap::new(),
            asked: BTreeMap::new(),
            ports: Ports::default(),
            instances: BTreeMap::new(),
            made_with: None,
            resources: BTreeMap::new(),
            intent: None,
        }
    }

    /// A step is done, and made or took away something.
    pub(crate) fn note(&mut self, step: &Step, made: Made) {
        match made {
            Some((id, digest)) => {
                let at = Utc::now();
                self.resources.insert(step.id.clone(), Resource { digest, id, at });
            }
            None => {
                self.resources.remove(&step.id);
            }
        }
        self.intent = None;
    }

    /// Nothing is left of what it speaks of, but perhaps its data, and it is to run again. Its numbers go on.
    pub(crate) fn begin_anew(&mut self) {
        let fresh = Self::new(self.cluster.clone(), self.target);
        let kept = std::mem::replace(self, fresh);
        self.generation = kept.generation;
        self.digest = kept.digest;
        self.bundles = kept.bundles;
        self.asked = kept.asked;
        if kept.life == Life::Keeping {
            self.made_with = kept.made_with;
        }
    }

    /// Only its data is left, and what opens it. Its numbers go on.
    pub(crate) fn keep_data(&mut self) {
        let kept = [ids::SECRETS, ids::NEW_SECRETS, ids::POSTGRES_DATA].map(|id| StepId(id.to_owned()));
        let mut resources = std::mem::take(&mut self.resources);
        resources.retain(|id, _| kept.contains(id));
        self.begin_anew();
        self.resources = resources;
        self.life = Life::Kept;
    }

    pub(crate) fn read(folder: &ClusterFolder) -> Result<Option<Self>, DeployError> {
        files::read_json(&folder.record(), "a cluster's record")
    }

    pub(crate) fn write(&self, folder: &ClusterFolder) -> Result<(), DeployError> {
        files::write_json(&folder.record(), self, 0o600)
    }

    pub(crate) fn parent(&self) -> Parent {
        Parent {
            generation: self.generation,
            digest: self.digest.clone(),
            bundles: self.bundles.clone(),
        }
    }

    /// Whether a destroy was begun and is not done.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.life, Life::Destroying | Life::Keeping)
    }

    /// Whether an apply ended before its last step.
    pub(crate) fn is_unfinished(&self) -> bool {
        let applied = self.applied.as_ref().map(|blueprint| blueprint.generation);
        self.intent.is_some() || self.is_ending() || applied != Some(self.generation)
    }
}

impl Ports {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = u16> {
        self.nats
            .iter()
            .chain(self.gateway.values())
            .chain(self.ops.values())
            .copied()
    }
}
