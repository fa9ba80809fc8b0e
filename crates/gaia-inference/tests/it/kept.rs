//! What outlives the process, and what never reaches the disk.

use std::path::Path;

use gaia_inference::models::EMBEDDING_MODEL;
use gaia_inference::{KEEP_HEADER, Settings};
use gaia_names::Secret;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{KEY, Server, models_folder, vectors_of};

async fn server(cache: &Path) -> Server {
    let settings = Settings::new(Secret::new(KEY), models_folder(), cache);
    let server = Server::start_unready(settings).await;
    crate::support::until("ready", async || {
        server.get("/health/ready").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    server
}

async fn keep(server: &Server, text: &str) -> Vec<f32> {
    let body = json!({ "model": EMBEDDING_MODEL, "input": text });
    let answer: Value = server
        .post()
        .header(KEEP_HEADER, "1")
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    vectors_of(&answer).remove(0)
}

async fn texts_from(server: &Server, place: &str) -> f64 {
    server
        .metric(&format!("gaia_inference_texts_total{{from=\"{place}\"}}"))
        .await
}

#[tokio::test]
async fn an_authors_line_is_computed_once_per_machine_and_a_players_line_leaves_no_trace() {
    let cache = tempfile::tempdir().unwrap();
    let first = server(cache.path()).await;
    let kept = keep(&first, "An author wrote this line.").await;
    let size = std::fs::metadata(cache.path().join("kept-embeddings")).unwrap().len();
    first.vectors(&["A player said this."]).await;
    first.vectors(&["A player said this."]).await;
    assert_eq!(
        std::fs::metadata(cache.path().join("kept-embeddings")).unwrap().len(),
        size
    );
    assert_eq!(texts_from(&first, "memory").await, 1.0);
    first.stop().await.unwrap();

    let second = server(cache.path()).await;
    assert_eq!(keep(&second, "An author wrote this line.").await, kept);
    assert_eq!(texts_from(&second, "disk").await, 1.0);
    assert_eq!(texts_from(&second, "model").await, 0.0);
    second.vectors(&["A player said this."]).await;
    assert_eq!(texts_from(&second, "model").await, 1.0);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_line_that_is_only_remembered_is_kept_when_somebody_asks_for_it_later() {
    let cache = tempfile::tempdir().unwrap();
    let first = server(cache.path()).await;
    first.vectors(&["First said, then written."]).await;
    keep(&first, "First said, then written.").await;
    assert_eq!(first.metric("gaia_inference_kept_texts").await, 1.0);
    first.stop().await.unwrap();
    let second = server(cache.path()).await;
    second.vectors(&["First said, then written."]).await;
    assert_eq!(texts_from(&second, "disk").await, 1.0);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_torn_file_costs_its_last_line_and_nothing_else() {
    let cache = tempfile::tempdir().unwrap();
    let first = server(cache.path()).await;
    let kept = keep(&first, "The first line.").await;
    keep(&first, "The second line.").await;
    first.stop().await.unwrap();
    let path = cache.path().join("kept-embeddings");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 700]).unwrap();
    let second = server(cache.path()).await;
    assert_eq!(second.metric("gaia_inference_kept_texts").await, 1.0);
    assert_eq!(keep(&second, "The first line.").await, kept);
    keep(&second, "The second line.").await;
    assert_eq!(texts_from(&second, "model").await, 1.0);
    assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len());
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_cache_folder_that_cannot_be_written_costs_the_keeping_and_not_the_answers() {
    let cache = tempfile::tempdir().unwrap();
    let server = server(&cache.path().join("is/not/there")).await;
    assert_eq!(keep(&server, "A line.").await.len(), 384);
    assert_eq!(server.metric("gaia_inference_kept_texts").await, 0.0);
    server.stop().await.unwrap();
}
