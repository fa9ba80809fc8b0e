//! Everything that is refused, and how.

use std::time::Duration;

use gaia_inference::models::EMBEDDING_MODEL;
use gaia_inference::{Settings, models};
use gaia_names::Secret;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{KEY, LIMIT, Server, until};

/// Status, code, field and message of a refusal.
async fn refusal(response: Response) -> (u16, String, Value, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let error = &body["error"];
    let mut fields: Vec<&String> = error.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["code", "message", "param", "type"]);
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (status, text("code"), error["param"].clone(), text("message"))
}

/// Sends what must be refused with a status and a code, and with the field's name.
async fn assert_refused(server: &Server, param: &str, cases: &[(Value, u16, &str)]) {
    for (fields, status, code) in cases {
        let mut body = json!({ "model": EMBEDDING_MODEL, "input": "a" });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (found, found_code, found_param, message) = refusal(server.post().json(&body).send().await.unwrap()).await;
        assert_eq!(
            (found, found_code.as_str(), &found_param),
            (*status, *code, &json!(param)),
            "{body}: {message}"
        );
    }
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let server = Server::start().await;
    let models = [
        (json!({ "model": null }), 400, "missing_model"),
        (json!({ "model": 7 }), 400, "missing_model"),
        (json!({ "model": "gpt-9" }), 404, "model_not_found"),
    ];
    assert_refused(&server, "model", &models).await;
    let formats = [(json!({ "encoding_format": "int8" }), 400, "invalid_value")];
    assert_refused(&server, "encoding_format", &formats).await;
    let dimensions = [
        json!({ "dimensions": 256 }),
        json!({ "dimensions": "384" }),
        json!({ "dimensions": -384 }),
    ];
    assert_refused(
        &server,
        "dimensions",
        &dimensions.map(|fields| (fields, 400, "invalid_value")),
    )
    .await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_input_that_is_not_a_few_texts_is_refused() {
    let server = Server::start().await;
    let inputs = [
        (json!({ "input": null }), 400, "invalid_type"),
        (json!({ "input": {} }), 400, "invalid_type"),
        (json!({ "input": [1, 2] }), 400, "invalid_type"),
        (json!({ "input": ["a", [1]] }), 400, "invalid_type"),
        (json!({ "input": [] }), 400, "invalid_count"),
        (json!({ "input": vec!["a"; 65] }), 400, "invalid_count"),
        (json!({ "input": "" }), 400, "empty_text"),
        (json!({ "input": ["a", " \n"] }), 400, "empty_text"),
        (json!({ "input": "x".repeat(8_001) }), 400, "text_too_long"),
    ];
    assert_refused(&server, "input", &inputs).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_limits_themselves_are_allowed() {
    let server = Server::start().await;
    assert_eq!(server.ask(vec!["a"; 64]).await.status(), StatusCode::OK);
    assert_eq!(server.ask("ä".repeat(8_000)).await.status(), StatusCode::OK);
    assert_eq!(server.ask("\u{0} \u{fffd} 🧟 ﷽").await.status(), StatusCode::OK);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_without_harm() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    for body in ["", "{", "null", "7", "\u{0}", "{\"model\": \"\\ud800\"}", &deep] {
        let (status, code, ..) = refusal(server.post().body(body.to_owned()).send().await.unwrap()).await;
        assert_eq!(
            (status, code.as_str()),
            (400, "invalid_json"),
            "{}",
            &body[..body.len().min(30)]
        );
    }
    let (status, code, ..) = refusal(server.post().body(vec![b' '; 256 * 1024 + 1]).send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (413, "request_too_large"));
    assert_eq!(server.ask("still here").await.status(), StatusCode::OK);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_gets_in_without_the_key_but_health_is_open() {
    let server = Server::start().await;
    for path in ["/v1/models", "/v1/embeddings", "/metrics", "/elsewhere"] {
        for key in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            &format!("Basic {KEY}"),
            &format!("Bearer {KEY}x"),
            KEY,
        ] {
            let response = server.get(path).header("authorization", key).send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let (status, code, ..) = refusal(response).await;
            assert_eq!((status, code.as_str()), (401, "invalid_api_key"), "{path} {key}");
        }
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), StatusCode::OK);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_address_or_method_is_refused_in_the_same_shape() {
    let server = Server::start().await;
    let (status, code, ..) = refusal(
        server
            .get("/v1/chat/completions")
            .bearer_auth(KEY)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!((status, code.as_str()), (404, "unknown_url"));
    let response = server.get("/v1/embeddings").bearer_auth(KEY).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    let (status, code, ..) = refusal(response).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_says_so_at_once_and_everybody_else_is_answered() {
    let server = Server::start_with(|settings| settings.waiting_texts = 16).await;
    let requests = (0..12).map(|request| {
        let texts: Vec<String> = (0..8).map(|text| format!("{request} {text} ").repeat(150)).collect();
        server.ask(texts)
    });
    let mut answered = 0;
    let mut full = 0;
    for response in futures::future::join_all(requests).await {
        match response.status() {
            StatusCode::OK => answered += 1,
            _ => {
                assert_eq!(response.headers()["retry-after"], "1");
                let (status, code, ..) = refusal(response).await;
                assert_eq!((status, code.as_str()), (503, "overloaded"));
                full += 1;
            }
        }
    }
    assert!(answered >= 2, "{answered} answered");
    assert!(full >= 1, "{full} refused");
    // The places have all come back.
    assert_eq!(server.metric("gaia_inference_free_places").await, 16.0);
    assert_eq!(server.ask(vec!["a", "b", "c"]).await.status(), StatusCode::OK);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_and_gives_its_places_back() {
    let server = Server::start_with(|settings| settings.request_limit = Duration::from_millis(150)).await;
    let texts: Vec<String> = (0..64).map(|text| format!("{text} walker ").repeat(120)).collect();
    let (status, code, ..) = refusal(server.ask(texts).await).await;
    assert_eq!((status, code.as_str()), (503, "timeout"));
    until("the places are back", async || {
        server.metric("gaia_inference_free_places").await == 256.0
    })
    .await;
    // The texts that nobody waits for any more are not computed: one pass was under way, and it had eight texts.
    let passes = server.metric("gaia_inference_passes_total").await;
    assert!(passes <= 3.0, "{passes} passes");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_is_not_waited_for() {
    let server = Server::start_with(|settings| settings.request_limit = Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(server.base_url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer))
        .await
        .expect("the server answers")
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_model_the_server_lives_but_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(Secret::new(KEY), folder.path().join("models"), folder.path());
    let server = Server::start_unready(settings).await;
    let advice = format!("gaia model pull {EMBEDDING_MODEL}");
    until("the reason is told", async || {
        let response = server.get("/health/ready").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = response.json().await.unwrap();
        body["missing"]["model"].as_str().unwrap().contains(&advice)
    })
    .await;
    assert_eq!(
        server.get("/health/live").send().await.unwrap().status(),
        StatusCode::OK
    );
    let (status, code, _, message) = refusal(server.ask("hello").await).await;
    assert_eq!((status, code.as_str()), (503, "model_not_ready"));
    assert!(message.contains(&advice), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn weights_that_were_changed_are_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join(EMBEDDING_MODEL);
    std::fs::create_dir(&installed).unwrap();
    for file in std::fs::read_dir(crate::support::models_folder().join(EMBEDDING_MODEL))
        .unwrap()
        .flatten()
    {
        std::fs::copy(file.path(), installed.join(file.file_name())).unwrap();
    }
    let weights = installed.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let model = models::find(EMBEDDING_MODEL).unwrap();
    assert_eq!(models::state(model, folder.path()), models::State::Installed);
    assert!(matches!(
        models::verify(model, folder.path()),
        models::State::Damaged { .. }
    ));
    let server = Server::start_unready(Settings::new(Secret::new(KEY), folder.path(), folder.path())).await;
    until("the damage is told", async || {
        let body: Value = server.get("/health/ready").send().await.unwrap().json().await.unwrap();
        body["missing"]["model"]
            .as_str()
            .unwrap()
            .contains("`model.safetensors` has changed")
    })
    .await;
    server.stop().await.unwrap();
}
