//! `gaia plan`: what `gaia up` would do.

use clap::Args;
use gaia_deploy::{Blueprint, Home, Observed, Plan};
use serde_json::json;

use crate::{
    characters::Inference,
    environment,
    failure::Outcome,
    game_folders::{self, Shape, Wanted},
    output::Output,
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shape: Shape,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.shape.json.json);
    let home = environment::home(arguments.shape.home.home.as_deref())?;
    let mut wanted = game_folders::read(&arguments.shape)?;
    let inference = Inference::of(&home)?;
    wanted.warnings.extend(inference.missing());
    wanted.input.inference = inference.expected(&home.cluster(&wanted.input.name)).await;
    let warnings = wanted.warnings.clone();
    let (_, plan) = draw_up(&home, wanted).await?;
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
pub(super) async fn draw_up(home: &Home, wanted: Wanted) -> anyhow::Result<(Blueprint, Plan)> {
    let observed: Observed = gaia_deploy::observe(home, &wanted.input.name).await?;
    let blueprint = Blueprint::draw_up(wanted.input, &observed.parent())?;
    let plan = Plan::between(&observed, &blueprint);
    Ok((blueprint, plan))
}
