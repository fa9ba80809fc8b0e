//! Which page of a list a client asks for.

use axum::{extract::FromRequestParts, http::request::Parts};
use gaia_protocol::{ErrorCode, chat::LARGEST_PAGE};
use utoipa::IntoParams;

use crate::problem::Refusal;

/// Which page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) limit: u16,
    pub(crate) before: Option<String>,
}

/// Which page of a player's conversations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConversationPage {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[expect(dead_code, reason = "it describes what `Listing` reads")]
    limit: Option<u16>,
    /// `next` of the page before.
    #[param(min_length = 34, max_length = 46, pattern = "^[0-9a-f]{1,13}-[0-9a-f]{32}$")]
    #[expect(dead_code, reason = "it describes what `Listing` reads")]
    before: Option<String>,
}

/// Which page of a conversation's turns.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TurnPage {
    /// At most this many rows.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[expect(dead_code, reason = "it describes what `Listing` reads")]
    limit: Option<u16>,
    /// `next` of the page before.
    #[param(min_length = 1, max_length = 15, pattern = "^[1-9a-f][0-9a-f]{0,14}$")]
    #[expect(dead_code, reason = "it describes what `Listing` reads")]
    before: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl Listing {
    fn read(query: &str) -> Result<Self, Refusal> {
        let refuse = |detail: &str| Err(Refusal::new(ErrorCode::InvalidInput, detail));
        let (mut limit, mut before) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let is_known_once = match &*name {
                "limit" => limit.replace(value).is_none(),
                "before" => before.replace(value).is_none(),
                _ => false,
            };
            if !is_known_once {
                return refuse("The query may hold `limit` and `before`, each once.");
            }
        }
        let limit = match limit.as_deref().map(whole_number) {
            None => 20,
            Some(Some(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
            Some(_) => return refuse("`limit` must be a whole number from 1 to 100."),
        };
        // What a place in a list looks like is chat's; here it only must not be anything else.
        let may_be = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        let is_place = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(may_be);
        if before.as_deref().is_some_and(|before| !is_place(before)) {
            return refuse("`before` must be `next` of the page before.");
        }
        let before = before.map(std::borrow::Cow::into_owned);
        Ok(Self { limit, before })
    }
}

/// A number in digits alone: Rust would also read `+5`, which the document does not promise.
fn whole_number(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_100_rows() {
        let page = |limit, before: Option<&str>| Listing {
            limit,
            before: before.map(str::to_owned),
        };
        for (query, read) in [
            ("", page(20, None)),
            ("limit=1", page(1, None)),
            ("limit=100&before=abc-1", page(100, Some("abc-1"))),
        ] {
            assert_eq!(Listing::read(query).ok(), Some(read), "{query}");
        }
        for bad in [
            "limit=0",
            "limit=101",
            "limit=",
            "limit=%2B5",
            "limit=-1",
            "limit=1&limit=1",
            "page=2",
            "before=",
            "before=%00",
            "limit=99999999999999999999",
        ] {
            assert!(Listing::read(bad).is_err(), "{bad}");
        }
    }
}
