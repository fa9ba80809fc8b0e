//! `gaia admin`: the admin API of the gateway in this container, for whoever applies from outside it.

use std::{io::Read, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use gaia_protocol::settings::{GatewayGame, Settings};
use reqwest::Method;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// The largest body, in bytes: the largest bundle that a gateway takes.
const LARGEST: u64 = 8 << 20;
/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// GET, PUT, POST or DELETE. A body is read from standard input unless it is GET or DELETE
    method: Method,
    /// What follows /admin/v1/: bundles/zombie-survival
    path: String,
    /// The gateway's settings
    #[arg(long, value_name = "FILE", default_value = "/etc/gaia/settings.json")]
    settings: PathBuf,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let settings: Settings<GatewayGame> = gaia_service::settings::read(&arguments.settings)?;
    let named = arguments.path.split(['/', '?']).nth(1).unwrap_or_default();
    let game = settings.games.iter().find(|game| game.game.as_str() == named);
    let token = &game
        .ok_or_else(|| Failure::new(format!("this gateway serves no game `{named}`")).bad_input())?
        .admin_token;
    let mut body = None;
    if !matches!(arguments.method, Method::GET | Method::DELETE) {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LARGEST).read_to_string(&mut text);
        read.context("failed to read standard input")?;
        body = Some(text);
    }
    let port = settings.ops_listen.port();
    let method = arguments.method.clone();
    let answer = gaia_deploy::call_admin(port, token, method, &arguments.path, body, PATIENCE).await;
    let answer = answer.map_err(|why| Failure::new(format!("the gateway cannot be asked: {why}")))?;
    Output::new(true).document(&answer);
    Ok(Outcome::Done)
}
