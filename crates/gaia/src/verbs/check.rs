//! `gaia check`: everything that is wrong with games' folders, at once.

use std::path::{Path, PathBuf};

use clap::Args;
use gaia_spec::{Checked, Fault, Faults, Severity};
use serde::Serialize;

use crate::{
    commands::JsonArgument,
    failure::Outcome,
    output::{Ink, Output, Paint},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Games' folders: games/zombie-survival
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Serialize)]
struct Report<'a> {
    is_valid: bool,
    games: Vec<GameReport<'a>>,
}

#[derive(Serialize)]
struct GameReport<'a> {
    folder: &'a Path,
    is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    game: Option<&'a gaia_spec::Game>,
    faults: &'a [Fault],
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let checks: Vec<_> = arguments
        .folders
        .iter()
        .map(|folder| (folder, gaia_spec::check_folder(folder)))
        .collect();
    let games: Vec<_> = checks.iter().map(|(folder, checked)| report(folder, checked)).collect();
    let is_valid = games.iter().all(|game| game.is_valid);
    for game in &games {
        tell(output, game);
    }
    output.document(&Report { is_valid, games });
    Ok(if is_valid { Outcome::Done } else { Outcome::BadInput })
}

fn report<'a>(folder: &'a Path, checked: &'a Result<Checked, Faults>) -> GameReport<'a> {
    match checked {
        Ok(checked) => GameReport {
            folder,
            is_valid: true,
            game: Some(&checked.game),
            faults: &checked.warnings,
        },
        Err(faults) => GameReport {
            folder,
            is_valid: false,
            game: None,
            faults: faults.list(),
        },
    }
}

fn tell(output: Output, report: &GameReport<'_>) {
    let paint = Paint::stdout();
    for fault in report.faults {
        output.say(fault);
    }
    let count = |severity| report.faults.iter().filter(|fault| fault.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let folder = report.folder.display();
    match report.game {
        Some(game) => {
            let good = paint.ink(Ink::Green, "good");
            let (personas, size) = (game.personas.len(), game.size);
            output.say(format_args!(
                "{folder}: {good}: {} with {}, {}",
                game.name,
                counted(personas, "persona"),
                format_args!("size {}", format!("{size:?}").to_lowercase()),
            ));
            if warnings > 0 {
                output.say(format_args!("{folder}: {}", counted(warnings, "warning")));
            }
        }
        None => {
            let bad = paint.ink(Ink::Red, &counted(errors, "error"));
            output.say(format_args!("{folder}: {bad}, {}", counted(warnings, "warning")));
        }
    }
}

/// `1 persona`, `3 personas`.
pub(crate) fn counted(count: usize, word: &str) -> String {
    if count == 1 {
        format!("1 {word}")
    } else {
        format!("{count} {word}s")
    }
}
