//! What a developer of Gaia runs: `cargo xtask ci|tidy|regenerate|bench`.

mod ci;
mod regenerate;
mod shell;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// What a developer of Gaia runs.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
enum Task {
    /// Everything that must hold before a change lands: formatting, lints, walls, tests.
    Ci,
    /// The walls that no compiler keeps: sizes, sentences, directions, licences.
    Tidy,
    /// Writes `docs/reference/` anew from the program.
    Regenerate,
    /// Measures, and prints the table of `docs/reference/performance.md`.
    Bench {
        /// Only the rows whose name contains one of these.
        rows: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Regenerate => regenerate::run(),
        Task::Bench { rows } => {
            let mut command = vec!["run", "--release", "--quiet", "--package", "gaia-bench", "--"];
            command.extend(rows.iter().map(String::as_str));
            shell::cargo(&["build", "--release", "--quiet", "--package", "gaia"]).and_then(|()| shell::cargo(&command))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            shell::say(&format!("error: {fault:#}"));
            ExitCode::FAILURE
        }
    }
}
