//! Writes the reference pages anew. A test of the program fails when they differ from it.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;

/// Each page and the words after `gaia explain` that print it.
const PAGES: &[(&str, &str)] = &[
    ("config.yaml", "config"),
    ("persona.md", "persona"),
    ("config.schema.json", "schema"),
    ("openapi.json", "openapi"),
    ("asyncapi.json", "asyncapi"),
    ("errors.md", "errors"),
    ("commands.md", "commands"),
];

/// Writes every page of `docs/reference/` that the program can print.
pub(crate) fn run() -> Result<()> {
    shell::cargo(&["build", "--release", "--quiet", "--package", "gaia"])?;
    let target = shell::output("cargo", &["metadata", "--format-version", "1", "--no-deps"])?;
    let target: serde_json::Value = serde_json::from_str(&target)?;
    let target = target["target_directory"]
        .as_str()
        .context("cargo names its target folder")?;
    let folder = shell::root().join("docs/reference");
    fs::create_dir_all(&folder)?;
    for (page, words) in PAGES {
        let text = shell::output(&format!("{target}/release/gaia"), &["explain", words])?;
        let path = folder.join(page);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        shell::say(&format!("docs/reference/{page}"));
    }
    Ok(())
}
