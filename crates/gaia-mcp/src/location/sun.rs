//! When the sun rises and sets.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use solar_positioning::{Events, Horizon, HorizonState, Location, SolarEvents, delta_t};

use super::PlaceName;
use crate::{
    places::Spot,
    server::{Answer, Refusal},
};

const YEARS: std::ops::RangeInclusive<&str> = "1900-01-01"..="2100-12-31";

/// What `sun` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceAndDate {
    place: PlaceName,
    /// The date there, such as `2026-06-21`, from 1900 to 2100. Without it, today there.
    #[schemars(length(max = 10))]
    date: Option<String>,
}

/// What `sun` answers. Times are local to the place, with its offset.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sun {
    place: Spot,
    date: String,
    /// What kind of day it is.
    kind: DayKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunrise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset: Option<String>,
    /// When the sun stands highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    noon: Option<String>,
    /// From sunrise to sunset.
    day_length_minutes: i64,
    /// One can still see outside: the sun is less than 6 degrees below the horizon.
    civil_twilight: Twilight,
    /// One can still see the horizon at sea: less than 12 degrees.
    nautical_twilight: Twilight,
    /// It is not yet wholly dark: less than 18 degrees.
    astronomical_twilight: Twilight,
    /// Whether the sun is up there at this moment, whatever the date that was asked for.
    is_up_now: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DayKind {
    /// The sun rises or sets, or both.
    Usual,
    /// The sun does not set.
    MidnightSun,
    /// The sun does not rise.
    PolarNight,
}

#[derive(Serialize, JsonSchema)]
struct Twilight {
    /// In the morning.
    #[serde(skip_serializing_if = "Option::is_none")]
    begins: Option<String>,
    /// In the evening.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
}

type Day = Events<DateTime<Tz>>;

pub(super) fn sun(asked: &PlaceAndDate) -> Result<Answer<Sun>, Refusal> {
    let place = asked.place.spot()?;
    let zone: Tz = place.time_zone.parse().unwrap_or(Tz::UTC);
    let now = Utc::now().with_timezone(&zone);
    let date = match asked.date.as_deref() {
        Some(text) => date(text)?,
        None => now.date_naive(),
    };
    let location = Location {
        latitude: place.latitude,
        longitude: place.longitude,
    };
    let days = events(date, zone, location)?;
    let is_up_now = is_up(now, zone, location)?;
    let [day, civil, nautical, astronomical] = &days;
    let content = Sun {
        place,
        date: date.to_string(),
        kind: kind(day),
        sunrise: first(&day.rises),
        sunset: last(&day.sets),
        noon: first(&day.transits),
        day_length_minutes: light(day),
        civil_twilight: twilight(civil),
        nautical_twilight: twilight(nautical),
        astronomical_twilight: twilight(astronomical),
        is_up_now,
    };
    Ok(Answer {
        text: text(&content, day),
        content,
    })
}

fn date(text: &str) -> Result<NaiveDate, Refusal> {
    let parsed = text.parse::<NaiveDate>().ok().filter(|_| YEARS.contains(&text));
    parsed.ok_or_else(|| Refusal::new("`date` must be a date from 1900 to 2100, such as `2026-06-21`."))
}

fn events(date: NaiveDate, zone: Tz, location: Location) -> Result<[Day; 4], Refusal> {
    use Horizon::{AstronomicalTwilight, CivilTwilight, NauticalTwilight, SunriseSunset};
    let horizons = [SunriseSunset, CivilTwilight, NauticalTwilight, AstronomicalTwilight];
    let found = delta_t::estimate_from_date_like(&date)
        .and_then(|delta_t| SolarEvents::new().for_date_multiple(date, &zone, location, delta_t, horizons));
    let days = found.map_err(|fault| Refusal::new(format!("The sun cannot be computed for that: {fault}.")))?;
    let days: Vec<_> = days.into_iter().map(|(_, day)| day).collect();
    days.try_into()
        .map_err(|_| Refusal::new("The sun cannot be computed for that date."))
}

fn is_up(now: DateTime<Tz>, zone: Tz, location: Location) -> Result<bool, Refusal> {
    let [day, ..] = events(now.date_naive(), zone, location)?;
    let rises = day.rises.iter().filter(|rise| **rise <= now).max();
    let sets = day.sets.iter().filter(|set| **set <= now).max();
    Ok(match rises.cmp(&sets) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => day.state_at_start == HorizonState::Above,
    })
}

fn kind(day: &Day) -> DayKind {
    if day.always_above() {
        DayKind::MidnightSun
    } else if day.rises.is_empty() && day.sets.is_empty() {
        DayKind::PolarNight
    } else {
        DayKind::Usual
    }
}

/// For how many minutes of the day the sun is up.
fn light(day: &Day) -> i64 {
    let mut turns: Vec<_> = day.rises.iter().map(|at| (*at, true)).collect();
    turns.extend(day.sets.iter().map(|at| (*at, false)));
    turns.sort();
    turns.push((day.end, false));
    let mut up_since = (day.state_at_start == HorizonState::Above).then_some(day.start);
    let mut minutes = 0;
    for (at, is_up) in turns {
        if let Some(since) = up_since.take() {
            minutes += (at - since).num_minutes();
        }
        up_since = is_up.then_some(at);
    }
    minutes
}

fn twilight(day: &Day) -> Twilight {
    Twilight {
        begins: first(&day.rises),
        ends: last(&day.sets),
    }
}

fn first(times: &[DateTime<Tz>]) -> Option<String> {
    times.first().map(written)
}

fn last(times: &[DateTime<Tz>]) -> Option<String> {
    times.last().map(written)
}

fn written(time: &DateTime<Tz>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}

fn text(sun: &Sun, day: &Day) -> String {
    let (place, date) = (sun.place.label(), &sun.date);
    let clock = |times: &[DateTime<Tz>]| {
        times
            .first()
            .map_or("not".to_owned(), |at| format!("at {}", at.format("%H:%M")))
    };
    let now = if sun.is_up_now {
        "The sun is up there now."
    } else {
        "The sun is down there now."
    };
    match sun.kind {
        DayKind::MidnightSun => format!("In {place} the sun does not set on {date}. {now}"),
        DayKind::PolarNight => format!("In {place} the sun does not rise on {date}. {now}"),
        DayKind::Usual => {
            let (hours, minutes) = (sun.day_length_minutes / 60, sun.day_length_minutes % 60);
            let (rise, set) = (clock(&day.rises), clock(&day.sets));
            format!(
                "In {place} on {date} the sun rises {rise} and sets {set} local time; the day lasts {hours} h {minutes} min. {now}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(latitude: f64, longitude: f64, zone: Tz, date: &str) -> (DayKind, i64) {
        let location = Location { latitude, longitude };
        let [day, ..] = events(date.parse().unwrap(), zone, location).unwrap();
        (kind(&day), light(&day))
    }

    #[test]
    fn days_are_as_long_as_the_almanac_says() {
        // Greenwich, 2026-06-21: 16 h 38 min; Quito, any day: 12 h 7 min.
        let (kind, greenwich) = minutes(51.477, 0.0, Tz::Europe__London, "2026-06-21");
        assert!(
            kind == DayKind::Usual && (996..=1_000).contains(&greenwich),
            "{greenwich}"
        );
        let (_, quito) = minutes(-0.18, -78.47, Tz::America__Guayaquil, "2026-03-01");
        assert!((724..=730).contains(&quito), "{quito}");
    }

    #[test]
    fn the_far_north_has_days_without_end_and_nights_without_end() {
        let tromso = |date| minutes(69.65, 18.96, Tz::Europe__Oslo, date);
        assert!(tromso("2026-06-21") == (DayKind::MidnightSun, 1_440));
        assert!(tromso("2026-12-21") == (DayKind::PolarNight, 0));
    }
}
