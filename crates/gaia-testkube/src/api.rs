//! The Kubernetes API as plain JSON, for what tests arrange and look at.

use std::{fmt, time::Duration};

use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

use crate::pki::Identity;

/// A user of the API.
#[derive(Clone)]
pub struct Api {
    client: Client,
    server: String,
}

/// The API said no.
#[derive(Debug)]
pub struct Refusal {
    /// The status of HTTP, or 0 where no answer came.
    pub status: u16,
    /// What the API says about it.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Refusal {}

impl Api {
    pub(crate) fn new(server: &str, authority: &str, identity: &Identity) -> Self {
        let pem = format!("{}{}", identity.certificate, identity.key);
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity in PEM");
        let authority = Certificate::from_pem(authority.as_bytes()).expect("a certificate in PEM");
        let client = Client::builder()
            .tls_certs_only([authority])
            .identity(identity)
            .no_proxy()
            // A connection dies with the runtime of the test that opened it, and this client is shared by tests.
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client can be made");
        Self {
            client,
            server: server.to_owned(),
        }
    }

    /// What is at a path such as `/api/v1/namespaces/default/pods`.
    ///
    /// # Errors
    ///
    /// Where the API says no.
    pub async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.send(Method::GET, path, None).await
    }

    /// Makes an object in the collection at a path. A field that is not known is refused.
    ///
    /// # Errors
    ///
    /// Where the API says no.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        let path = format!("{path}?fieldValidation=Strict");
        self.send(Method::POST, &path, Some(("application/json", object))).await
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    ///
    /// Where the API says no.
    pub async fn patch(&self, path: &str, change: &Value) -> Result<Value, Refusal> {
        let change = Some(("application/merge-patch+json", change));
        self.send(Method::PATCH, path, change).await
    }

    /// Makes an object at its own path, or makes it so, by a server-side apply.
    ///
    /// # Errors
    ///
    /// Where the API says no.
    pub async fn apply(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        let path = format!("{path}?fieldManager=gaia-testkube&force=true&fieldValidation=Strict");
        self.send(Method::PATCH, &path, Some(("application/apply-patch+yaml", object)))
            .await
    }

    /// Deletes an object, at once where it would have a time of grace.
    ///
    /// # Errors
    ///
    /// Where the API says no.
    pub async fn delete(&self, path: &str) -> Result<Value, Refusal> {
        let options = json!({ "gracePeriodSeconds": 0 });
        self.send(Method::DELETE, path, Some(("application/json", &options)))
            .await
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Value, Refusal> {
        let mut request = self.client.request(method, format!("{}{path}", self.server));
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let unanswered = |error: reqwest::Error| Refusal {
            status: 0,
            message: format!("no answer: {error:?}"),
        };
        let answer = request.send().await.map_err(unanswered)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unanswered)?;
        // Health checks answer in plain words.
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() {
            return Ok(value);
        }
        Err(Refusal {
            status: status.as_u16(),
            message: value["message"].as_str().map_or(value.to_string(), ToOwned::to_owned),
        })
    }
}
