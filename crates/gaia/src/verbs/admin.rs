//! `gaia admin`: the admin API of the gateway in this container, for whoever applies from outside it.

use std::{io::Read, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use gaia_names::Secret;
use gaia_protocol::settings::{GatewayGame, Settings};
use reqwest::Method;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// The most that is read, in bytes: the largest bundle that a gateway takes, and tokens.
const LARGEST: u64 = (8 << 20) + (4 << 10);
/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// GET, PUT, POST or DELETE. Standard input has a line with the admin's tokens as JSON, and then the body
    method: Method,
    /// What follows /admin/v1/: bundles/zombie-survival
    path: String,
    /// The gateway's settings
    #[arg(long, value_name = "FILE", default_value = "/etc/gaia/settings.json")]
    settings: PathBuf,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let settings: Settings<GatewayGame> = gaia_service::settings::read(&arguments.settings)?;
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LARGEST).read_to_string(&mut text);
    read.context("failed to read standard input")?;
    let (tokens, body) = text.split_once('\n').unwrap_or((&text, ""));
    let tokens: Vec<Secret> = serde_json::from_str(tokens).context("failed to read the tokens")?;
    let body = (!matches!(arguments.method, Method::GET | Method::DELETE)).then(|| body.to_owned());
    let port = settings.ops_listen.port();
    let method = arguments.method.clone();
    let answer = gaia_deploy::call_admin(port, &tokens, method, &arguments.path, body, PATIENCE).await;
    let answer = answer.map_err(|why| Failure::new(format!("the gateway cannot be asked: {why}")))?;
    Output::new(true).document(&answer);
    Ok(Outcome::Done)
}
