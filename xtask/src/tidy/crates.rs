//! Walls between crates: who may know whom, under which licences, and what the documents say of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// Which of our crates each may use. Dependencies only point down: a service knows neither another service nor how it
/// is deployed, and what deploys does not know the services.
const MAY_USE: &[(&str, &[&str])] = &[
    ("gaia-names", &[]),
    ("gaia-protocol", &["gaia-names"]),
    ("gaia-service", &["gaia-names", "gaia-protocol"]),
    ("gaia-spec", &["gaia-names", "gaia-protocol"]),
    ("gaia-kubernetes", &[]),
    (
        "gaia-deploy",
        &["gaia-kubernetes", "gaia-names", "gaia-protocol", "gaia-spec"],
    ),
    ("gaia-gateway", &["gaia-names", "gaia-protocol", "gaia-service"]),
    ("gaia-auth", &["gaia-names", "gaia-protocol", "gaia-service"]),
    ("gaia-tools", &["gaia-names", "gaia-protocol", "gaia-service"]),
    (
        "gaia-chat",
        &["gaia-names", "gaia-protocol", "gaia-service", "gaia-tools"],
    ),
    ("gaia-inference", &["gaia-names"]),
    ("gaia-mcp", &["gaia-names"]),
];

/// Checks directions, licences and the crates' sentences.
pub(crate) fn check(broken: &mut Vec<String>) -> Result<()> {
    let metadata = shell::output(
        "cargo",
        &["metadata", "--format-version", "1", "--locked", "--all-features"],
    )?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo lists packages")?;
    directions(packages, broken);
    licences(packages, broken)?;
    sentences(packages, broken)
}

fn directions(packages: &[Value], broken: &mut Vec<String>) {
    let may_use: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    for package in packages.iter().filter(|package| is_ours(package)) {
        let name = text(package, "name");
        let Some(allowed) = may_use.get(name) else { continue };
        for used in package["dependencies"].as_array().into_iter().flatten() {
            let is_for_tests = used["kind"] == "dev";
            let used = text(used, "name");
            if used.starts_with("gaia") && !is_for_tests && !allowed.contains(&used) {
                broken.push(format!(
                    "{name} must not use {used}: it may use {allowed:?} (xtask/src/tidy/crates.rs)"
                ));
            }
        }
    }
}

/// Every licence of every dependency is in `deny.toml`'s list. `A OR B` needs one of them, `A AND B` both.
fn licences(packages: &[Value], broken: &mut Vec<String>) -> Result<()> {
    let rules: toml::Table = fs::read_to_string(shell::root().join("deny.toml"))?.parse()?;
    let allowed = rules["licenses"]["allow"]
        .as_array()
        .context("deny.toml lists licences")?;
    let allowed: BTreeSet<_> = allowed.iter().filter_map(toml::Value::as_str).collect();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none stated");
        if !is_allowed(licence, &allowed) {
            let (name, version) = (text(package, "name"), text(package, "version"));
            broken.push(format!(
                "{name} {version} is under `{licence}`, which deny.toml does not allow"
            ));
        }
    }
    Ok(())
}

fn is_allowed(licence: &str, allowed: &BTreeSet<&str>) -> bool {
    let plain = licence.replace(['(', ')'], "").replace('/', " OR ");
    // The few expressions that mix AND and OR are all conjunctions of alternatives.
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|one| allowed.contains(one.trim())))
}

/// The table in ARCHITECTURE.md repeats each crate's first sentence, so that neither goes stale.
fn sentences(packages: &[Value], broken: &mut Vec<String>) -> Result<()> {
    let architecture = fs::read_to_string(shell::root().join("ARCHITECTURE.md"))?;
    for package in packages.iter().filter(|package| is_ours(package)) {
        let name = text(package, "name");
        let roots = package["targets"].as_array().into_iter().flatten();
        let root = roots
            .filter(|target| target["kind"][0] == "lib" || target["kind"][0] == "bin")
            .find_map(|target| fs::read_to_string(target["src_path"].as_str()?).ok());
        let Some(sentence) = root
            .as_deref()
            .and_then(|source| source.lines().next()?.strip_prefix("//! "))
        else {
            continue;
        };
        let row = format!("| `{name}` | {sentence} |");
        if name != "xtask" && !architecture.contains(&row) {
            broken.push(format!("ARCHITECTURE.md lacks the row: {row}"));
        }
    }
    Ok(())
}

fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
