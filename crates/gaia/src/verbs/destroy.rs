//! `gaia destroy`: removes a game with all its data.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use gaia_deploy::{Event, Home, Plan};
use gaia_names::ClusterName;
use serde_json::json;

use crate::{
    characters::Inference,
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
    let home = environment::home(&arguments.home)?;
    let cluster = super::whole_cluster(&home, "destroy", &arguments.game).await?;
    let observed = gaia_deploy::observe(&home, &cluster).await?;
    let games = observed
        .applied()
        .map(|blueprint| blueprint.game_ids())
        .unwrap_or_default();
    let plan = Plan::destroying(&observed);
    if plan.is_empty() {
        // An earlier destroy may have been killed after its last step.
        tidy(&home).await?;
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
    let mut forgotten = None;
    let mut on_event = |event: Event| {
        // Now nobody else is at work and there is no way back. Later, nobody would know which games there were.
        forgotten.get_or_insert_with(|| games.iter().try_for_each(|game| play::forget(&home, game.as_str())));
        steps.on(event);
    };
    let options = super::options(format!("gaia destroy {cluster}"), &mut on_event)?;
    gaia_deploy::destroy(&home, &plan, options).await?;
    drop(steps);
    forgotten.unwrap_or(Ok(()))?;
    tidy(&home).await?;
    output.document(&json!({ "cluster": cluster, "changed": true }));
    output.say(format_args!(
        "{cluster} is gone with its data; nothing of it is left on this machine"
    ));
    Ok(Outcome::Done)
}

/// Removes what belongs to nobody once the last cluster is gone. The home itself stays, and models that were pulled.
async fn tidy(home: &Home) -> anyhow::Result<()> {
    gaia_deploy::tidy(home)?;
    play::tidy(home)?;
    if home.clusters()?.is_empty() {
        let inference = Inference::of(home)?;
        tokio::task::spawn_blocking(move || inference.remove_unused()).await??;
    }
    Ok(())
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
