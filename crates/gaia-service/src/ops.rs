//! The second port: health, readiness and metrics, never reachable for players.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{Tasks, telemetry};

/// Says what is in the way, or nothing.
pub type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a service needs in order to be ready, by name: `zombie-survival/postgres`.
#[derive(Clone, Default)]
pub struct Health {
    parts: BTreeMap<String, Check>,
    tasks: Tasks,
}

impl Health {
    /// Nothing is needed yet. While the tasks drain, the answer is "not ready".
    #[must_use]
    pub fn new(tasks: &Tasks) -> Self {
        Self {
            parts: BTreeMap::new(),
            tasks: tasks.clone(),
        }
    }

    /// Adds a part.
    pub fn needs<F, E>(&mut self, name: impl Into<String>, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let check: Check = Arc::new(move || {
            let check = check();
            Box::pin(async move { check.await.map_err(|fault| telemetry::chain(&fault)) })
        });
        self.parts.insert(name.into(), check);
    }

    /// What is missing, by part. Empty when ready.
    pub async fn missing(&self) -> BTreeMap<String, String> {
        let asked = self.parts.iter().map(|(name, check)| async move {
            let answer = tokio::time::timeout(PATIENCE, check()).await;
            let fault = answer
                .unwrap_or_else(|_| Err(format!("no answer in {} s", PATIENCE.as_secs())))
                .err()?;
            Some((name.clone(), fault))
        });
        let mut missing: BTreeMap<_, _> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        if self.tasks.is_draining() {
            missing.insert("draining".to_owned(), "this instance is about to stop".to_owned());
        }
        missing
    }
}

/// Serves the second port until the tasks stop; `more` adds a service's own routes. Returns where it listens.
///
/// # Errors
///
/// Where the address cannot be had.
pub async fn serve(listen: SocketAddr, health: Health, more: Router, tasks: &Tasks) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    telemetry::metrics();
    let router = Router::new()
        .route("/health/live", get(|| async { Json(json!({ "status": "live" })) }))
        .route("/health/ready", get(ready))
        .with_state(health)
        .route("/metrics", get(|| async { telemetry::metrics().render() }))
        .merge(more);
    let (serving, upkeep) = (tasks.clone(), tasks.clone());
    tasks.spawn_to_the_last(async move {
        let stop = async move { serving.stopping().await };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(error = %error, "the ops port stopped: {error}");
        }
    });
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = upkeep.draining() => return,
                () = tokio::time::sleep(Duration::from_secs(5)) => telemetry::metrics().run_upkeep(),
            }
        }
    });
    Ok(address)
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let missing = health.missing().await;
    if missing.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ready" })))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "not ready", "missing": missing })),
        )
    }
}
