//! `location`: places, distances and the sun, offline and without a key.

mod area;
mod places;
mod sun;

use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::{
    places::{ATTRIBUTION, Atlas},
    server::{About, Builder, Refusal, ToolServer},
};

/// The longest text that an argument may hold, in bytes.
const LONGEST_ARGUMENT: usize = 200;

const INSTRUCTIONS: &str = "Knows 147,000 towns and cities, countries and their borders, and the sun, without asking \
anybody. It knows no streets, shops or sights. Places are named as people write them (`Munich`, `Paris, Texas`) or by \
coordinates (`48.137,11.575`).";

/// The server `location`.
#[must_use]
pub fn server() -> ToolServer {
    Atlas::warm();
    let about = |name, title, description| About {
        name,
        title,
        description,
        is_open_world: false,
    };
    let instructions = format!("{INSTRUCTIONS} {ATTRIBUTION}; borders: Natural Earth.");
    Builder::new("location", "Places of the world", &instructions)
        .tool(
            &about(
                "find_place",
                "Find a place",
                "Finds towns, cities and countries by name, in many languages. Gives \
                coordinates, region, country, population and time zone, the most populous first. Use it to learn where \
                something is or which of several places of one name is meant.",
            ),
            |asked| async move { places::find(&asked) },
        )
        .tool(
            &about(
                "distance",
                "Distance between two places",
                "Tells how far one place is from another as the crow flies, \
                and in which direction. It is not the way by road.",
            ),
            |asked| async move { places::distance(&asked) },
        )
        .tool(
            &about(
                "nearby",
                "What towns are near",
                "Lists towns and cities around a place, the nearest first, with \
                distance and direction. It knows no streets, shops or sights.",
            ),
            |asked| async move { places::nearby(&asked) },
        )
        .tool(
            &about(
                "sun",
                "Sunrise and sunset",
                "Tells when the sun rises and sets at a place on a date, how long the day \
                is, when twilight begins and ends, and whether it is light there now. Times are local to the place.",
            ),
            |asked| async move { sun::sun(&asked) },
        )
        .tool(
            &about(
                "inside",
                "Is a point inside an area",
                "Tells whether a place or point lies inside a country (by its \
                borders) or within a radius around a town. Without a radius a town's is estimated from its population.",
            ),
            |asked| async move { area::inside(&asked) },
        )
        .build()
}

/// What every argument that names a place may be.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct PlaceName(
    /// A town or city as people write it, with its region or country if needed (`Munich`, `Paris, Texas`), or
    /// coordinates (`48.137,11.575`).
    #[schemars(length(min = 1, max = 200))]
    String,
);

impl PlaceName {
    /// The text, if it is not too long.
    pub(crate) fn text(&self) -> Result<&str, Refusal> {
        let text = self.0.trim();
        if text.is_empty() || text.len() > LONGEST_ARGUMENT {
            return Err(Refusal::new(format!(
                "A place's name has 1 to {LONGEST_ARGUMENT} bytes. Give a town, city or coordinates such as `48.137,11.575`."
            )));
        }
        Ok(text)
    }

    fn spot(&self) -> Result<crate::places::Spot, Refusal> {
        let text = self.text()?;
        Atlas::open()
            .spot(text)
            .map_err(|unknown| Refusal::new(unknown.to_string()))
    }
}

/// A number that must lie between two others.
pub(crate) fn within<T: PartialOrd + std::fmt::Display>(what: &str, given: T, least: T, most: T) -> Result<T, Refusal> {
    if given >= least && given <= most {
        return Ok(given);
    }
    Err(Refusal::new(format!(
        "`{what}` must be from {least} to {most}, not {given}."
    )))
}

/// A number with as many decimals as are worth saying.
pub(crate) fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}
