//! `gaia restart`: a game's processes, one after the other.

use clap::Args;
use gaia_deploy::Event;
use gaia_names::{Service, Store};
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
    /// A service (chat), one of its instances (chat-1) or a store (redis) [default: all services]
    process: Option<String>,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(&arguments.home)?;
    let cluster = super::cluster_named(&home, &arguments.game).await?;
    let processes = match &arguments.process {
        Some(process) => vec![process.clone()],
        None => Service::ALL.iter().map(ToString::to_string).collect(),
    };
    let mut steps = Steps::new(output);
    for process in &processes {
        steps.doing(&format!("{process} restarts"));
        let mut on_event = |event: Event| steps.on(event);
        let options = super::options(format!("gaia restart {cluster} {process}"), &mut on_event)?;
        gaia_deploy::restart(&home, &cluster, process, options).await?;
    }
    drop(steps);
    output.document(&json!({ "cluster": cluster, "restarted": processes }));
    let is_store = Store::ALL
        .iter()
        .any(|store| processes.iter().any(|process| process == store.as_str()));
    let what = if is_store {
        "and what needs it is ready again"
    } else {
        "ready again"
    };
    output.say(format_args!("{cluster}: {} restarted, {what}", processes.join(", ")));
    Ok(Outcome::Done)
}
