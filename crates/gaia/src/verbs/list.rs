//! `gaia list`: the clusters on this machine.

use clap::Args;
use gaia_deploy::{ClusterStatus, DeployError, Home};
use gaia_names::ClusterName;
use serde::Serialize;

use crate::{
    commands::{HomeFolderArgument, JsonArgument},
    environment,
    failure::{self, Outcome},
    output::{Output, Table},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    home: HomeFolderArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// One cluster, or why nothing can be said about it.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    Known(&'a ClusterStatus),
    Unreadable { cluster: &'a ClusterName, error: String },
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let home = environment::home_folder(&arguments.home)?;
    all(Output::new(arguments.json.json), &home).await
}

/// All clusters of a home.
pub(super) async fn all(output: Output, home: &Home) -> anyhow::Result<Outcome> {
    let clusters = gaia_deploy::list(home).await?;
    output.document(&listed(&clusters));
    if clusters.is_empty() {
        output.say(format_args!("There is no cluster in {}.", home.path().display()));
        output.say("Next: `gaia up games/<game>`");
    } else {
        output.say(table(&clusters));
    }
    Ok(Outcome::Done)
}

/// The clusters as a document.
fn listed(clusters: &[(ClusterName, Result<ClusterStatus, DeployError>)]) -> Vec<Listed<'_>> {
    let listed = clusters.iter().map(|(cluster, status)| match status {
        Ok(status) => Listed::Known(status),
        Err(fault) => Listed::Unreadable {
            cluster,
            error: failure::chain(fault),
        },
    });
    listed.collect()
}

fn table(clusters: &[(ClusterName, Result<ClusterStatus, DeployError>)]) -> Table {
    let mut table = Table::new(&["cluster", "state", "games", "gateway"]);
    for (cluster, status) in clusters {
        let (state, games, gateway) = match status {
            Ok(status) => {
                let games: Vec<_> = status.games.iter().map(|game| game.game.as_str()).collect();
                (
                    status.state.to_string(),
                    games.join(", "),
                    status.gateway_url.clone().unwrap_or_default(),
                )
            }
            Err(fault) => (
                format!("unreadable: {}", failure::chain(fault)),
                String::new(),
                String::new(),
            ),
        };
        table.row([cluster.to_string(), state, games, gateway]);
    }
    table
}
