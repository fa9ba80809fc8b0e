//! The admin API of a cluster's gateways, over loopback or from within a container.

use std::{sync::OnceLock, time::Duration};

use gaia_names::{GameId, Secret};
use gaia_protocol::{bundle::Bundle, chat::BundleInUse};
use reqwest::{Client, Method};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{DeployError, containers::exec::Exec};

/// How long a sign of life may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long a gateway may take to have a bundle in use.
const PUBLISHING: Duration = Duration::from_secs(30);
/// How much of an answer is read, in bytes: costs by day and player are the longest.
const LONGEST_ANSWER: usize = 4 << 20;

/// A gateway that runs.
#[derive(Clone, Debug)]
pub(crate) enum Gateway {
    /// Its second port on this machine.
    Port(u16),
    /// The container that it runs in. Nothing of the kind is published.
    Container(Exec),
}

/// What it answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Gateway {
    /// Asks which bundle a game uses.
    pub(crate) async fn in_use(&self, game: &GameId, tokens: &[Secret]) -> Result<BundleInUse, String> {
        let answer = self
            .send(tokens, Method::GET, &format!("bundles/{game}"), None, PATIENCE)
            .await?;
        answer.read()
    }

    /// Gives it a game's bundle. It is well if the game uses it, or a newer one, then.
    pub(crate) async fn publish(&self, bundle: &Bundle, tokens: &[Secret]) -> Result<(), DeployError> {
        let game = &bundle.game;
        let failed = |why: String| DeployError::Publish {
            game: game.to_string(),
            why,
        };
        let body = serde_json::to_string(bundle).map_err(|fault| failed(fault.to_string()))?;
        let path = format!("bundles/{game}");
        let answer = self.send(tokens, Method::PUT, &path, Some(body), PUBLISHING).await;
        let answer = answer.map_err(failed)?;
        if answer.is_success() {
            return Ok(());
        }
        // Told twice, as after a kill between the call and the note of it.
        let is_conflict = answer.status == 409;
        if is_conflict
            && self
                .in_use(game, tokens)
                .await
                .is_ok_and(|used| used.generation >= bundle.generation)
        {
            return Ok(());
        }
        Err(failed(answer.refusal()))
    }

    /// Asks something. What it is asked and what it answers may hold secrets, so neither is told.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        tokens: &[Secret],
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, String> {
        let body = body.map(Value::to_string);
        self.send(tokens, method, path, body, PUBLISHING).await?.read()
    }

    async fn send(
        &self,
        tokens: &[Secret],
        method: Method,
        path: &str,
        body: Option<String>,
        patience: Duration,
    ) -> Result<Answer, String> {
        match self {
            Self::Port(port) => call(*port, tokens, method, path, body, patience).await,
            Self::Container(exec) => exec.admin(tokens, &method, path, body, patience).await,
        }
    }
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        if !self.is_success() {
            return Err(self.refusal());
        }
        serde_json::from_str(&self.body).map_err(|fault| format!("its answer cannot be read: {fault}"))
    }

    fn refusal(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or_default();
        let told: String = detail.chars().take(400).collect();
        match told.is_empty() {
            true => format!("HTTP {}", self.status),
            false => told,
        }
    }
}

/// Asks the admin API of the gateway whose second port on this machine is given, with the first of the tokens that it takes:
/// while secrets are replaced, it may know the former one.
///
/// # Errors
///
/// In words, if it does not answer.
pub async fn call(
    ops_port: u16,
    tokens: &[Secret],
    method: Method,
    path: &str,
    body: Option<String>,
    patience: Duration,
) -> Result<Answer, String> {
    let url = format!("http://127.0.0.1:{ops_port}/admin/v1/{path}");
    let mut answer = Err("the game has no token of its own".to_owned());
    for token in tokens {
        let mut asked = client()?
            .request(method.clone(), &url)
            .bearer_auth(token.expose())
            .timeout(patience);
        if let Some(body) = &body {
            asked = asked.header("content-type", "application/json").body(body.clone());
        }
        let answered = read_whole(asked.send().await.map_err(|fault| unreached(&fault))?).await?;
        let is_taken = answered.status != 401;
        answer = Ok(answered);
        if is_taken {
            break;
        }
    }
    answer
}

async fn read_whole(mut answer: reqwest::Response) -> Result<Answer, String> {
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|fault| unreached(&fault))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(format!("its answer is longer than {LONGEST_ANSWER} bytes"));
        }
    }
    let body = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok(Answer { status, body })
}

pub(crate) fn client() -> Result<&'static Client, String> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    // No proxy: what is asked is on this machine, and a token must not leave it. No kept connections: a runtime may
    // end while this lives.
    let made = CLIENT.get_or_init(|| {
        let builder = Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(PATIENCE);
        builder.build().map_err(|fault| fault.to_string())
    });
    made.as_ref().map_err(Clone::clone)
}

pub(crate) fn unreached(fault: &reqwest::Error) -> String {
    match () {
        () if fault.is_timeout() => "it does not answer".to_owned(),
        () if fault.is_connect() => "it does not take connections yet".to_owned(),
        () => fault.to_string(),
    }
}
