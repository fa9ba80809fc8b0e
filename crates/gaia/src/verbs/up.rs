//! `gaia up`: from a game's folder to a running game.

use std::time::{Duration, Instant};

use clap::Args;
use gaia_deploy::{ClusterStatus, Home};
use gaia_inference::Lease;
use gaia_names::{ClusterName, Target};
use serde_json::json;

use super::plan::draw_up;
use crate::{
    characters::Inference,
    environment,
    failure::{self, Failure, Outcome},
    game_folders::{self, Shape, Wanted},
    output::{Ink, Output, Paint, Steps, elapsed_text},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shape: Shape,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let output = Output::new(arguments.shape.json.json);
    let home = environment::home(&arguments.shape.home)?;
    let mut wanted = game_folders::read(&arguments.shape)?;
    environment::make_home(&home)?;
    let mut steps = Steps::new(output);
    let name = wanted.input.name.clone();
    let mut observed = gaia_deploy::observe(&home, &name).await?;
    let mut lease = None;
    if observed.target() == Target::Local {
        // Held until the cluster's supervisor holds its own, so that inference does not end in between.
        lease = start_inference(&home, &mut wanted, &steps).await?;
        observed = gaia_deploy::observe(&home, &name).await?;
    }
    let mut warnings = wanted.warnings.clone();
    let (blueprint, plan) = draw_up(&observed, wanted)?;
    warnings.extend(super::plan::missing_images(&blueprint).await?);
    let mut done = Vec::new();
    if !plan.is_empty() {
        refuse(&gaia_deploy::obstacles(&observed, &blueprint))?;
        let command = format!("gaia up {}", plan.cluster);
        done = super::apply(&home, &plan, &blueprint, &command, &mut steps).await?;
    }
    let status = until_read(&home, &plan.cluster, &steps).await?;
    drop(steps);
    drop(lease);
    for warning in &warnings {
        output.warn(warning);
    }
    let steps: Vec<_> = done
        .iter()
        .map(|(step, took)| json!({ "step": step, "ms": took.as_millis() }))
        .collect();
    output.document(&json!({
        "cluster": status.cluster,
        "generation": status.generation,
        "changed": !plan.is_empty(),
        "steps": steps,
        "state": status.state,
        "gateway_url": status.gateway_url,
        "games": status.games,
        "warnings": warnings,
        "ms": began.elapsed().as_millis(),
    }));
    tell(output, &status, plan.is_empty(), &elapsed_text(began.elapsed()));
    Ok(Outcome::Done)
}

/// Says what is in the way before anything is made.
fn refuse(obstacles: &[String]) -> anyhow::Result<()> {
    if obstacles.is_empty() {
        return Ok(());
    }
    let why = Failure::new(obstacles.join("\n"));
    Err(Failure::new("it cannot run there, so nothing was touched")
        .because(why)
        .into())
}

/// Waits while the model on this machine reads the characters' lines for the first time, so that the first player
/// already gets lines chosen by meaning. What was read once is kept for the next time.
async fn until_read(home: &Home, cluster: &ClusterName, steps: &Steps) -> anyhow::Result<ClusterStatus> {
    const LONGEST: Duration = Duration::from_secs(180);
    let began = Instant::now();
    let mut told = None;
    loop {
        let status = gaia_deploy::status(home, cluster).await?;
        let reading = status
            .games
            .iter()
            .filter(|game| game.answers_by.as_deref() == Some("barks"));
        let left: usize = reading.map(|game| game.lines_to_read).sum();
        if left == 0 || began.elapsed() > LONGEST {
            return Ok(status);
        }
        if told.is_none_or(|told: Instant| told.elapsed() > Duration::from_secs(3)) {
            steps.waiting(&format!("the model reads the characters' lines, once: {left} to go"));
            told = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn start_inference(home: &Home, wanted: &mut Wanted, steps: &Steps) -> anyhow::Result<Option<Lease>> {
    let inference = Inference::of(home)?;
    if let Some(missing) = inference.missing() {
        wanted
            .warnings
            .push(format!("characters without a route answer from their barks: {missing}"));
        return Ok(None);
    }
    steps.doing("the model that chooses authored lines starts");
    let started = async {
        let lease = inference.lease()?;
        Ok::<_, anyhow::Error>((lease, inference.ensure().await?))
    };
    match started.await {
        Ok((lease, access)) => {
            wanted.input.inference = Some(access);
            Ok(Some(lease))
        }
        Err(fault) => {
            let why = failure::with_help(&fault);
            wanted
                .warnings
                .push(format!("characters without a route answer from their barks: {why}"));
            Ok(None)
        }
    }
}

fn tell(output: Output, status: &ClusterStatus, was_up: bool, took: &str) {
    let paint = Paint::stdout();
    let how = if was_up {
        "was up already, nothing changed"
    } else {
        "is up"
    };
    output.say(format_args!(
        "{} {how} (generation {}, {took})",
        paint.ink(Ink::Bold, status.cluster.as_str()),
        status.generation
    ));
    for why in &status.why {
        output.say(format_args!("  {}: {why}", status.state));
    }
    for game in &status.games {
        if let Some(url) = &game.gateway_url {
            output.say(format_args!("  {}  gateway {url}, API {url}/docs", game.name));
        }
        if let Some(text) = super::status::answers(game) {
            output.say(format_args!("  {}  {text}", game.name));
        }
    }
    let game = status
        .games
        .first()
        .map_or(status.cluster.as_str(), |game| game.game.as_str());
    output.say(format_args!(
        "\nNext: `gaia play {game}` talks to its characters, `gaia status {game}` shows how it is"
    ));
}
