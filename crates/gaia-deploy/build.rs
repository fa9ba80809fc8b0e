//! Lists the migrations in `migrations/`, so that a new file is part of the program without being named anywhere.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=migrations");
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo names no folder")?).join("migrations");
    let mut list = String::from("&[\n");
    for set in ["gaia", "auth", "chat"] {
        println!("cargo::rerun-if-changed=migrations/{set}");
        let Ok(folder) = fs::read_dir(root.join(set)) else {
            continue;
        };
        let mut files = folder.collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for path in files
            .iter()
            .map(fs::DirEntry::path)
            .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        {
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .ok_or("a migration's name is not text")?;
            // The text itself and not its path: two clones may share what is built.
            let sql = fs::read_to_string(&path)?;
            writeln!(list, "Migration {{ set: {set:?}, name: {name:?}, sql: {sql:?} }},")?;
        }
    }
    list.push(']');
    fs::write(
        Path::new(&env::var_os("OUT_DIR").ok_or("cargo names no folder for output")?).join("migrations.rs"),
        list,
    )?;
    Ok(())
}
