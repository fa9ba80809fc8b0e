//! The names under which models know tools.

use sha2::{Digest, Sha256};

/// The longest name that the models' vendors take, in bytes.
const LONGEST: usize = 64;

/// `server__tool`, in the letters that the vendors take. Two tools never get the same one: where the plain form could
/// stand for another tool as well, a piece of a hash is part of the name.
pub(crate) fn wire_name(server: &str, tool: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let plain = format!("{server}__{tool}");
    let splits_once = !server.contains("__") && !server.ends_with('_');
    if plain.len() <= LONGEST && splits_once && plain.chars().all(is_plain) {
        return plain;
    }
    let hash = Sha256::digest(format!("{server}.{tool}"));
    let start: String = plain
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(LONGEST - 9)
        .collect();
    format!("{start}_{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// Whether a tool's name can be used: it stands in configs, logs and prompts.
pub(crate) fn is_good(tool: &str) -> bool {
    (1..=64).contains(&tool.len())
        && tool
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Whether a persona that may use `allowed` (`server` or `server.tool`) may use this tool.
pub(crate) fn is_allowed(allowed: &[String], server: &str, tool: &str) -> bool {
    allowed.iter().any(|entry| match entry.split_once('.') {
        None => entry == server,
        Some((of, name)) => of == server && name == tool,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_says_what_it_is() {
        assert_eq!(wire_name("weather_api", "forecast"), "weather_api__forecast");
    }

    #[test]
    fn no_two_tools_share_a_name() {
        let pairs = [
            ("a", "b__c"),
            ("a__b", "c"),
            ("a_", "b"),
            ("a", "_b"),
            ("a", "x.y"),
            ("a", "x_y"),
        ];
        let mut names: Vec<_> = pairs.iter().map(|(server, tool)| wire_name(server, tool)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), pairs.len(), "{names:?}");
    }

    #[test]
    fn a_long_name_fits() {
        let (first, second) = (
            wire_name(&"s".repeat(40), &"t".repeat(64)),
            wire_name(&"s".repeat(40), &"t".repeat(63)),
        );
        assert_eq!((first.len(), second.len()), (64, 64));
        assert_ne!(first, second);
    }
}
