//! `gaia scale`: more or fewer instances of a service, without the game's folder.

use chrono::Utc;
use clap::Args;
use gaia_deploy::{Blueprint, ClusterInput, Plan};
use gaia_names::Service;
use serde_json::json;

use crate::{
    commands::{HomeArgument, JsonArgument, PriceBookArgument},
    environment,
    failure::Outcome,
    game_folders::instances,
    output::{Output, Steps},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: String,
    /// How many instances of a service to run: chat=3, or chat=usual for as many as without asking
    #[arg(required = true, value_name = "SERVICE=N", value_parser = instances)]
    wanted: Vec<(Service, Option<u16>)>,
    #[command(flatten)]
    prices: PriceBookArgument,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(&arguments.home)?;
    let prices = environment::price_book(&home, &arguments.prices)?;
    let cluster = super::whole_cluster(&home, |name| format!("scale {name}"), &arguments.game).await?;
    let observed = gaia_deploy::observe(&home, &cluster).await?;
    let mut input = ClusterInput::again(&observed)?;
    input.scale(&arguments.wanted.iter().copied().collect())?;
    let blueprint = Blueprint::draw_up(input, &observed.parent())?;
    let plan = Plan::between(&observed, &blueprint);
    let plan = plan.priced(&observed, &blueprint, &prices, Utc::now().date_naive());
    output.say(&plan);
    if !plan.is_empty() {
        let mut steps = Steps::new(output);
        super::apply(&home, &plan, &blueprint, &format!("gaia scale {cluster}"), &mut steps).await?;
    }
    output.document(&json!({
        "cluster": cluster,
        "changed": !plan.is_empty(),
        "plan": plan,
        "replicas": blueprint.replicas,
        "asked": blueprint.asked,
    }));
    let counts = blueprint
        .replicas
        .iter()
        .map(|(service, count)| format!("{count} {service}"));
    output.say(format_args!("{cluster} runs {}", counts.collect::<Vec<_>>().join(", ")));
    Ok(Outcome::Done)
}
