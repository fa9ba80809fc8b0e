//! Every metric is written down where operators look, and nothing else is.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

use crate::shell;

const PAGE: &str = "docs/observing.md";

/// Compares the names of metrics in the crates with those on the page.
pub(crate) fn check(broken: &mut Vec<String>) -> Result<()> {
    let page = fs::read_to_string(shell::root().join(PAGE)).with_context(|| format!("{PAGE} is missing"))?;
    let mut told = BTreeSet::new();
    let listed = shell::output(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "crates/*/src/*.rs",
        ],
    )?;
    for path in listed.lines() {
        // A file that is deleted but not yet committed is still listed.
        let Ok(source) = fs::read_to_string(shell::root().join(path)) else {
            continue;
        };
        for name in told_by(&source) {
            if !page.contains(&format!("`{name}`")) {
                broken.push(format!("{path}: the metric `{name}` is not in {PAGE}"));
            }
            told.insert(name.to_owned());
        }
    }
    let rows = page.lines().filter(|line| line.starts_with("| `gaia_"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
    for name in names.filter(|name| !told.contains(*name)) {
        broken.push(format!("{PAGE}: no crate has a metric `{name}`"));
    }
    Ok(())
}

/// The names of metrics in a source.
fn told_by(source: &str) -> impl Iterator<Item = &str> {
    let macros = ["counter!(\"", "gauge!(\"", "histogram!(\""];
    macros.into_iter().flat_map(move |opening| {
        let after = source.split(opening).skip(1);
        after.filter_map(|rest| rest.split('"').next())
    })
}
