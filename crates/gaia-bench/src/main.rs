//! Measures what `docs/reference/performance.md` says, on the machine that it runs on.
//!
//! `cargo xtask bench [row]...` prints one table. Everything runs on this machine: the game's whole cluster with real
//! stores, a scripted LLM and the load. Numbers are for comparing one version with the next, not tests.

mod client;
mod cluster;
mod rows;
mod table;

use std::process::ExitCode;

use table::Table;

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut table = Table::default();
    let mut failed = false;
    for (name, row) in rows::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        table::say(&format!("==> {name}"));
        match row().await {
            Ok(measured) => table.add(name, measured),
            Err(fault) => {
                failed = true;
                table::say(&format!("{name} could not be measured: {fault:#}"));
            }
        }
    }
    table.print();
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
