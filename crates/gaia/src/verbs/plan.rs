//! `gaia plan`: what `gaia up` would do.

use chrono::Utc;
use clap::Args;
use gaia_deploy::{Blueprint, Observed, Plan};
use gaia_names::Target;
use serde_json::json;

use crate::{
    characters::Inference,
    commands::PriceBookArgument,
    environment,
    failure::Outcome,
    game_folders::{self, Shape, Wanted},
    output::Output,
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shape: Shape,
    #[command(flatten)]
    prices: PriceBookArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.shape.json.json);
    let home = environment::home(&arguments.shape.home)?;
    let prices = environment::price_book(&home, &arguments.prices)?;
    let mut wanted = game_folders::read(&arguments.shape)?;
    let observed = gaia_deploy::observe(&home, &wanted.input.name).await?;
    if observed.target() == Target::Local {
        let inference = Inference::of(&home)?;
        wanted.warnings.extend(inference.missing());
        wanted.input.inference = inference.expected(&home.cluster(&wanted.input.name)).await;
    }
    let mut warnings = wanted.warnings.clone();
    let (blueprint, plan) = draw_up(&observed, wanted)?;
    let plan = plan.priced(&observed, &blueprint, &prices, Utc::now().date_naive());
    if plan.cost.is_none() {
        let target = blueprint.target;
        warnings.push(format!(
            "what it costs is not known: the price book has no price for {target} there"
        ));
    }
    if let [home, others @ ..] = blueprint.needs.regions.as_slice()
        && !others.is_empty()
    {
        let others = others.join(", ");
        warnings.push(format!(
            "players are served from {home} alone; not served yet: {others}"
        ));
    }
    warnings.extend(missing_images(&blueprint).await?);
    warnings.extend(gaia_deploy::obstacles(&observed, &blueprint));
    for warning in &warnings {
        output.warn(warning);
    }
    output.document(&json!({ "has_changes": !plan.is_empty(), "plan": plan, "warnings": warnings }));
    output.say(&plan);
    Ok(if plan.is_empty() {
        Outcome::Done
    } else {
        Outcome::ChangesPending
    })
}

/// The blueprint of what is wanted, and the plan that leads there.
pub(super) fn draw_up(observed: &Observed, mut wanted: Wanted) -> anyhow::Result<(Blueprint, Plan)> {
    wanted.input.target = observed.target();
    wanted.input.replicas = observed.asked(&wanted.replicas);
    let blueprint = Blueprint::draw_up(wanted.input, &observed.parent())?;
    let plan = Plan::between(observed, &blueprint);
    Ok((blueprint, plan))
}

/// What is to be said of images that are not there yet.
pub(super) async fn missing_images(blueprint: &Blueprint) -> anyhow::Result<Vec<String>> {
    if blueprint.target != Target::Compose {
        return Ok(Vec::new());
    }
    let missing = gaia_deploy::missing_images(blueprint).await?;
    let told = |image: String| match image.contains('/') {
        true => format!("the image {image} is not here yet and is fetched"),
        false => {
            format!("the image {image} is not here, and no registry is named that has it; `scripts/images` builds it")
        }
    };
    Ok(missing.into_iter().map(told).collect())
}
