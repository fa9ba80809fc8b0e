//! Email addresses: as they are shown, and as they are found again.

use gaia_protocol::{ErrorCode, Fault};

/// RFC 5321's limit, in bytes.
const LONGEST: usize = 254;

/// An address that could be one. Whether somebody reads it, only a message to it could tell.
pub(crate) struct Email {
    /// As the player wrote it.
    pub(crate) shown: String,
    /// In lower case: two addresses with the same key are the same player's.
    pub(crate) key: String,
}

impl Email {
    pub(crate) fn parse(given: &str) -> Result<Self, Fault> {
        let shown = given.trim();
        if !is_address(shown) {
            let detail = "The email must look like `name@example.org` and be at most 254 characters long.";
            return Err(Fault::new(ErrorCode::InvalidInput, detail));
        }
        Ok(Self {
            shown: shown.to_owned(),
            key: shown.to_lowercase(),
        })
    }

    /// Whether a text is this address or what stands before its `@`, whatever its case.
    pub(crate) fn is_like(&self, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        self.key == text || self.key.split('@').next() == Some(text.as_str())
    }
}

fn is_address(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_label = |label: &str| {
        let fits = label.chars().all(|c| c.is_alphanumeric() || c == '-');
        fits && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"@<>()[],;:\\\"".contains(c);
    text.len() <= LONGEST
        && (1..=64).contains(&name.len())
        && name.chars().all(is_plain)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trimmed_and_found_whatever_its_case() {
        let email = Email::parse("  Ada.L+games@Example.ORG\n").unwrap();
        assert_eq!(
            (&*email.shown, &*email.key),
            ("Ada.L+games@Example.ORG", "ada.l+games@example.org")
        );
        assert!(email.is_like("ADA.L+GAMES") && email.is_like("ada.l+games@example.org") && !email.is_like("ada"));
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}org", "example.".repeat(32));
        for bad in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "ada@example",
            "ada@@example.org",
            "a b@example.org",
            "ada@example..org",
            "ada@-example.org",
            "ada@exa mple.org",
            "ada\0@example.org",
            "<ada@example.org>",
            "ada@example.org\r\nBcc: eve@example.org",
            &long,
            &longer,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
