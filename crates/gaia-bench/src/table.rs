//! The table that is printed and committed.

use std::fs;

use hdrhistogram::Histogram;

/// One row's outcome.
pub(crate) struct Measured {
    /// What was asked for.
    pub(crate) target: &'static str,
    /// What was seen.
    pub(crate) seen: String,
    /// Whether the target was reached; none where there is no target.
    pub(crate) reached: Option<bool>,
}

/// All rows.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(&'static str, Measured)>,
}

impl Table {
    pub(crate) fn add(&mut self, name: &'static str, measured: Measured) {
        self.rows.push((name, measured));
    }

    #[expect(clippy::print_stdout, reason = "the table is what this program is for")]
    pub(crate) fn print(&self) {
        println!("{}\n", machine());
        println!("| what | at least | measured | reached |\n|---|---|---|---|");
        for (name, row) in &self.rows {
            let reached = match row.reached {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            };
            println!("| {name} | {} | {} | {reached} |", row.target, row.seen);
        }
    }
}

/// Progress, for whoever waits.
#[expect(clippy::print_stderr, reason = "whoever runs the benchmark reads it")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// A histogram of microseconds up to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are good")
}

/// A percentile in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds of at most a minute fit")]
pub(crate) fn at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

/// The machine's facts, so that numbers of two machines are not compared.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let memory = read("/proc/meminfo");
    let kib: u64 = memory
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpu = cpu.trim_start_matches([' ', '\t', ':']);
    format!(
        "{cores} cores ({cpu}), {} GiB, Linux {}",
        kib / 1024 / 1024,
        kernel.trim()
    )
}
