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
    /// Keep the data and the secrets that open it; the next `gaia up` takes them up again
    #[arg(long)]
    keep_volumes: bool,
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
    let cluster = super::whole_cluster(&home, |name| format!("destroy {name}"), &arguments.game).await?;
    let observed = gaia_deploy::observe(&home, &cluster).await?;
    let games = observed
        .applied()
        .map(|blueprint| blueprint.game_ids())
        .unwrap_or_default();
    let keeps = arguments.keep_volumes;
    let plan = match keeps {
        true => Plan::destroying_all_but_volumes(&observed),
        false => Plan::destroying(&observed),
    };
    if plan.is_empty() && observed.is_kept() {
        output.document(&json!({ "cluster": cluster, "changed": false }));
        output.say(format_args!("Only the data of `{cluster}` is left already."));
        return Ok(Outcome::Done);
    }
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
        confirm(&cluster, arguments)?;
    }
    let mut steps = Steps::new(output);
    let mut forgotten = None;
    let mut on_event = |event: Event| {
        // Now nobody else is at work and there is no way back. Later, nobody would know which games there were.
        if !keeps {
            forgotten.get_or_insert_with(|| games.iter().try_for_each(|game| play::forget(&home, game.as_str())));
        }
        steps.on(event);
    };
    let options = super::options(format!("gaia destroy {cluster}"), &mut on_event)?;
    let applied = gaia_deploy::destroy(&home, &plan, options).await?;
    drop(steps);
    forgotten.unwrap_or(Ok(()))?;
    tidy(&home).await?;
    output.document(&json!({ "cluster": cluster, "changed": true, "kept": applied.kept }));
    if keeps {
        output.say(format_args!("{cluster} is gone, but for its data. What is kept:"));
        for kept in &applied.kept {
            output.say(format_args!("  {}: {}", kept.what, kept.why));
        }
        output.say(format_args!(
            "Next: `gaia up <folder>` takes it up again, `gaia destroy {cluster}` removes it"
        ));
        return Ok(Outcome::Done);
    }
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

fn confirm(cluster: &ClusterName, arguments: &Arguments) -> anyhow::Result<()> {
    let how = match arguments.keep_volumes {
        true => "destroy --keep-volumes",
        false => "destroy",
    };
    if arguments.json.json || !io::stdin().is_terminal() {
        return Err(
            Failure::new(format!("`{cluster}` was not destroyed: nobody is here to confirm it"))
                .bad_input()
                .help(format!("`gaia {how} {cluster} --yes` does it without asking"))
                .into(),
        );
    }
    let what = match arguments.keep_volumes {
        true => format!("all of {cluster} but its data"),
        false => format!("{cluster} with all its data for good"),
    };
    let mut out = io::stderr();
    write!(out, "This removes {what}. Type its name to go on: ")?;
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
