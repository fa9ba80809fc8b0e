//! The services' own HTTP ports, asked over loopback: whether one is ready, and which bundle a game uses.

use std::{sync::OnceLock, time::Duration};

use chrono::NaiveDate;
use gaia_names::{GameId, Secret};
use gaia_protocol::{
    bundle::Bundle,
    chat::BundleInUse,
    costs::{By, Costs},
};
use reqwest::{Client, Response, StatusCode};

use crate::DeployError;

/// How long a sign of life may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a gateway may take to have a bundle in use.
const PUBLISHING: Duration = Duration::from_secs(30);
/// How much of an answer is read.
const LONGEST_ANSWER: usize = 64 << 10;
/// How much of an answer about costs is read.
const LARGEST_COSTS: usize = 2 << 20;
/// How long a gateway may take to have costs added up.
const ADDING_UP: Duration = Duration::from_secs(30);

/// Asks a service whether it has all that it needs; the error is what it says is missing.
pub(crate) async fn is_ready(ops_port: u16) -> Result<(), String> {
    let url = format!("http://127.0.0.1:{ops_port}/health/ready");
    let answer = client()?
        .get(url)
        .timeout(PATIENCE)
        .send()
        .await
        .map_err(|fault| unreached(&fault))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{status}: {}", body(answer).await))
}

/// Asks a gateway which bundle a game uses.
pub(crate) async fn in_use(ops_port: u16, game: &GameId, token: &Secret) -> Result<BundleInUse, String> {
    let asked = client()?
        .get(bundle_url(ops_port, game))
        .bearer_auth(token.expose())
        .timeout(PATIENCE);
    let answer = asked.send().await.map_err(|fault| unreached(&fault))?;
    let status = answer.status();
    let text = body(answer).await;
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|fault| format!("its answer cannot be read: {fault}"))
}

/// Gives a gateway a game's bundle. It is well if the game uses it, or a newer one, then.
pub(crate) async fn publish(ops_port: u16, bundle: &Bundle, token: &Secret) -> Result<(), DeployError> {
    let failed = |why: String| DeployError::Publish {
        game: bundle.game.to_string(),
        why,
    };
    let url = bundle_url(ops_port, &bundle.game);
    let asked = client()
        .map_err(failed)?
        .put(url)
        .bearer_auth(token.expose())
        .timeout(PUBLISHING)
        .json(bundle);
    let answer = asked.send().await.map_err(|fault| failed(unreached(&fault)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = body(answer).await;
    // Told twice, as after a kill between the call and the note of it.
    if status == StatusCode::CONFLICT
        && in_use(ops_port, &bundle.game, token)
            .await
            .is_ok_and(|used| used.generation >= bundle.generation)
    {
        return Ok(());
    }
    Err(failed(format!("{status}: {text}")))
}

/// Asks a gateway what a game's models cost.
pub(crate) async fn costs(
    ops_port: u16,
    game: &GameId,
    token: &Secret,
    since: Option<NaiveDate>,
    by: By,
) -> Result<Costs, String> {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let url = format!(
        "http://127.0.0.1:{ops_port}/admin/v1/costs/{game}?by={}{since}",
        by.as_str()
    );
    let asked = client()?.get(url).bearer_auth(token.expose()).timeout(ADDING_UP);
    let answer = asked.send().await.map_err(|fault| unreached(&fault))?;
    let status = answer.status();
    let text = body_up_to(answer, LARGEST_COSTS).await;
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|fault| format!("its answer cannot be read: {fault}"))
}

fn bundle_url(ops_port: u16, game: &GameId) -> String {
    format!("http://127.0.0.1:{ops_port}/admin/v1/bundles/{game}")
}

fn client() -> Result<&'static Client, String> {
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

fn unreached(fault: &reqwest::Error) -> String {
    match () {
        () if fault.is_timeout() => "it does not answer".to_owned(),
        () if fault.is_connect() => "it does not take connections yet".to_owned(),
        () => fault.to_string(),
    }
}

async fn body(answer: Response) -> String {
    body_up_to(answer, LONGEST_ANSWER).await
}

async fn body_up_to(mut answer: Response, most: usize) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            bytes.truncate(most);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}
