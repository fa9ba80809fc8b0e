//! Walls about single files.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;

/// The most lines of a source file, a test file, and of single documents.
const SOURCE: usize = 600;
const TEST: usize = 900;
const DOCUMENTS: &[(&str, usize)] = &[("README.md", 120), ("ARCHITECTURE.md", 150)];

/// Checks every file that git tracks or would track.
pub(crate) fn check(broken: &mut Vec<String>) -> Result<()> {
    let listed = shell::output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    for path in listed.lines() {
        // A file that is deleted but not yet committed is still listed.
        let Ok(bytes) = fs::read(shell::root().join(path)) else {
            continue;
        };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if is_ours(path) {
            whitespace(path, &text, broken);
        }
        if path.ends_with(".rs") {
            source(path, &text, broken);
        }
        if let Some((_, most)) = DOCUMENTS.iter().find(|(name, _)| *name == path) {
            length(path, &text, *most, broken);
        }
        if path.ends_with(".sql") && !text.starts_with("-- ") {
            broken.push(format!("{path}:1: a migration opens with why, as a comment"));
        }
    }
    document_is_there("README.md")?;
    document_is_there("ARCHITECTURE.md")
}

/// What people write. Snapshots, generated pages and data hold what a program or somebody else wrote.
fn is_ours(path: &str) -> bool {
    let written = [".rs", ".md", ".toml", ".sql"];
    written.iter().any(|ending| path.ends_with(ending))
        && !path.starts_with("docs/reference/")
        && !path.contains("/data/")
}

fn source(path: &str, text: &str, broken: &mut Vec<String>) {
    let is_test = path.contains("/tests/");
    length(path, text, if is_test { TEST } else { SOURCE }, broken);
    if !text.starts_with("//! ") {
        broken.push(format!("{path}:1: a file opens with one sentence: `//! ...`"));
    }
    if path.ends_with("/mod.rs") {
        broken.push(format!("{path}: modules are self-named: `x.rs` beside `x/`"));
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        // The attribute is written in two parts so that this line is not one.
        if line.starts_with(concat!("#[", "allow(")) || line.starts_with(concat!("#![", "allow(")) {
            broken.push(format!(
                "{path}:{}: use `#[expect(lint, reason = \"...\")]`",
                number + 1
            ));
        }
        if line.starts_with(concat!("#[", "ignore")) {
            broken.push(format!("{path}:{}: a test that does not run is no test", number + 1));
        }
    }
}

fn length(path: &str, text: &str, most: usize, broken: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > most {
        broken.push(format!("{path}: {lines} lines; the wall is at {most}"));
    }
}

fn whitespace(path: &str, text: &str, broken: &mut Vec<String>) {
    if !text.is_empty() && !text.ends_with('\n') {
        broken.push(format!("{path}: the last line has no end"));
    }
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            broken.push(format!("{path}:{}: white space at the end", number + 1));
        }
    }
}

fn document_is_there(path: &str) -> Result<()> {
    fs::metadata(shell::root().join(path)).with_context(|| format!("{path} is missing"))?;
    Ok(())
}
