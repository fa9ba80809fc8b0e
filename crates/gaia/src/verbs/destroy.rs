//! `gaia destroy`: removes a game with all its data.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use gaia_deploy::{Event, Plan};
use gaia_names::ClusterName;
use serde_json::json;

use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::{Failure, Outcome},
    output::{Output, Steps},
    play,
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(arguments.home.home.as_deref())?;
    let cluster = super::whole_cluster(&home, "destroy", &arguments.game).await?;
    let observed = gaia_deploy::observe(&home, &cluster).await?;
    let games = observed
        .applied()
        .map(|blueprint| blueprint.game_ids())
        .unwrap_or_default();
    let plan = Plan::destroying(&observed);
    if plan.is_empty() {
        output.document(&json!({ "cluster": cluster, "changed": false }));
        output.say(format_args!(
            "There is no cluster `{cluster}`, so there is nothing to destroy."
        ));
        output.say("See what is there: `gaia list`");
        return Ok(Outcome::Done);
    }
    if !arguments.yes {
        confirm(&cluster, arguments.json.json)?;
    }
    let mut steps = Steps::new(output);
    let mut on_event = |event: Event| steps.on(event);
    let options = super::options(format!("gaia destroy {cluster}"), &mut on_event)?;
    gaia_deploy::destroy(&home, &plan, options).await?;
    drop(steps);
    for game in &games {
        // The player's secret was for a game that is gone.
        play::forget(&home, game.as_str())?;
    }
    output.document(&json!({ "cluster": cluster, "changed": true }));
    output.say(format_args!(
        "{cluster} is gone with its data; nothing of it is left on this machine"
    ));
    Ok(Outcome::Done)
}

fn confirm(cluster: &ClusterName, is_json: bool) -> anyhow::Result<()> {
    if is_json || !io::stdin().is_terminal() {
        return Err(
            Failure::new(format!("`{cluster}` was not destroyed: nobody is here to confirm it"))
                .bad_input()
                .help(format!("`gaia destroy {cluster} --yes` does it without asking"))
                .into(),
        );
    }
    let mut out = io::stderr();
    write!(
        out,
        "This removes {cluster} with all its data for good. Type its name to go on: "
    )?;
    out.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == cluster.as_str() {
        return Ok(());
    }
    let help = format!("run it again and type `{cluster}`");
    Err(
        Failure::new(format!("`{cluster}` was not destroyed: its name was not typed"))
            .bad_input()
            .help(help)
            .into(),
    )
}
