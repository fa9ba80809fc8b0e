//! Where places are, how far apart, and what is around them.

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use super::{PlaceName, rounded, within};
use crate::{
    places::{ATTRIBUTION, Atlas, Country, Place, Spot, compass},
    server::{Answer, Refusal},
};

const MOST_FOUND: u32 = 20;
const MOST_NEARBY: u32 = 50;
const LARGEST_RADIUS: f64 = 500.0;
const MILES_IN_A_KILOMETRE: f64 = 0.621_371;

/// What `find_place` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindPlace {
    /// A name, or how it begins.
    name: PlaceName,
    /// Only places in this country: its English name or ISO code.
    country: Option<String>,
    /// At most how many, from 1 to 20.
    #[serde(default = "usual_found")]
    #[schemars(range(min = 1, max = 20))]
    limit: u32,
}

fn usual_found() -> u32 {
    5
}

/// What `find_place` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct FoundPlaces {
    /// The most populous first.
    places: Vec<FoundPlace>,
    /// The country of that name, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<FoundCountry>,
    attribution: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct FoundPlace {
    #[serde(flatten)]
    place: Spot,
    population: u32,
}

#[derive(Serialize, JsonSchema)]
struct FoundCountry {
    name: String,
    /// ISO 3166-1, two letters.
    code: String,
    capital: String,
    continent: String,
    population: u64,
    square_kilometres: u64,
}

impl From<&Country> for FoundCountry {
    fn from(country: &Country) -> Self {
        Self {
            name: country.name.clone(),
            code: country.code.clone(),
            capital: country.capital.clone(),
            continent: country.continent.clone(),
            population: country.population,
            square_kilometres: country.square_kilometres,
        }
    }
}

pub(super) fn find(asked: &FindPlace) -> Result<Answer<FoundPlaces>, Refusal> {
    let (atlas, name) = (Atlas::open(), asked.name.text()?);
    let limit = within("limit", asked.limit, 1, MOST_FOUND)? as usize;
    let only = asked.country.as_deref().map(country_named).transpose()?;
    let fits = |place: &Place<'_>| only.is_none_or(|country| country.code == place.country().code);
    let found = atlas.find(name).into_iter().filter(fits).take(limit);
    let places: Vec<_> = found
        .map(|place| FoundPlace {
            population: place.population(),
            place: place.into(),
        })
        .collect();
    let country = atlas.country(name).map(FoundCountry::from);
    if places.is_empty() && country.is_none() {
        return Err(nothing_like(name));
    }
    let content = FoundPlaces {
        places,
        country,
        attribution: ATTRIBUTION,
    };
    let text = content.text();
    Ok(Answer { text, content })
}

fn country_named(name: &str) -> Result<&'static Country, Refusal> {
    Atlas::open().country(name).ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        Refusal::new(format!(
            "No country is called `{shown}`. Give its English name or ISO code, such as `Germany` or `DE`."
        ))
    })
}

fn nothing_like(name: &str) -> Refusal {
    let suggestions = Atlas::open().suggestions(name);
    let perhaps = match suggestions.is_empty() {
        true => String::new(),
        false => format!(" Perhaps {} was meant.", suggestions.join(" or ")),
    };
    Refusal::new(format!(
        "No place is known as `{name}`.{perhaps} Try another spelling or a larger town nearby."
    ))
}

impl FoundPlaces {
    fn text(&self) -> String {
        let country = self.country.iter().map(|country| {
            let FoundCountry {
                name,
                code,
                capital,
                continent,
                ..
            } = country;
            format!("{name} ({code}) is a country in {continent}; its capital is {capital}.")
        });
        let places = self.places.iter().map(|found| {
            let (place, population) = (&found.place, found.population);
            let at = format!("{:.3},{:.3}", place.latitude, place.longitude);
            format!("{}: {at}, {population} people, {}", place.label(), place.time_zone)
        });
        country.chain(places).collect::<Vec<_>>().join("\n")
    }
}

/// What `distance` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BetweenPlaces {
    from: PlaceName,
    to: PlaceName,
}

/// What `distance` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Distance {
    from: Spot,
    to: Spot,
    /// As the crow flies.
    kilometres: f64,
    miles: f64,
    /// The direction from the first place, in degrees clockwise from north.
    bearing: f64,
    /// The same in words.
    direction: &'static str,
}

pub(super) fn distance(asked: &BetweenPlaces) -> Result<Answer<Distance>, Refusal> {
    let (from, to) = (asked.from.spot()?, asked.to.spot()?);
    let exact = from.point().kilometres_to(to.point());
    let bearing = from.point().bearing_to(to.point());
    let (kilometres, miles) = (rounded(exact, 1), rounded(exact * MILES_IN_A_KILOMETRE, 1));
    let direction = compass(bearing);
    let text = format!(
        "{} is {kilometres} km ({miles} miles) {direction} of {}, as the crow flies.",
        to.label(),
        from.label()
    );
    let bearing = rounded(bearing, 0);
    let content = Distance {
        from,
        to,
        kilometres,
        miles,
        bearing,
        direction,
    };
    Ok(Answer { text, content })
}

/// What `nearby` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AroundPlace {
    place: PlaceName,
    /// How far around, in kilometres, from 1 to 500.
    #[serde(default = "usual_radius")]
    #[schemars(range(min = 1.0, max = 500.0))]
    radius_kilometres: f64,
    /// At most how many, from 1 to 50.
    #[serde(default = "usual_nearby")]
    #[schemars(range(min = 1, max = 50))]
    limit: u32,
    /// Leaves out places with fewer people.
    #[serde(default)]
    least_population: u32,
}

fn usual_radius() -> f64 {
    30.0
}

fn usual_nearby() -> u32 {
    10
}

/// What `nearby` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct NearPlaces {
    /// Around what.
    around: Spot,
    /// The nearest first.
    places: Vec<NearPlace>,
    attribution: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct NearPlace {
    #[serde(flatten)]
    place: Spot,
    population: u32,
    kilometres: f64,
    /// Seen from the middle.
    direction: &'static str,
}

pub(super) fn nearby(asked: &AroundPlace) -> Result<Answer<NearPlaces>, Refusal> {
    let around = asked.place.spot()?;
    let radius = within("radius_kilometres", asked.radius_kilometres, 1.0, LARGEST_RADIUS)?;
    let limit = within("limit", asked.limit, 1, MOST_NEARBY)? as usize;
    let middle = around.point();
    let found = Atlas::open().near(middle, radius).into_iter();
    // The place itself is not near itself.
    let others = found.filter(|(_, place)| place.point() != middle && place.population() >= asked.least_population);
    let places: Vec<_> = others
        .take(limit)
        .map(|(distance, place)| NearPlace {
            population: place.population(),
            kilometres: rounded(distance, 1),
            direction: compass(middle.bearing_to(place.point())),
            place: place.into(),
        })
        .collect();
    let lines = places.iter().map(|near| {
        let (place, away) = (near.place.label(), near.kilometres);
        format!("{place}: {away} km {}, {} people", near.direction, near.population)
    });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if places.is_empty() {
        text = format!(
            "No such town lies within {radius} km of {}. Try a larger radius.",
            around.label()
        );
    }
    let content = NearPlaces {
        around,
        places,
        attribution: ATTRIBUTION,
    };
    Ok(Answer { text, content })
}
