//! The one binary: `gaia up`, `gaia serve gateway`, ...

mod characters;
mod commands;
mod environment;
mod failure;
mod game_folders;
mod log;
mod output;
mod play;
mod private_files;
mod verbs;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};

use crate::{commands::Commands, failure::Outcome};

fn main() -> ExitCode {
    match Commands::try_parse() {
        Ok(commands) => verbs::run(commands.verb),
        Err(fault) => {
            // Where the terminal is gone there is nobody to tell.
            let _ = fault.print();
            let is_answer = matches!(fault.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            if is_answer { Outcome::Done } else { Outcome::BadInput }.into()
        }
    }
}
