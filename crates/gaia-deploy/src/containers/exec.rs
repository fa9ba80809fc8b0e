//! Running Gaia's own program within a container of the cluster.

use std::{fmt, sync::Arc, time::Duration};

use gaia_kubernetes::Kubernetes;
use gaia_names::Secret;
use reqwest::Method;
use serde_json::json;

use crate::{admin_api::Answer, error::with_cause, targets::compose::engine::Engine};

/// How long starting a program in a container may take by itself.
const STARTING: Duration = Duration::from_secs(10);

/// One container, in which commands can be run.
#[derive(Clone)]
pub(crate) enum Exec {
    /// Of a Docker engine, by its name or id.
    Docker { engine: Arc<Engine>, container: String },
    /// The only one of a pod.
    Pod {
        kubernetes: Kubernetes,
        namespace: String,
        pod: String,
    },
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Docker { container: name, .. } | Self::Pod { pod: name, .. }) = self;
        f.debug_tuple("Exec").field(name).finish()
    }
}

impl Exec {
    /// Asks the admin API of the gateway in the container. The tokens go in by standard input, where no list of processes
    /// shows them.
    pub(crate) async fn admin(
        &self,
        tokens: &[Secret],
        method: &Method,
        path: &str,
        body: Option<String>,
        patience: Duration,
    ) -> Result<Answer, String> {
        let patience = patience + STARTING;
        let tokens: Vec<&str> = tokens.iter().map(Secret::expose).collect();
        let body = format!("{}\n{}", json!(tokens), body.unwrap_or_default());
        let command = ["gaia", "admin", method.as_str(), path];
        let said = match self {
            Self::Docker { engine, container } => {
                let args: Vec<&str> = ["exec", "--interactive", container]
                    .into_iter()
                    .chain(command)
                    .collect();
                let said = engine.docker(&args, &body, patience).await;
                said.map_err(|fault| with_cause(&fault))?
            }
            Self::Pod {
                kubernetes,
                namespace,
                pod,
            } => {
                let ran = kubernetes.exec(namespace, pod, &command, &body, patience).await;
                let ran = ran.map_err(|fault| with_cause(&fault))?;
                match ran.is_success {
                    true => ran.out,
                    false => return Err(ran.err.trim().chars().take(400).collect()),
                }
            }
        };
        serde_json::from_str(&said).map_err(|fault| format!("its answer cannot be read: {fault}"))
    }
}
