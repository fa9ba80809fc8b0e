//! `gaia model`: installs and lists models.

use std::io::{self, IsTerminal};

use clap::{Args, Subcommand};
use gaia_inference::models::{self, Listed, Progress, State};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    commands::{HomeFolderArgument, JsonArgument},
    environment,
    failure::{Failure, Outcome},
    output::{Output, Table, bytes},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: ModelVerb,
}

#[derive(Debug, Subcommand)]
enum ModelVerb {
    /// Download a model, check it and install it
    ///
    /// Downloads the package with the machine's own pip, compares its SHA-256 and installs it. Quick if it is there.
    #[command(verbatim_doc_comment)]
    Pull(Pull),
    /// List the models that Gaia knows, with their licences
    ///
    /// Lists every model of the catalogue and whether it is installed.
    #[command(verbatim_doc_comment)]
    List(List),
}

#[derive(Args, Debug)]
struct Pull {
    /// The model: all-minilm-l6-v2
    name: String,
    #[command(flatten)]
    home: HomeFolderArgument,
    #[command(flatten)]
    json: JsonArgument,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    home: HomeFolderArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        match &self.verb {
            ModelVerb::Pull(pull) => pull.json.json,
            ModelVerb::List(list) => list.json.json,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        ModelVerb::Pull(arguments) => pull(arguments),
        ModelVerb::List(arguments) => list(arguments),
    }
}

fn pull(arguments: &Pull) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home_folder(&arguments.home)?;
    let model = models::find(&arguments.name).map_err(|fault| {
        Failure::new(fault.to_string())
            .bad_input()
            .help("see `gaia model list`")
    })?;
    output.note(format_args!(
        "{}: {} ({})",
        model.name, model.licence, model.licence_note
    ));
    environment::make_home(&home)?;
    let bar = bar(output, model.package_bytes);
    let (mut was_there, mut is_told) = (false, false);
    let folder = models::pull(
        model.name,
        &environment::models(&home),
        &mut |progress| match progress {
            Progress::AlreadyInstalled => was_there = true,
            Progress::Downloading { received, .. } => {
                if bar.is_hidden() && !std::mem::replace(&mut is_told, true) {
                    output.note(format_args!("downloading {}", bytes(model.package_bytes)));
                }
                bar.set_position(received);
            }
            Progress::Unpacking => bar.set_message("checking and unpacking"),
            Progress::Installed => {}
        },
    )?;
    bar.finish_and_clear();
    output.document(&json!({ "name": model.name, "folder": folder, "licence": model.licence, "changed": !was_there }));
    let how = if was_there {
        "is installed already"
    } else {
        "is installed"
    };
    output.say(format_args!("{} {how} in {}", model.name, folder.display()));
    output.say("Next: `gaia up <folder>` lets a game's characters use it, also one that runs already");
    Ok(Outcome::Done)
}

fn bar(output: Output, package_bytes: u64) -> ProgressBar {
    if output.is_json() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(package_bytes).with_message("downloading");
    if let Ok(style) = ProgressStyle::with_template("{msg} {bytes}/{total_bytes} {wide_bar} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn list(arguments: &List) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home_folder(&arguments.home)?;
    let listed = models::list(&environment::models(&home));
    output.document(&listed.iter().map(document).collect::<Vec<_>>());
    let mut table = Table::new(&["model", "for", "state", "size", "licence"]);
    for Listed { model, state } in &listed {
        let state = match state {
            State::Installed => "installed".to_owned(),
            State::Absent => "not installed".to_owned(),
            State::Damaged { reason } => format!("damaged: {reason}"),
        };
        table.row([
            model.name.into(),
            model.kind.word().into(),
            state,
            bytes(model.bytes()),
            model.licence.into(),
        ]);
    }
    output.say(table);
    if let Some(absent) = listed.iter().find(|listed| listed.state != State::Installed) {
        output.say(format_args!("\nNext: `gaia model pull {}`", absent.model.name));
    }
    Ok(Outcome::Done)
}

fn document(listed: &Listed) -> Value {
    let (state, reason) = match &listed.state {
        State::Installed => ("installed", None),
        State::Absent => ("absent", None),
        State::Damaged { reason } => ("damaged", Some(reason)),
    };
    let model = listed.model;
    json!({
        "name": model.name,
        "for": model.kind.word(),
        "state": state,
        "reason": reason,
        "bytes": model.bytes(),
        "licence": model.licence,
        "licence_note": model.licence_note,
    })
}
