//! The games that are shipped with Gaia.

use std::{fs, path::Path};

use gaia_spec::check_folder;

#[test]
fn every_shipped_game_checks() {
    let games = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../games");
    let Ok(entries) = fs::read_dir(&games) else { return };
    for entry in entries {
        let folder = entry.unwrap().path();
        if folder.join("config.yaml").exists() {
            check_folder(&folder).unwrap_or_else(|faults| panic!("{faults}"));
        }
    }
}
