//! The pages of `docs/reference/` that the program prints are what it prints.

use std::{fs, path::Path};

use crate::binary::Gaia;

#[test]
fn the_reference_pages_are_what_the_program_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let gaia = Gaia::new();
    for (page, words) in [
        ("config.yaml", "config"),
        ("persona.md", "persona"),
        ("config.schema.json", "schema"),
        ("openapi.json", "openapi"),
        ("asyncapi.json", "asyncapi"),
        ("errors.md", "errors"),
        ("commands.md", "commands"),
    ] {
        let committed = fs::read_to_string(folder.join(page)).unwrap_or_default();
        let printed = gaia.run(&["explain", words]).exits(0).out;
        assert!(
            committed == printed,
            "docs/reference/{page} is stale: run `cargo xtask regenerate`"
        );
    }
}
