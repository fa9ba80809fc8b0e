//! What is to be done so that a cluster becomes what its blueprint says: pure, data, and the same every time.

mod cost;
pub(crate) mod ids;
pub(crate) mod sight;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;

use gaia_names::ClusterName;
use serde::{Deserialize, Serialize};

pub use self::cost::Cost;
use crate::{Blueprint, DeployError, Observed, secrets::Secrets};

/// A step's name, stable across plans: `store:postgres`, `service:chat-1`, `bundle:zombie-survival`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub String);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a step does with its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is not there and will be.
    Create,
    /// It is there and becomes different.
    Change,
    /// It goes away and comes back as something else; what it keeps stays.
    Replace,
    /// It is stopped and started.
    Restart,
    /// It goes away.
    Remove,
}

/// How what is there differs from what was applied, where nobody has asked for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    /// It was made and is not there, or does not run.
    Missing,
    /// Somebody has changed what it was told.
    Config,
    /// Somebody has changed how many there are.
    Scale,
    /// It runs another image than it would be made from now.
    Image,
    /// It is ours by its labels, and nobody has asked for it.
    Orphan,
    /// What it keeps is gone, or another cluster's.
    Data,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// Why.
    pub why: String,
    /// What does not work meanwhile; none if nobody notices.
    pub down: Option<String>,
    /// What has come to differ from what was applied, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// What it changes of a month's costs, in millionths of the currency of the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_change: Option<i64>,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: ClusterName,
    /// The generation that it was made on; 0 if there was no cluster.
    pub parent: u64,
    /// The generation that it leads to; 0 for a destroy.
    pub generation: u64,
    /// The digest of the blueprint that it leads to; empty for a destroy.
    pub blueprint: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Whether a destroy leaves the data, and what is needed to take it up again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_volumes: bool,
    /// What the cluster costs a month; none while that was not asked or no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Plan {
    /// What makes the observed cluster what the blueprint says. Pure.
    #[must_use]
    pub fn between(observed: &Observed, blueprint: &Blueprint) -> Self {
        Self::with_secrets(observed, blueprint, observed.secrets.clone())
    }

    /// The same with others in the place of the cluster's secrets. Where that was begun and has not ended, it goes on.
    ///
    /// # Errors
    ///
    /// If the cluster has none, is not as it should be otherwise, or the system gives no randomness.
    pub fn rotating(observed: &Observed, blueprint: &Blueprint) -> Result<Self, DeployError> {
        let mut secrets = observed.secrets.clone().ok_or_else(|| {
            DeployError::Input(format!(
                "the secrets of `{}` are missing: there is nothing to replace",
                observed.cluster
            ))
        })?;
        if secrets.former.is_none() {
            let other = Self::between(observed, blueprint).steps;
            // What only has to be written down is written down by this as well.
            if let Some(step) = other.iter().find(|step| step.id.0 != ids::RECORD) {
                return Err(DeployError::Input(format!(
                    "`{}` is not as it should be ({}: {}), so its secrets stay as they are; bring it up first: `gaia up <folder>`",
                    observed.cluster, step.id, step.why
                )));
            }
            secrets.rotate()?;
        }
        Ok(Self::with_secrets(observed, blueprint, Some(secrets)))
    }

    fn with_secrets(observed: &Observed, blueprint: &Blueprint, secrets: Option<Secrets>) -> Self {
        Self {
            cluster: blueprint.cluster.clone(),
            parent: observed.parent().generation,
            generation: blueprint.generation,
            blueprint: blueprint.digest.clone(),
            steps: steps::towards(observed, blueprint, secrets),
            keeps_volumes: false,
            cost: None,
        }
    }

    /// What makes the observed cluster go away, with its data. Pure. Empty if there is nothing.
    #[must_use]
    pub fn destroying(observed: &Observed) -> Self {
        Self::ending(observed, false)
    }

    /// What makes all of the observed cluster go away but its data, and what is needed to take that up again. Pure. Empty if
    /// nothing else is there.
    #[must_use]
    pub fn destroying_all_but_volumes(observed: &Observed) -> Self {
        Self::ending(observed, true)
    }

    fn ending(observed: &Observed, keeps_volumes: bool) -> Self {
        let is_done = !observed.exists() || keeps_volumes && observed.is_kept();
        Self {
            cluster: observed.cluster.clone(),
            parent: observed.parent().generation,
            generation: 0,
            blueprint: String::new(),
            steps: match is_done {
                true => Vec::new(),
                false => steps::away(observed, keeps_volumes),
            },
            keeps_volumes,
            cost: None,
        }
    }

    /// What costs nothing is not worth a line.
    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cost {
            Some(cost) if cost.before > 0 || cost.after > 0 => write!(f, "\n{cost}"),
            _ => Ok(()),
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Replace => "replace",
            Self::Restart => "restart",
            Self::Remove => "remove",
        })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Config => "config",
            Self::Scale => "scale",
            Self::Image => "image",
            Self::Orphan => "orphan",
            Self::Data => "data",
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            write!(f, "cluster `{}` is as it should be: nothing to do", self.cluster)?;
            return self.write_cost(f);
        }
        match (self.parent, self.generation) {
            (_, 0) if self.keeps_volumes => writeln!(f, "cluster `{}` goes away, but for its data", self.cluster)?,
            (_, 0) => writeln!(f, "cluster `{}` goes away, with its data", self.cluster)?,
            (0, to) => writeln!(f, "cluster `{}`, generation {to}", self.cluster)?,
            (from, to) if from == to => writeln!(f, "cluster `{}`, generation {to}, put right", self.cluster)?,
            (from, to) => writeln!(f, "cluster `{}`, generation {from} -> {to}", self.cluster)?,
        }
        let widest = self.steps.iter().map(|step| step.id.0.len()).max().unwrap_or_default();
        for step in &self.steps {
            write!(f, "  {:7}  {:widest$}  ", step.action, step.id)?;
            if let Some(drift) = step.drift {
                write!(f, "drift, {drift}: ")?;
            }
            f.write_str(&step.why)?;
            match (&self.cost, step.cost_change) {
                (Some(cost), Some(change)) => writeln!(f, " ({} a month)", cost.change(change))?,
                _ => writeln!(f)?,
            }
            if let Some(down) = &step.down {
                writeln!(f, "  {:7}  {:widest$}  meanwhile {down}", "", "")?;
            }
        }
        let count = |action| self.steps.iter().filter(|step| step.action == action).count();
        let all = [
            Action::Create,
            Action::Change,
            Action::Replace,
            Action::Restart,
            Action::Remove,
        ];
        // What only containers do is left out where nothing of it is to be done.
        let counted: Vec<String> = all
            .iter()
            .filter(|action| **action != Action::Replace || count(**action) > 0)
            .map(|action| format!("{} to {action}", count(*action)))
            .collect();
        write!(f, "{}", counted.join(", "))?;
        self.write_cost(f)
    }
}
