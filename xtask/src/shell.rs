//! Running other programs, with a line before each so that one sees what takes so long.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// The root of the repository, as cargo says when it runs this: two clones may share what is built.
pub(crate) fn root() -> PathBuf {
    let built_at = || env!("CARGO_MANIFEST_DIR").into();
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_at, PathBuf::from);
    here.parent().map(Path::to_owned).unwrap_or(here)
}

/// Prints a line for the developer.
#[expect(clippy::print_stderr, reason = "the developer reads it")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Runs cargo at the root and fails if it fails.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

/// Runs cargo at the root with more in its environment.
pub(crate) fn cargo_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let shown: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value} "))
        .collect();
    let shown = format!("{}cargo {}", shown.concat(), arguments.join(" "));
    say(&format!("==> {shown}"));
    let began = Instant::now();
    let status = Command::new("cargo")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("`{shown}` failed");
    }
    say(&format!("    {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// What a program prints, if it succeeds.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .with_context(|| format!("`{program}` cannot be started"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` failed: {}", arguments.join(" "), told.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{program}` printed something that is no text"))
}
