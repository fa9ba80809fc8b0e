//! Running Gaia's own program within a container of the cluster.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::Method;

use crate::{admin_api::Answer, targets::compose::engine::Engine};

/// One container, in which commands can be run.
#[derive(Clone)]
pub(crate) struct Exec {
    pub(crate) engine: Arc<Engine>,
    /// The container's name or id.
    pub(crate) container: String,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exec").field(&self.container).finish()
    }
}

impl Exec {
    /// Asks the admin API of the gateway in the container. The token stays there.
    pub(crate) async fn admin(
        &self,
        method: &Method,
        path: &str,
        body: Option<String>,
        patience: Duration,
    ) -> Result<Answer, String> {
        let args = [
            "exec",
            "--interactive",
            &self.container,
            "gaia",
            "admin",
            method.as_str(),
            path,
        ];
        // Starting a program in a container takes its own while.
        let patience = patience + Duration::from_secs(10);
        let said = self.engine.docker(&args, body.as_deref().unwrap_or_default(), patience);
        let said = said.await.map_err(|fault| crate::error::with_cause(&fault))?;
        serde_json::from_str(&said).map_err(|fault| format!("its answer cannot be read: {fault}"))
    }
}
