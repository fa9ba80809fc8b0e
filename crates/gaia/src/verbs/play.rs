//! `gaia play`: talk to a game's characters.

use std::io::{self, IsTerminal};

use clap::Args;
use gaia_deploy::{ClusterState, ClusterStatus, Forward, Home};
use gaia_names::{GameId, PersonaId, Target};
use reqwest::Url;

use crate::{
    commands::HomeArgument,
    environment,
    failure::{Failure, Outcome},
    play::{Play, play},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game
    game: GameId,
    /// With whom to talk [default: asks, in a pipe the first]
    #[arg(long)]
    persona: Option<PersonaId>,
    /// The gateway of a game that runs elsewhere
    #[arg(long)]
    url: Option<Url>,
    /// Begin a new conversation
    #[arg(long)]
    new: bool,
    /// In a pipe, show each line and who answers it
    #[arg(long)]
    echo: bool,
    #[command(flatten)]
    home: HomeArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let home = environment::home(&arguments.home)?;
    // Held for as long as the player talks, where players of this machine cannot come in otherwise.
    let mut forward = None;
    let gateway = match &arguments.url {
        Some(url) => given(url)?,
        None => gateway_of(&home, &arguments.game, &mut forward).await?,
    };
    let went_well = play(Play {
        game: arguments.game.as_str(),
        gateway,
        is_elsewhere: arguments.url.is_some(),
        home: &home,
        persona: arguments.persona.clone(),
        is_new: arguments.new,
        echoes: arguments.echo,
        is_live: io::stdin().is_terminal() && io::stdout().is_terminal(),
    });
    Ok(if went_well.await? {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn given(url: &Url) -> anyhow::Result<Url> {
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Ok(url.clone());
    }
    let what = format!("`{url}` is not the address of a gateway");
    Err(Failure::new(what)
        .bad_input()
        .help("write it as https://game.example")
        .into())
}

async fn gateway_of(home: &Home, game: &GameId, forward: &mut Option<Forward>) -> anyhow::Result<Url> {
    let cluster = super::cluster_named(home, game.as_str()).await?;
    if home.target_of(&cluster)? == Target::Kubernetes {
        *forward = gaia_deploy::observe(home, &cluster).await?.forward(game).await?;
    }
    if let Some(forward) = forward {
        return Ok(format!("http://{}", forward.address).parse()?);
    }
    let status = gaia_deploy::status(home, &cluster).await?;
    let address = address_of(&status, game).filter(|_| status.state != ClusterState::Stopped);
    let address = address.ok_or_else(|| {
        let help = format!("`gaia up <folder of {game}>` brings it up; `gaia status {cluster}` shows how it is");
        Failure::new(format!("`{game}` is not up: its cluster is {}", status.state)).help(help)
    })?;
    Ok(address.parse()?)
}

fn address_of<'a>(status: &'a ClusterStatus, game: &GameId) -> Option<&'a str> {
    let hosted = status.games.iter().find(|hosted| hosted.game == *game)?;
    hosted.gateway_url.as_deref()
}
