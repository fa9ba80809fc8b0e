//! `gaia secrets`: others in the place of the secrets that Gaia has made for a game.

use chrono::Utc;
use clap::{Args, Subcommand};
use gaia_deploy::{Blueprint, ClusterInput, Plan};
use serde_json::json;

use crate::{
    commands::{HomeArgument, JsonArgument, PriceBookArgument},
    environment,
    failure::Outcome,
    output::{Output, Steps},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: String,
    #[command(subcommand)]
    verb: SecretsVerb,
}

#[derive(Debug, Subcommand)]
enum SecretsVerb {
    /// Make new ones, move everything over, and have the stores forget the former ones
    ///
    /// Shows the plan and carries it out. The stores know both while the services move, one after the other; a service of
    /// which there is one is away for a moment, as the plan says. Access tokens that were signed before hold until they
    /// expire. After any interruption it goes on from where it stopped, here or with the next `gaia up`.
    ///
    /// Keys of LLM providers are not Gaia's to make: change them where config.yaml finds them and run `gaia up`.
    #[command(verbatim_doc_comment)]
    Rotate(Rotate),
}

#[derive(Args, Debug)]
struct Rotate {
    #[command(flatten)]
    prices: PriceBookArgument,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        let SecretsVerb::Rotate(rotate) = &self.verb;
        rotate.json.json
    }
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let SecretsVerb::Rotate(rotate) = &arguments.verb;
    let output = Output::new(rotate.json.json);
    let home = environment::home(&rotate.home)?;
    let prices = environment::price_book(&home, &rotate.prices)?;
    let cluster = super::whole_cluster(&home, |name| format!("secrets {name} rotate"), &arguments.game).await?;
    let observed = gaia_deploy::observe(&home, &cluster).await?;
    let goes_on = observed.has_former_secrets();
    let blueprint = Blueprint::draw_up(ClusterInput::again(&observed)?, &observed.parent())?;
    let plan = Plan::rotating(&observed, &blueprint)?;
    let plan = plan.priced(&observed, &blueprint, &prices, Utc::now().date_naive());
    if goes_on {
        output.say(format_args!(
            "an earlier rotation of `{cluster}` was interrupted: it goes on"
        ));
    }
    output.say(&plan);
    let mut steps = Steps::new(output);
    let command = format!("gaia secrets {cluster} rotate");
    let done = super::apply(&home, &plan, &blueprint, &command, &mut steps).await?;
    drop(steps);
    let steps = done
        .iter()
        .map(|(step, took)| json!({ "step": step, "ms": took.as_millis() }));
    output.document(&json!({
        "cluster": cluster,
        "went_on": goes_on,
        "plan": plan,
        "steps": steps.collect::<Vec<_>>(),
    }));
    output.say(format_args!(
        "{cluster} uses new secrets, and nothing knows the former ones"
    ));
    Ok(Outcome::Done)
}
