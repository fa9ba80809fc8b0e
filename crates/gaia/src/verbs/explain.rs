//! `gaia explain`: what can be written and typed.

use std::fmt::Write;

use clap::{Args, CommandFactory, ValueEnum};
use serde_json::Value;

use crate::{commands::Commands, failure::Outcome, output};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// What to explain
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// A config.yaml with every key, its default and what it means
    Config,
    /// A persona's file with every key
    Persona,
    /// The JSON Schema of config.yaml, for editors
    Schema,
    /// The help of every command on one page
    Commands,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let text = match arguments.what {
        What::Config => gaia_spec::explain_config().to_string(),
        What::Persona => gaia_spec::explain_persona().to_string(),
        What::Schema => pretty(&gaia_spec::config_schema())?,
        What::Commands => all_commands(),
    };
    // Nobody reads the rest of a closed pipe.
    let _ = output::put(&format!("{}\n", text.trim_end()));
    Ok(Outcome::Done)
}

fn pretty(schema: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(schema)?)
}

fn all_commands() -> String {
    let mut page = String::from("# Commands\n");
    describe(&mut Commands::command().disable_help_subcommand(true), &mut page);
    page
}

fn describe(command: &mut clap::Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    // Writing into a string cannot fail.
    let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for verb in command.get_subcommands_mut() {
        let of = format!("{name} {}", verb.get_name());
        let mut verb = verb.clone().bin_name(of).disable_help_subcommand(true);
        describe(&mut verb, page);
    }
}
