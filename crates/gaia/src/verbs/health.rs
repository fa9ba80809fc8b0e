//! `gaia health`: whether a service is ready, for containers without curl.

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use serde_json::Value;

use crate::{
    failure::{Failure, Outcome},
    output::{Output, plain},
};

/// The most of an answer that is read, in bytes.
const LARGEST: usize = 64 * 1024;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A service's second port: http://127.0.0.1:9100, or a path of it
    url: Url,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut url = arguments.url.clone();
    if url.path() == "/" {
        url.set_path("/health/ready");
    }
    let unreachable = |cause: reqwest::Error| {
        let help = "is the service up? `gaia status` shows what runs";
        Failure::new(format!("{url} cannot be reached"))
            .because(cause)
            .help(help)
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()?;
    let mut answer = client.get(url.clone()).send().await.map_err(unreachable)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&piece[..piece.len().min(LARGEST - body.len())]);
        if body.len() == LARGEST {
            break;
        }
    }
    if status.is_success() {
        Output::new(false).say("ready");
        return Ok(Outcome::Done);
    }
    let missing = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|said| said.get("missing").map(Value::to_string));
    let what = format!("{url} is not ready (HTTP {}){}", status.as_u16(), reason(missing));
    Err(Failure::new(what)
        .help("`gaia status` shows what runs, `gaia logs` what it says")
        .into())
}

fn reason(missing: Option<String>) -> String {
    missing
        .map(|missing| format!(": {}", plain(&missing)))
        .unwrap_or_default()
}
