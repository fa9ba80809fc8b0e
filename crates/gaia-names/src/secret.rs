//! Texts that must never be shown.

use std::fmt;

use serde::{Deserialize, Serializer};

/// A password, key or token. `Debug` prints `***`, there is no `Display`, and it serialises only where a field
/// says so with `#[serde(serialize_with = "gaia_names::expose")]`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must not be shown from here on.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Hand it to what needs it and to nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Writes the text of a secret into a file that is itself secret, such as a service's settings (mode 0600).
///
/// # Errors
///
/// Those of the serializer.
pub fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
