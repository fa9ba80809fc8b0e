//! The rules for texts. None of the messages repeats what was sent.

use std::{ops::RangeInclusive, str::FromStr};

use gaia_names::Secret;
use gaia_protocol::{ErrorCode, Fault};
use serde::{Deserialize, Deserializer};

fn refuse(field: &str, rule: &str) -> Fault {
    Fault::new(ErrorCode::InvalidInput, format!("`{field}` must be {rule}"))
}

/// One line for people: a name or a title. It holds something that can be seen.
pub(super) fn line(field: &str, text: &str, most: usize) -> Result<(), Fault> {
    let fits = (1..=most).contains(&text.chars().count()) && !text.chars().any(is_hidden) && shows_something(text);
    fits.then_some(()).ok_or_else(|| {
        let rule = format!("one line of 1 to {most} characters that is not blank");
        refuse(field, &rule)
    })
}

/// Control characters, and those that show nothing or turn the text around them, so that one name could pass for
/// another. Zero-width joiners stay: emoji need them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What a player says: several lines, no control characters besides tabs and line breaks.
pub(crate) fn prose(field: &str, text: &str, most: usize) -> Result<(), Fault> {
    let may_be = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    let fits = (1..=most).contains(&text.chars().count()) && text.chars().all(may_be) && shows_something(text);
    fits.then_some(()).ok_or_else(|| {
        let rule = format!("1 to {most} characters, not blank and without control characters");
        refuse(field, &rule)
    })
}

fn shows_something(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !c.is_control())
}

/// A token or an id that a program made: visible ASCII.
pub(super) fn secret(field: &str, text: &Secret, length: RangeInclusive<usize>) -> Result<(), Fault> {
    let text = text.expose();
    let fits = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(()).ok_or_else(|| {
        let rule = format!("{} to {} visible ASCII characters", length.start(), length.end());
        refuse(field, &rule)
    })
}

/// A password: anything that can be typed.
pub(super) fn password(field: &str, text: &Secret) -> Result<(), Fault> {
    let text = text.expose();
    let fits = (10..=128).contains(&text.chars().count()) && !text.contains('\0');
    fits.then_some(()).ok_or_else(|| refuse(field, "10 to 128 characters"))
}

/// An address: `name@host` in ASCII. Whether mail arrives there only mail can tell.
pub(super) fn email(field: &str, text: &str) -> Result<(), Fault> {
    const MARKS: &str = ".!#$%&'*+/=?^_{|}~-";
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || MARKS.as_bytes().contains(&byte);
    let is_label = |label: &[u8]| {
        let is_inside = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let ends_well = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
        label.len() <= 63 && label.iter().all(is_inside) && ends_well(label.first()) && ends_well(label.last())
    };
    let fits = text.split_once('@').is_some_and(|(name, host)| {
        text.len() <= 254
            && (1..=64).contains(&name.len())
            && name.bytes().all(is_name)
            && host.contains('.')
            && host.split('.').all(|label| is_label(label.as_bytes()))
    });
    fits.then_some(())
        .ok_or_else(|| refuse(field, "an email address such as name@example.org"))
}

/// Reads an id in the one form that the API document promises: 36 characters with hyphens.
pub(crate) fn hyphenated<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).ok_or_else(|| serde::de::Error::custom("expected a UUID"))
}

/// The same, where there may be none.
pub(crate) fn hyphenated_option<'de, D: Deserializer<'de>, T: FromStr>(d: D) -> Result<Option<T>, D::Error> {
    let Some(text) = Option::<String>::deserialize(d)? else {
        return Ok(None);
    };
    let id = read(&text).ok_or_else(|| serde::de::Error::custom("expected a UUID"))?;
    Ok(Some(id))
}

fn read<T: FromStr>(text: &str) -> Option<T> {
    if text.len() != 36 {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use gaia_names::TurnId;

    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        for good in ["Ada", "Ада Л.", "x", &"ß".repeat(40)] {
            assert_eq!(line("display_name", good, 40), Ok(()), "{good}");
        }
        for bad in ["", " ", "A\nB", "A\0", "A\u{9f}B", &"ß".repeat(41), "\u{2003}"] {
            assert!(line("display_name", bad, 40).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_may_have_line_breaks_but_must_not_be_blank() {
        assert_eq!(prose("text", "one\n\ttwo", 4_000), Ok(()));
        for bad in ["", " \n ", "a\0b", "a\u{1b}[2J", &"a".repeat(4_001)] {
            assert!(prose("text", bad, 4_000).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_email_is_a_name_at_a_host() {
        for good in ["a@b.c", "ada.lovelace+kos@mail.example.org", "o'neil@x-y.example"] {
            assert_eq!(email("email", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a b@c.d",
            "a@b@c.d",
            "a@-b.c",
            "a@b.c.",
            "ä@b.c",
            "a@b",
            "a@b..c",
            &format!("{}@b.cd", "a".repeat(65)),
        ] {
            assert!(email("email", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_value() {
        let fault = password("password", &Secret::new("hunter2")).unwrap_err();
        assert!(
            !fault.detail.contains("hunter2") && fault.detail.contains("password"),
            "{fault}"
        );
    }

    #[test]
    fn only_hyphenated_ids_are_taken() {
        let id = TurnId::fresh();
        assert_eq!(read::<TurnId>(&id.to_string()), Some(id));
        for bad in [
            id.0.simple().to_string(),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            String::new(),
        ] {
            assert_eq!(read::<TurnId>(&bad), None, "{bad}");
        }
    }
}
