//! From what somebody typed to one point with a name.

use std::fmt;

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

use super::{Atlas, Borders, Place, Point};

/// The longest name that is looked for, in bytes.
const LONGEST_NAME: usize = 120;
/// A point this near to a place is called after it.
const CALLED_AFTER: f64 = 50.0;
const MOST_NAMESAKES: usize = 3;

/// A point and what it is called.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Spot {
    /// The name, or for coordinates what is near.
    pub(crate) name: String,
    /// The region or state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// The country's name; none on the open sea.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    /// The country's ISO 3166-1 code of two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country_code: Option<String>,
    /// Degrees north.
    pub(crate) latitude: f64,
    /// Degrees east.
    pub(crate) longitude: f64,
    /// The IANA time zone, such as `Europe/Berlin`.
    pub(crate) time_zone: String,
    /// Other places of that name, if another one may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) namesakes: Vec<String>,
}

/// Nothing is known under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    asked: String,
    suggestions: Vec<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "No place is known as `{}`. ", self.asked)?;
        if !self.suggestions.is_empty() {
            write!(to, "Perhaps {} was meant. ", self.suggestions.join(" or "))?;
        }
        to.write_str(
            "Give a town or city, with its region or country if needed, or coordinates such as `48.137,11.575`.",
        )
    }
}

impl Spot {
    pub(crate) fn point(&self) -> Point {
        Point {
            latitude: self.latitude,
            longitude: self.longitude,
        }
    }

    /// `Munich, Bavaria, Germany`.
    pub(crate) fn label(&self) -> String {
        let parts = [Some(&self.name), self.region.as_ref(), self.country.as_ref()];
        let mut parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.dedup();
        parts.join(", ")
    }
}

impl From<Place<'_>> for Spot {
    fn from(place: Place<'_>) -> Self {
        let Point { latitude, longitude } = place.point();
        Self {
            name: place.name().to_owned(),
            region: place.region().map(str::to_owned),
            country: Some(place.country().name.clone()),
            country_code: Some(place.country().code.clone()),
            latitude,
            longitude,
            time_zone: place.time_zone().to_owned(),
            namesakes: Vec::new(),
        }
    }
}

impl Atlas {
    /// The spot that a name or coordinates mean; of several places with a name, the most populous.
    pub(crate) fn spot(&self, asked: &str) -> Result<Spot, Unknown> {
        let asked = asked.trim();
        if let Some(point) = Point::parse(asked) {
            return Ok(self.spot_at(point));
        }
        if asked.is_empty() || asked.len() > LONGEST_NAME {
            let asked: String = asked.chars().take(LONGEST_NAME / 4).collect();
            let suggestions = Vec::new();
            return Err(Unknown { asked, suggestions });
        }
        let found = self.named(asked);
        let Some((first, others)) = found.split_first() else {
            return self.capital_of(asked).ok_or_else(|| Unknown {
                asked: asked.to_owned(),
                suggestions: self.suggestions(asked),
            });
        };
        let mut spot = Spot::from(*first);
        // A village does not make a metropolis ambiguous.
        let rivals = others
            .iter()
            .filter(|place| place.population() >= first.population() / 50);
        spot.namesakes = rivals.map(|place| place.label()).take(MOST_NAMESAKES).collect();
        Ok(spot)
    }

    /// A country stands for its capital.
    fn capital_of(&self, asked: &str) -> Option<Spot> {
        let country = self.country(asked)?;
        let places = self.named(&country.capital);
        let capital = places.into_iter().find(|place| place.country().code == country.code)?;
        Some(Spot::from(capital))
    }

    fn spot_at(&self, point: Point) -> Spot {
        let nearest = self.nearest(point);
        let time_zone = nearest.map_or("UTC", |(_, place)| place.time_zone()).to_owned();
        let near = nearest.filter(|(distance, _)| *distance <= CALLED_AFTER);
        let country = Borders::open()
            .country_at(point)
            .and_then(|code| self.country_of_code(code));
        Spot {
            name: near.map_or_else(
                || format!("{:.3},{:.3}", point.latitude, point.longitude),
                |(_, place)| format!("near {}", place.name()),
            ),
            region: near.and_then(|(_, place)| place.region()).map(str::to_owned),
            country: country.map(|country| country.name.clone()),
            country_code: country.map(|country| country.code.clone()),
            latitude: point.latitude,
            longitude: point.longitude,
            time_zone,
            namesakes: Vec::new(),
        }
    }
}
