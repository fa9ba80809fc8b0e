//! What the check says of whole folders.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its folder has failed")]

mod budgets;
mod document;
mod faults_of_configs;
mod faults_of_files;
mod faults_of_personas;
mod games;
mod meaning;
mod mutations;
mod samples;

use std::{fs, path::PathBuf};

use gaia_spec::{Checked, Faults, check_folder};
use tempfile::TempDir;

/// A game's folder for one test; it goes when the test ends.
struct Folder {
    parent: TempDir,
    name: &'static str,
}

impl Folder {
    fn named(name: &'static str) -> Self {
        let folder = Self {
            parent: tempfile::tempdir().unwrap(),
            name,
        };
        fs::create_dir(folder.path()).unwrap();
        folder
    }

    /// A folder with this config.
    fn with_config(config: &str) -> Self {
        Self::named("lost-bell").file("config.yaml", config)
    }

    /// A folder with this file of the persona `mara`, and a config that names her and some tool servers.
    fn with_persona(persona: &str) -> Self {
        let own = "{name: bus_times, url: 'https://tools.example.com', tools: [next_bus, last_bus]}";
        let config = format!("services: {{chat: {{personas: [mara], mcp_servers: [weather_api, {own}]}}}}\n");
        Self::with_config(&config).file("personas/mara.md", persona)
    }

    fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self) -> PathBuf {
        self.parent.path().join(self.name)
    }

    fn check(&self) -> Result<Checked, Faults> {
        check_folder(&self.path())
    }

    /// The checked game; a fault fails the test.
    fn checked(&self) -> Checked {
        self.check().unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// All that is wrong, as it is shown. Warnings of a good game, too.
    fn faults(&self) -> String {
        let faults = match self.check() {
            Ok(checked) => checked
                .warnings
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
            Err(faults) => faults.to_string(),
        };
        faults.replace(&format!("{}/", self.parent.path().display()), "games/")
    }

    /// The same without the warnings.
    fn errors(&self) -> String {
        let faults = self.faults();
        let mut is_error = false;
        let errors = faults.lines().filter(|line| {
            is_error = if line.starts_with("  ") {
                is_error
            } else {
                line.contains(": error: ")
            };
            is_error
        });
        errors.collect::<Vec<_>>().join("\n")
    }
}
