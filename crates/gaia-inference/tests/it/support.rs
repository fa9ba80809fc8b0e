//! What the tests share: the installed model, a server of their own, and waiting on conditions.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gaia_inference::models::{EMBEDDING_MODEL, pull};
use gaia_inference::{ServeError, Settings, serve};
use gaia_names::Secret;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub(crate) const KEY: &str = "a-key-for-tests";

/// How long a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The folder of models, with the embedding model in it: `GAIA_TEST_MODELS`, else `target/models`, so that it is
/// downloaded once.
pub(crate) fn models_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::var_os("GAIA_TEST_MODELS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models"),
            PathBuf::from,
        );
        pull(EMBEDDING_MODEL, &folder, &mut |_| {}).expect("the embedding model is installed");
        folder
    })
}

/// A server on a free port, stopped by [`Server::stop`].
pub(crate) struct Server {
    pub(crate) base_url: String,
    pub(crate) client: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: JoinSet<Result<(), ServeError>>,
    _cache: Option<TempDir>,
}

impl Server {
    /// A server with the usual settings that has its model loaded.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(Secret::new(KEY), models_folder(), cache.path());
        change(&mut settings);
        let mut server = Self::start_unready(settings).await;
        server._cache = Some(cache);
        server.until_ready().await;
        server
    }

    /// A server that may have no model.
    pub(crate) async fn start_unready(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, settings, async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            base_url,
            client,
            stop,
            task,
            _cache: None,
        }
    }

    async fn until_ready(&self) {
        until("the server is ready", async || {
            self.get("/health/ready").send().await.unwrap().status() == StatusCode::OK
        })
        .await;
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base_url))
    }

    pub(crate) fn post(&self) -> RequestBuilder {
        self.client
            .post(format!("{}/v1/embeddings", self.base_url))
            .bearer_auth(KEY)
    }

    /// Asks for embeddings of an input and returns the whole answer.
    pub(crate) async fn ask(&self, input: impl Into<Value>) -> Response {
        let body = json!({ "model": EMBEDDING_MODEL, "input": input.into() });
        self.post().json(&body).send().await.unwrap()
    }

    /// The vectors of some texts.
    pub(crate) async fn vectors(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        let response = self.ask(json!(texts)).await;
        assert_eq!(response.status(), StatusCode::OK);
        vectors_of(&response.json().await.unwrap())
    }

    /// One number out of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self
            .get("/metrics")
            .bearer_auth(KEY)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        line.expect("the metric is there")
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Ends the server and says how it ended.
    pub(crate) async fn stop(mut self) -> Result<(), ServeError> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        drop(self.client);
        let ended = tokio::time::timeout(LIMIT, self.task.join_next())
            .await
            .expect("the server ends");
        ended.unwrap().unwrap()
    }
}

pub(crate) fn vectors_of(answer: &Value) -> Vec<Vec<f32>> {
    let rows = answer["data"].as_array().unwrap();
    rows.iter()
        .map(|row| serde_json::from_value(row["embedding"].clone()).unwrap())
        .collect()
}

pub(crate) fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
