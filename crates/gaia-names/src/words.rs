//! Names that people choose.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {kind}: {rule}")]
pub struct NameFault {
    kind: &'static str,
    rule: &'static str,
    given: String,
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The rule in words, for messages and schemas.
            pub const RULE: &'static str = $rule;

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameFault;

            fn from_str(given: &str) -> Result<Self, NameFault> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(given) {
                    return Ok(Self(given.to_owned()));
                }
                // What was given may be hostile and long, so the message shows only its beginning.
                let given = given.chars().take(60).flat_map(char::escape_default).collect();
                Err(NameFault { kind: $kind, rule: $rule, given })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

word!(
    /// A game's name in every path, subject, role and label: `zombie-survival`.
    GameId,
    "game id",
    "use 3 to 40 characters: lower-case letters, digits and dashes, a letter first, a letter or digit last",
    |text| is_slug(text, 3, &['-'])
);

word!(
    /// An AI character's name inside its game, which is also its file's name: `survivor_guide`.
    PersonaId,
    "persona name",
    "use 2 to 40 characters: lower-case letters, digits, `_` and `-`, a letter first, a letter or digit last",
    |text| is_slug(text, 2, &['-', '_'])
);

word!(
    /// A cluster's name. A dedicated cluster is called like its one game.
    ClusterName,
    "cluster name",
    "use 3 to 40 characters: lower-case letters, digits and dashes, a letter first, a letter or digit last",
    |text| is_slug(text, 3, &['-'])
);

impl From<&GameId> for ClusterName {
    fn from(game: &GameId) -> Self {
        Self(game.0.clone())
    }
}

fn is_slug(text: &str, least: usize, joiners: &[char]) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (least..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(is_word)
        && text.chars().all(|c| is_word(c) || joiners.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_id_is_a_slug_of_3_to_40_characters() {
        for good in ["kos", "zombie-survival", "a2c", &"a".repeat(40)] {
            assert_eq!(good.parse::<GameId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "ko",
            "2fast",
            "Kos",
            "kos-",
            "k_s",
            "kös",
            "a.b",
            "a b",
            "../etc",
            "kos\n",
            &"a".repeat(41),
        ] {
            assert!(bad.parse::<GameId>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_hostile_name_is_shown_short_and_escaped() {
        let message = "\u{1b}[2J".repeat(1000).parse::<GameId>().unwrap_err().to_string();
        assert!(message.len() < 700 && !message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn a_persona_name_may_carry_underscores() {
        assert!("survivor_guide".parse::<PersonaId>().is_ok());
        assert!("_guide".parse::<PersonaId>().is_err());
    }
}
