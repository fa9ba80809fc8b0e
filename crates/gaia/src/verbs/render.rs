//! `gaia render`: what `gaia up` would apply, as plain files.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use gaia_deploy::Rendered;
use serde_json::json;

use super::plan::draw_up;
use crate::{
    environment,
    failure::Outcome,
    game_folders::{self, Shape},
    output::{self, Output},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Write files into this folder, in place of standard output
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Write what holds secrets as well
    #[arg(long)]
    with_secrets: bool,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.shape.json.json);
    let home = environment::home(&arguments.shape.home)?;
    let wanted = game_folders::read(&arguments.shape)?;
    let observed = gaia_deploy::observe(&home, &wanted.input.name).await?;
    let (blueprint, _) = draw_up(&observed, wanted)?;
    let all = gaia_deploy::render(&observed, &blueprint)?;
    let (shown, left_out): (Vec<&Rendered>, Vec<&Rendered>) =
        all.iter().partition(|file| arguments.with_secrets || !file.is_secret);
    if let Some(folder) = &arguments.into {
        for file in &shown {
            write(&folder.join(&file.path), file)?;
        }
    } else if !arguments.shape.json.json {
        for file in &shown {
            output::put(&format!("---\n# {}\n{}", file.path, file.text.expose()))?;
        }
    }
    let named = |files: &[&Rendered]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    output.document(&json!({ "files": named(&shown), "left_out": named(&left_out) }));
    if !left_out.is_empty() {
        output.note(format_args!(
            "Left out, because they hold secrets: {}. --with-secrets writes them too",
            named(&left_out).join(", ")
        ));
    }
    Ok(Outcome::Done)
}

fn write(path: &Path, file: &Rendered) -> anyhow::Result<()> {
    let failed = || format!("failed to write {}", path.display());
    if let Some(folder) = path.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(failed)?;
    }
    let mode = if file.is_secret { 0o600 } else { 0o644 };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut opened = options.open(path).with_context(failed)?;
    opened.write_all(file.text.expose().as_bytes()).with_context(failed)
}
