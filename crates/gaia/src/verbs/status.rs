//! `gaia status`: how a game is, told truthfully.

use chrono::Utc;
use clap::Args;
use gaia_deploy::{ClusterStatus, GameStatus, ProcessStatus};
use gaia_names::Target;

use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::Outcome,
    output::{Ink, Output, Paint, Table, bytes},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: Option<String>,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(&arguments.home)?;
    let Some(game) = &arguments.game else {
        return super::list::all(output, &home).await;
    };
    let cluster = super::cluster_named(&home, game).await?;
    let mut status = gaia_deploy::status(&home, &cluster).await?;
    status.measure().await?;
    output.document(&status);
    tell(output, &status);
    Ok(Outcome::Done)
}

fn tell(output: Output, status: &ClusterStatus) {
    let paint = Paint::stdout();
    let ink = if status.why.is_empty() { Ink::Green } else { Ink::Yellow };
    let state = paint.ink(ink, &status.state.to_string());
    output.say(format_args!(
        "{}  {state}, generation {}",
        status.cluster, status.generation
    ));
    for why in &status.why {
        output.say(format_args!("  {why}"));
    }
    for drifted in &status.drift {
        output.say(format_args!(
            "  drift, {}: {}: {}; `gaia up` puts it right",
            drifted.class, drifted.what, drifted.why
        ));
    }
    for game in &status.games {
        let url = game.gateway_url.as_deref().unwrap_or("no gateway");
        output.say(format_args!("  {}  {url}", game.name));
        if let Some(text) = answers(game) {
            output.say(format_args!("  {}  {text}", game.name));
        }
        for spending in game.spending.iter().filter(|spending| spending.limit_micros.is_some()) {
            output.say(format_args!("  {}  {}", game.name, super::costs::left(spending)));
        }
    }
    if let Some(made) = status.secrets_made_at {
        output.say(format_args!("  secrets made {} ago", age(Some(made))));
    }
    let mut table = Table::new(&["process", "state", "pid", "restarts", "memory", "up for"]);
    for process in &status.processes {
        table.row(row(process));
    }
    if let Some(supervisor) = &status.supervisor {
        let pid = supervisor.pid.map(|pid| pid.to_string()).unwrap_or_default();
        let state = match supervisor.is_running {
            true => "running",
            false => "not running",
        };
        table.row([
            "supervisor".into(),
            state.into(),
            pid,
            String::new(),
            String::new(),
            age(supervisor.since),
        ]);
    }
    match status.target {
        Target::Local => output.say(format_args!("\n{table}\n\nLogs: {}", status.logs.display())),
        Target::Compose | Target::Kubernetes => {
            output.say(format_args!("\n{table}\n\nLogs: gaia logs {}", status.cluster))
        }
    }
}

/// How a game's characters answer, and why not better.
pub(super) fn answers(game: &GameStatus) -> Option<String> {
    let by = game.answers_by.as_deref()?;
    let by = match by {
        "offline" => "characters answer with authored lines, chosen by the model on this machine".to_owned(),
        "barks" => "characters answer from their barks".to_owned(),
        route => format!("characters answer by the route `{route}`"),
    };
    Some(match &game.why {
        Some(why) => format!("{by} ({why})"),
        None => by,
    })
}

fn row(process: &ProcessStatus) -> [String; 6] {
    let state = match (process.is_running, process.is_ready, process.is_desired) {
        (true, true, true) => "ready".to_owned(),
        (true, true, false) => "ready, should not run".to_owned(),
        (true, false, _) => format!("not ready{}", why(process)),
        (false, _, true) => format!("not running{}", why(process)),
        (false, _, false) => "stopped".to_owned(),
    };
    [
        process.name.clone(),
        state,
        process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        process.restarts.to_string(),
        process.memory_bytes.map(bytes).unwrap_or_default(),
        age(process.since),
    ]
}

fn why(process: &ProcessStatus) -> String {
    let why = process.why.as_ref().or(process.last_exit.as_ref());
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

fn age(since: Option<chrono::DateTime<Utc>>) -> String {
    let Some(since) = since else { return String::new() };
    let seconds = (Utc::now() - since).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
