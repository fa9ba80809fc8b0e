//! Thousands of damaged folders: each gets an answer, none a panic or a hang.

use std::time::{Duration, Instant};

use gaia_spec::{explain_config, explain_persona};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{Folder, document};

/// Longer than any check takes, even on a busy machine.
const A_HANG: Duration = Duration::from_secs(20);

/// Pieces that mean something to YAML or to us.
const PIECES: &[&str] = &[
    "&a ",
    "*a",
    "!!str ",
    "!<x>",
    "- ",
    "? ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|\n",
    ">-\n",
    "# ",
    "\n",
    "\n\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\t",
    "\u{0}",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "ü",
    "🧠",
    "\\x",
    "\\u12",
    "<<: ",
    "~",
    "null",
    "true",
    "99999999999999999999",
    "-1",
    "1e999",
    ".inf",
    "10+",
    "(cluster mode)",
    "{player}",
    "{earlier",
    "@",
    "`",
    ",",
    "  ",
    "name: ",
    "services:\n",
    "\r",
    "\r\n",
];

fn damaged(text: &str, random: &mut StdRng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=chars.len());
        let until = (at + random.random_range(0..12)).min(chars.len());
        match random.random_range(0..5) {
            0 => drop(chars.drain(at..until)),
            1 => drop(chars.splice(at..at, PIECES.choose(random).unwrap_or(&"").chars())),
            2 => drop(chars.splice(at..until, PIECES.choose(random).unwrap_or(&"").chars())),
            3 => chars.truncate(at),
            _ => {
                let copy: Vec<_> = chars[at..until].to_vec();
                let to = random.random_range(0..=chars.len());
                drop(chars.splice(to..to, copy));
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn damaged_folders_get_an_answer_and_no_panic() {
    let mut random = StdRng::seed_from_u64(20_261_122);
    let mut configs: Vec<String> = document::BLOCKS.iter().map(ToString::to_string).collect();
    configs.extend(document::merged_games().map(|(_, config)| config));
    configs.push(explain_config());
    let (mut good, mut bad, mut slowest) = (0, 0, Duration::ZERO);
    let sample = explain_persona();
    let mut folder = Folder::named("lost-bell");
    for _ in 0..4000 {
        let config = damaged(configs.choose(&mut random).unwrap(), &mut random);
        let persona = damaged(&sample, &mut random);
        folder = folder
            .file("config.yaml", &config)
            .file("personas/mara_voss.md", &persona);
        let started = Instant::now();
        match folder.check() {
            Ok(checked) => {
                good += 1;
                assert!(!checked.game.personas.is_empty());
            }
            Err(faults) => {
                bad += 1;
                assert!(faults.errors() > 0, "no error for {config:?}");
                assert!(
                    !faults.to_string().contains(['\u{0}', '\u{1b}', '\r', '\t']),
                    "{faults}"
                );
            }
        }
        slowest = slowest.max(started.elapsed());
    }
    assert!(good > 100 && bad > 1000, "{good} good, {bad} bad");
    assert!(slowest < A_HANG, "the slowest took {slowest:?}");
}

#[test]
fn noise_gets_an_answer_and_no_panic() {
    let mut random = StdRng::seed_from_u64(7);
    let mut folder = Folder::named("lost-bell");
    for _ in 0..500 {
        let mut bytes = vec![0; random.random_range(0..300)];
        random.fill_bytes(&mut bytes);
        let pieces: String = (0..random.random_range(0..60))
            .filter_map(|_| PIECES.choose(&mut random).copied())
            .collect();
        folder = folder.file("config.yaml", pieces).file("personas/mara.md", bytes);
        drop(folder.check());
    }
}

#[test]
fn large_files_of_traps_end_soon() {
    let mut random = StdRng::seed_from_u64(11);
    let mut traps: Vec<String> = PIECES.iter().map(ToString::to_string).collect();
    traps.extend((0..100).map(|_| (0..3).filter_map(|_| PIECES.choose(&mut random).copied()).collect()));
    let mut folder = Folder::named("lost-bell");
    for trap in traps {
        let config = trap.repeat((255 << 10) / trap.len());
        let persona = format!("---\n{}\n---\nYou are Mara.", trap.repeat((63 << 10) / trap.len()));
        folder = folder.file("config.yaml", config).file("personas/mara.md", persona);
        let started = Instant::now();
        drop(folder.check());
        let took = started.elapsed();
        assert!(took < A_HANG, "{trap:?} took {took:?}");
    }
}
