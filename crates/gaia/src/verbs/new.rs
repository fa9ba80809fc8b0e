//! `gaia new`: a game's folder, ready to be changed.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use gaia_names::GameId;
use serde_json::json;

use crate::{
    commands::JsonArgument,
    failure::{Failure, Outcome},
    output::Output,
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game's name: 3 to 40 lower-case letters, digits and dashes
    game: String,
    /// The folder to make it in
    #[arg(long, value_name = "FOLDER", default_value = "games")]
    into: PathBuf,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let game: GameId = arguments.game.parse().map_err(|fault: gaia_names::NameFault| {
        Failure::new(fault.to_string())
            .bad_input()
            .help("try a name such as `night-train`")
    })?;
    let folder = arguments.into.join(game.as_str());
    let made = make(&game, &folder)?;
    output.document(&json!({ "game": game, "folder": folder, "files": made }));
    output.say(format_args!("Made {}:", folder.display()));
    for file in &made {
        output.say(format_args!("  {}", file.display()));
    }
    output.say(format_args!(
        "\nNext: change them as you like, then `gaia up {}`",
        folder.display()
    ));
    Ok(Outcome::Done)
}

fn make(game: &GameId, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.exists() {
        return Err(
            Failure::new(format!("{} is there already; nothing was touched", folder.display()))
                .bad_input()
                .help(format!(
                    "choose another name, or change what is there and see `gaia check {}`",
                    folder.display()
                ))
                .into(),
        );
    }
    let mut made = Vec::new();
    for (path, text) in gaia_spec::new_game(game) {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
        let mut opened = File::create_new(&file).with_context(|| format!("failed to make {}", file.display()))?;
        opened
            .write_all(text.as_bytes())
            .with_context(|| format!("failed to write {}", file.display()))?;
        made.push(file);
    }
    Ok(made)
}
