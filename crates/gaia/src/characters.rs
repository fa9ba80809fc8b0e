//! How characters answer without a key: the machine's inference, or why there is none.

use std::{env, path::Path};

use anyhow::Context;
use gaia_deploy::{ClusterFolder, Home};
use gaia_inference::{
    Access, Lease, Start, ensure_running,
    models::{self, EMBEDDING_MODEL, State},
};
use gaia_names::Secret;
use gaia_protocol::settings::{ChatGame, InferenceAccess, Settings};

use crate::{environment, failure};

/// The process that the machine's clusters share.
pub(crate) struct Inference {
    start: Start,
}

impl Inference {
    /// That of a home.
    ///
    /// # Errors
    ///
    /// If this program's own file cannot be found.
    pub(crate) fn of(home: &Home) -> anyhow::Result<Self> {
        let program = env::current_exe().context("failed to find this program's own file")?;
        Ok(Self {
            start: Start::new(home.path().join("inference"), environment::models(home), program),
        })
    }

    /// Why there is none, with what to type; nothing if the model is installed.
    pub(crate) fn missing(&self) -> Option<String> {
        missing_model(&self.start.models_folder)
    }

    /// How a cluster will reach it once `gaia up` has started it; none if there is no model. Nothing is started.
    pub(crate) async fn expected(&self, cluster: &ClusterFolder) -> Option<InferenceAccess> {
        if self.missing().is_some() {
            return None;
        }
        // It comes back where it was, so what does not run is expected where the cluster knows it.
        let stand_in = || InferenceAccess {
            base_url: "http://127.0.0.1:7411/v1".to_owned(),
            key: Secret::new(""),
        };
        let found = self.find().await.or_else(|| known_to(cluster));
        Some(found.unwrap_or_else(stand_in))
    }

    /// How to reach it if it runs.
    async fn find(&self) -> Option<InferenceAccess> {
        if !self.start.home.join("inference.json").exists() {
            return None;
        }
        // Without a model nothing can be started, so this only looks.
        let only_look = Start {
            models_folder: self.start.home.join("no-models"),
            ..self.start.clone()
        };
        ensure_running(&only_look).await.ok().map(in_settings)
    }

    /// Starts it if it does not run.
    pub(crate) async fn ensure(&self) -> anyhow::Result<InferenceAccess> {
        Ok(in_settings(ensure_running(&self.start).await?))
    }

    /// Ends it and removes what it has left, unless somebody uses it. Blocks for as long as it takes to end.
    ///
    /// # Errors
    ///
    /// If something cannot be removed.
    pub(crate) fn remove_unused(&self) -> anyhow::Result<()> {
        gaia_inference::remove_unused(&self.start.home)?;
        Ok(())
    }

    /// Keeps it running for as long as the lease lives. Hold one before [`Inference::ensure`].
    /// Blocks for as long as a process that is just ending takes.
    ///
    /// # Errors
    ///
    /// If the lease cannot be had.
    pub(crate) fn lease(&self) -> anyhow::Result<Lease> {
        Ok(Lease::hold(&self.start.home)?)
    }
}

/// Why characters cannot use the model in a folder, with what to type; nothing if it is installed.
pub(crate) fn missing_model(models_folder: &Path) -> Option<String> {
    let why = match models::find(EMBEDDING_MODEL).map(|model| models::state(model, models_folder)) {
        Ok(State::Installed) => return None,
        Ok(State::Absent) => "is not installed".to_owned(),
        Ok(State::Damaged { reason }) => format!("is damaged ({reason})"),
        Err(fault) => failure::chain(&fault),
    };
    Some(format!(
        "the model {EMBEDDING_MODEL} {why}; `gaia model pull {EMBEDDING_MODEL}` installs it"
    ))
}

/// How the chat of a cluster was told to reach it.
fn known_to(cluster: &ClusterFolder) -> Option<InferenceAccess> {
    let settings = std::fs::read(cluster.settings("chat-1")).ok()?;
    let settings: Settings<ChatGame> = serde_json::from_slice(&settings).ok()?;
    settings.games.into_iter().find_map(|game| game.inference)
}

fn in_settings(access: Access) -> InferenceAccess {
    InferenceAccess {
        base_url: format!("{}/v1", access.base_url),
        key: access.key,
    }
}
