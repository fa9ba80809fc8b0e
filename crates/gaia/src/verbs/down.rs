//! `gaia down`: stops a game and keeps its data.

use clap::Args;
use gaia_deploy::Event;
use gaia_names::Target;
use serde_json::json;

use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::Outcome,
    output::{Output, Steps},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: String,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(&arguments.home)?;
    let cluster = super::whole_cluster(&home, |name| format!("down {name}"), &arguments.game).await?;
    let mut steps = Steps::new(output);
    steps.doing("work in hand ends and the processes stop");
    let mut on_event = |event: Event| steps.on(event);
    let options = super::options(format!("gaia down {cluster}"), &mut on_event)?;
    gaia_deploy::stop(&home, &cluster, options).await?;
    drop(steps);
    output.document(&json!({ "cluster": cluster, "state": "stopped" }));
    let kept = match home.target_of(&cluster)? {
        Target::Local => home.cluster(&cluster).path().display().to_string(),
        Target::Compose => "its volumes".to_owned(),
        Target::Kubernetes => "the volumes of its namespace".to_owned(),
    };
    output.say(format_args!("{cluster} is stopped; its data is kept in {kept}"));
    output.say("Next: `gaia up <folder>` brings it back, `gaia destroy` removes it with its data");
    Ok(Outcome::Done)
}
