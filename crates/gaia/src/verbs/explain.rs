//! `gaia explain`: what can be written and typed.

use std::fmt::Write;

use clap::{Args, CommandFactory, ValueEnum};
use gaia_protocol::ErrorCode;
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
    /// A price book with what clusters run on, as it comes with Gaia
    Prices,
    /// The player's API as an OpenAPI 3.1 document
    Openapi,
    /// The socket as an AsyncAPI 3.0 document
    Asyncapi,
    /// Every code that a refusal can have
    Errors,
    /// The help of every command on one page
    Commands,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let text = match arguments.what {
        What::Config => gaia_spec::explain_config().to_string(),
        What::Persona => gaia_spec::explain_persona().to_string(),
        What::Schema => pretty(&gaia_spec::config_schema())?,
        What::Prices => gaia_spec::explain_prices().to_owned(),
        What::Openapi => pretty(&gaia_gateway::openapi())?,
        What::Asyncapi => pretty(&gaia_gateway::asyncapi())?,
        What::Errors => all_errors(),
        What::Commands => all_commands(),
    };
    // Nobody reads the rest of a closed pipe.
    let _ = output::put(&format!("{}\n", text.trim_end()));
    Ok(Outcome::Done)
}

fn pretty(schema: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(schema)?)
}

fn all_errors() -> String {
    let mut page = String::from(
        "# Errors\n\nEvery refusal of the player's API is `application/problem+json` (RFC 9457) with one of these codes. A code \
         never changes its\nmeaning; titles and details may.\n\n| code | status | title |\n|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        let _ = writeln!(page, "| `{code}` | {} | {} |", code.status(), code.title());
    }
    page
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
