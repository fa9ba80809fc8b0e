//! Which costs somebody wants to see.

use axum::{extract::FromRequestParts, http::request::Parts};
use gaia_protocol::{
    ErrorCode,
    costs::{By, ReadCosts},
};

use crate::problem::Refusal;

/// What the query asks for: `since` and `by`, each once.
#[derive(Debug)]
pub(crate) struct CostsQuestion(pub(crate) ReadCosts);

impl<S: Send + Sync> FromRequestParts<S> for CostsQuestion {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl CostsQuestion {
    fn read(query: &str) -> Result<Self, Refusal> {
        let refuse = |detail: &str| Refusal::new(ErrorCode::InvalidInput, detail);
        let (mut since, mut by) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let is_known_once = match &*name {
                "since" => since.replace(value).is_none(),
                "by" => by.replace(value).is_none(),
                _ => false,
            };
            if !is_known_once {
                return Err(refuse("The query may hold `since` and `by`, each once."));
            }
        }
        let since = since.map(|since| since.parse()).transpose();
        let by = by.map(|word| By::ALL.into_iter().find(|by| by.as_str() == word));
        Ok(Self(ReadCosts {
            since: since.map_err(|_| refuse("`since` must be a day such as 2026-03-01."))?,
            by: match by {
                None => By::default(),
                Some(by) => by.ok_or_else(|| refuse("`by` must be day, persona, route, model or player."))?,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_about_costs_is_read_and_others_refused() {
        let read = |query: &str| CostsQuestion::read(query).map(|question| question.0);
        let plain = read("").unwrap();
        assert_eq!((plain.since, plain.by), (None, By::Day));
        let asked = read("by=persona&since=2026-03-01").unwrap();
        assert_eq!((asked.since, asked.by), ("2026-03-01".parse().ok(), By::Persona));
        for bad in [
            "by=",
            "by=week",
            "since=yesterday",
            "since=2026-02-30",
            "by=day&by=day",
            "to=2026-01-01",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
