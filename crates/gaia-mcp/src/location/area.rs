//! Whether a point lies in a country or around a town.

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use super::{PlaceName, rounded, within};
use crate::{
    places::{Atlas, Borders, Spot, fold},
    server::{Answer, Refusal},
};

const LARGEST_RADIUS: f64 = 1_000.0;
/// How near a border the answer may be wrong, in kilometres: the borders are drawn at 1:10,000,000.
const DOUBTFUL: f64 = 2.0;
/// About how many people live on a square kilometre of a town.
const DENSITY: f64 = 3_000.0;

/// What `inside` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PointAndArea {
    /// The place or point that may be inside.
    place: PlaceName,
    /// A country (English name or ISO code) or a town.
    area: PlaceName,
    /// How far the town reaches, in kilometres, from 0.1 to 1000. With it, `area` is always a town or point.
    #[schemars(range(min = 0.1, max = 1000.0))]
    radius_kilometres: Option<f64>,
}

/// What `inside` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Inside {
    is_inside: bool,
    place: Spot,
    /// What the area is called.
    area: String,
    kind: AreaKind,
    /// How far the place is from the area's middle; towns only.
    #[serde(skip_serializing_if = "Option::is_none")]
    kilometres_from_middle: Option<f64>,
    /// The radius that was used; towns only.
    #[serde(skip_serializing_if = "Option::is_none")]
    radius_kilometres: Option<f64>,
    /// How far the next border or coast is; countries only.
    #[serde(skip_serializing_if = "Option::is_none")]
    kilometres_to_border: Option<f64>,
    /// How sure this is.
    certainty: Certainty,
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AreaKind {
    Country,
    Circle,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Certainty {
    /// Measured against a border or a given radius.
    Certain,
    /// So near a border that the data may be wrong.
    NearBorder,
    /// The radius was estimated from the population.
    EstimatedRadius,
}

pub(super) fn inside(asked: &PointAndArea) -> Result<Answer<Inside>, Refusal> {
    let place = asked.place.spot()?;
    let area = asked.area.text()?;
    let country = Atlas::open()
        .country(area)
        .filter(|_| asked.radius_kilometres.is_none());
    let content = match country {
        Some(country) => in_country(place, country.code.as_str(), &country.name),
        None => around_town(place, &asked.area, asked.radius_kilometres)?,
    };
    let verb = if content.is_inside { "is" } else { "is not" };
    let doubt = match content.certainty {
        Certainty::Certain => "",
        Certainty::NearBorder => " It is so near the border that this may be wrong.",
        Certainty::EstimatedRadius => " How far the town reaches is estimated from its population.",
    };
    let text = format!("{} {verb} inside {}.{doubt}", content.place.label(), content.area);
    Ok(Answer { text, content })
}

fn in_country(place: Spot, code: &str, name: &str) -> Inside {
    let borders = Borders::open();
    let point = place.point();
    let to_border = borders.kilometres_to_border(point);
    let is_near = to_border < DOUBTFUL;
    // A known town's country is known even where the border is drawn roughly.
    let drawn = borders.country_at(point);
    let known = place.country_code.as_deref().filter(|_| is_near || drawn.is_none());
    Inside {
        is_inside: known.or(drawn) == Some(code),
        place,
        area: name.to_owned(),
        kind: AreaKind::Country,
        kilometres_from_middle: None,
        radius_kilometres: None,
        kilometres_to_border: Some(rounded(to_border, 1)),
        certainty: if is_near {
            Certainty::NearBorder
        } else {
            Certainty::Certain
        },
    }
}

fn around_town(place: Spot, area: &PlaceName, radius: Option<f64>) -> Result<Inside, Refusal> {
    let middle = area.spot()?;
    let radius_used = match radius {
        Some(radius) => within("radius_kilometres", radius, 0.1, LARGEST_RADIUS)?,
        None => estimated_radius(&middle).ok_or_else(|| {
            Refusal::new("How far a point reaches is not known. Give `radius_kilometres`, or a town's name as `area`.")
        })?,
    };
    let away = place.point().kilometres_to(middle.point());
    Ok(Inside {
        is_inside: away <= radius_used,
        place,
        area: middle.label(),
        kind: AreaKind::Circle,
        kilometres_from_middle: Some(rounded(away, 1)),
        radius_kilometres: Some(rounded(radius_used, 1)),
        kilometres_to_border: None,
        certainty: if radius.is_some() {
            Certainty::Certain
        } else {
            Certainty::EstimatedRadius
        },
    })
}

/// The radius of a circle in which a town's people would live.
fn estimated_radius(town: &Spot) -> Option<f64> {
    let places = Atlas::open().named(&town.name);
    let folded = fold(&town.name);
    let place = places
        .into_iter()
        .find(|place| place.point() == town.point() && fold(place.name()) == folded)?;
    let radius = (f64::from(place.population()) / DENSITY / std::f64::consts::PI).sqrt();
    Some(radius.clamp(1.0, 40.0))
}
