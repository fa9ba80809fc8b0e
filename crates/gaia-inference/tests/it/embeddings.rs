//! What the vectors mean, and the shape of the answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gaia_inference::models::EMBEDDING_MODEL;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{KEY, Server, cosine};

#[tokio::test]
async fn what_means_the_same_lies_close_together_and_every_vector_has_length_one() {
    let server = Server::start().await;
    let texts = [
        "A zombie is coming down the road.",
        "The undead walk along the street.",
        "Boil the pasta for ten minutes.",
        "How do I stop my arm bleeding?",
        "I need a bandage for this wound.",
    ];
    let vectors = server.vectors(&texts).await;
    for vector in &vectors {
        assert_eq!(vector.len(), 384);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-4);
    }
    // Computed once from the same weights by another program, in double precision.
    let expected = [(0, 1, 0.672_02), (0, 2, -0.016_84), (3, 4, 0.408_20)];
    for (one, other, expected) in expected {
        let found = cosine(&vectors[one], &vectors[other]);
        assert!(
            (found - expected).abs() < 1e-3,
            "{} / {}: {found}",
            texts[one],
            texts[other]
        );
    }
    for (found, expected) in vectors[0]
        .iter()
        .zip([-0.013_637, 0.024_558, -0.074_377, -0.031_278, -0.005_829])
    {
        assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_text_has_the_same_vector_alone_and_among_others_of_other_lengths() {
    let short = "Hello there.";
    let long =
        "The rail tunnel is the only way to the hospital, but it floods after rain, so take the boat at the pier.";
    let alone = Server::start().await;
    let one = alone.vectors(&[short]).await;
    let other = alone.vectors(&[long]).await;
    alone.stop().await.unwrap();
    let together = Server::start().await;
    let both = together.vectors(&[long, short, "Hello there, my friend."]).await;
    together.stop().await.unwrap();
    assert!(cosine(&both[0], &other[0]) > 0.9999);
    assert!(cosine(&both[1], &one[0]) > 0.9999);
}

#[tokio::test]
async fn the_answer_has_openais_shape() {
    let server = Server::start().await;
    let response = server.ask("Where is the pump station?").await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut answer: Value = response.json().await.unwrap();
    let vector = answer["data"][0]["embedding"].take();
    assert_eq!(vector.as_array().unwrap().len(), 384);
    // Six words, a question mark and the two marks that frame every text.
    let expected = json!({
        "object": "list",
        "data": [{ "object": "embedding", "index": 0, "embedding": null }],
        "model": EMBEDDING_MODEL,
        "usage": { "prompt_tokens": 8, "total_tokens": 8 },
    });
    assert_eq!(answer, expected);
    let models: Value = server
        .get("/v1/models")
        .bearer_auth(KEY)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let model = json!({ "id": EMBEDDING_MODEL, "object": "model", "created": 0, "owned_by": "gaia" });
    assert_eq!(models, json!({ "object": "list", "data": [model] }));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn base64_holds_the_same_numbers_and_unknown_fields_do_no_harm() {
    let server = Server::start().await;
    let text = "Take the crowbar; it is silent.";
    let floats = server.vectors(&[text]).await;
    let body = json!({
        "model": EMBEDDING_MODEL, "input": [text], "encoding_format": "base64", "dimensions": 384, "user": "p", "x": 1,
    });
    let answer: Value = server.post().json(&body).send().await.unwrap().json().await.unwrap();
    let bytes = STANDARD
        .decode(answer["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    let decoded: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    assert_eq!(decoded, floats[0]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_answers_come_in_the_order_of_the_texts_and_a_repeated_text_is_computed_once() {
    let server = Server::start().await;
    let texts = [
        "one",
        "a rather longer line about nothing in particular",
        "two",
        "one",
        "three",
        "two",
    ];
    let vectors = server.vectors(&texts).await;
    assert_eq!(vectors[0], vectors[3]);
    assert_eq!(vectors[2], vectors[5]);
    assert_ne!(vectors[0], vectors[2]);
    for (index, text) in texts.iter().enumerate() {
        assert!(
            cosine(&server.vectors(&[text]).await[0], &vectors[index]) > 0.9999,
            "{text}"
        );
    }
    assert!((server.metric("gaia_inference_texts_total{from=\"model\"}").await - 4.0).abs() < f64::EPSILON);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_lies_behind_the_model_s_limit_of_tokens_does_not_count() {
    let server = Server::start().await;
    let base = "walker ".repeat(300);
    let vectors = server
        .vectors(&[&base, &format!("{base} and now for something different: pasta")])
        .await;
    assert!(cosine(&vectors[0], &vectors[1]) > 0.9999);
    let answer: Value = server.ask(base).await.json().await.unwrap();
    assert_eq!(answer["usage"]["prompt_tokens"], 256);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn many_small_requests_share_passes() {
    let server = Server::start().await;
    let texts: Vec<String> = (0..48)
        .map(|index| format!("Walker number {index} is at the gate."))
        .collect();
    let answers = futures::future::join_all(texts.iter().map(|text| server.ask(text.as_str()))).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK));
    let passes = server.metric("gaia_inference_passes_total").await;
    assert!(passes <= 16.0, "{passes} passes for 48 texts");
    server.stop().await.unwrap();
}
