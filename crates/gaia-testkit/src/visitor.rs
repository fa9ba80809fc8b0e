//! A client of a game's gateway that keeps what it needs to be somebody.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// Somebody at the gateway, signed in or not.
#[derive(Clone)]
pub struct Visitor {
    /// The gateway: `http://127.0.0.1:port`.
    pub gateway: String,
    /// The access token, once signed in.
    pub access_token: Option<String>,
    /// The refresh token, once signed in.
    pub refresh_token: Option<String>,
    client: reqwest::Client,
}

/// An answer, read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`, or empty.
    pub content_type: String,
    /// The body as JSON, `Null` where it is none.
    pub body: Value,
}

impl Answer {
    /// The stable code of a refusal, or an empty text.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The body of an answer that must be a success.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }
}

impl Visitor {
    /// Somebody who has not signed in.
    ///
    /// # Panics
    ///
    /// Where no HTTP client can be made.
    #[must_use]
    pub fn new(gateway: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        Self {
            gateway: gateway.into(),
            access_token: None,
            refresh_token: None,
            client,
        }
    }

    /// Comes in as a guest on a new device.
    ///
    /// # Panics
    ///
    /// Where the gateway refuses.
    pub async fn enter(gateway: impl Into<String>) -> Self {
        let mut visitor = Self::new(gateway);
        let device = format!("device-{}", uuid::Uuid::now_v7());
        let signed_in = visitor
            .post("/v1/players/guest", json!({ "device_id": device }))
            .await
            .ok();
        visitor.take_tokens(&signed_in);
        visitor
    }

    /// Keeps the tokens of an answer to a sign-in.
    pub fn take_tokens(&mut self, signed_in: &Value) {
        self.access_token = signed_in["access_token"].as_str().map(str::to_owned);
        self.refresh_token = signed_in["refresh_token"].as_str().map(str::to_owned);
    }

    /// A request that can still be changed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.gateway));
        match &self.access_token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// `POST` with JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// `PATCH` with JSON.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    ///
    /// Where there is no answer at all.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.expect("the gateway answers");
        let status = answer.status();
        let content_type = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let content_type = content_type.to_owned();
        let bytes = answer.bytes().await.expect("the answer is whole");
        Answer {
            status,
            content_type,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// Starts a conversation and gives its id.
    ///
    /// # Panics
    ///
    /// Where it is refused.
    pub async fn start_conversation(&self, persona: &str) -> String {
        let conversation = self.post("/v1/conversations", json!({ "persona": persona })).await.ok();
        conversation["id"]
            .as_str()
            .expect("a conversation has an id")
            .to_owned()
    }

    /// Says something and waits for the whole turn.
    pub async fn say(&self, conversation: &str, text: &str) -> Answer {
        self.post(
            &format!("/v1/conversations/{conversation}/turns"),
            json!({ "text": text }),
        )
        .await
    }
}
