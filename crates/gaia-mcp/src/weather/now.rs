//! The weather at this moment.

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use super::{Signs, Source, Units, Weather, codes, open_meteo::Fault};
use crate::{
    location::PlaceName,
    places::{Spot, compass},
    server::{Answer, Refusal},
};

/// What `now` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceNow {
    place: PlaceName,
    #[serde(default)]
    units: Units,
}

/// What `now` answers. A number that the model lacks there is absent.
#[derive(Serialize, JsonSchema)]
pub(super) struct WeatherNow {
    place: Spot,
    /// When this holds, in the place's own time.
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_day: Option<bool>,
    condition: &'static str,
    /// The WMO's code of the weather.
    #[serde(skip_serializing_if = "Option::is_none")]
    weather_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// What the temperature feels like.
    #[serde(skip_serializing_if = "Option::is_none")]
    feels_like: Option<f64>,
    /// Rain, showers and snow of the last quarter of an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_gusts: Option<f64>,
    /// Where the wind comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    humidity_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_cover_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure_hectopascal: Option<f64>,
    units: Signs,
    source: Source,
}

impl Weather {
    pub(super) async fn now(&self, asked: PlaceNow) -> Result<Answer<WeatherNow>, Refusal> {
        let place = self.places.spot(&asked.place).await?;
        let aged = self
            .open_meteo
            .current(place.point(), asked.units)
            .await
            .map_err(refusal)?;
        let (source, now, offset) = (
            Source::of(&aged),
            aged.value.content.current,
            aged.value.utc_offset_seconds,
        );
        let content = WeatherNow {
            place,
            time: with_offset(&now.time, offset),
            is_day: now.is_day.map(|flag| flag == 1),
            condition: now.weather_code.map_or("unknown weather", codes::condition),
            weather_code: now.weather_code,
            temperature: now.temperature_2m,
            feels_like: now.apparent_temperature,
            precipitation: now.precipitation,
            wind_speed: now.wind_speed_10m,
            wind_gusts: now.wind_gusts_10m,
            wind_from: now.wind_direction_10m.map(compass),
            humidity_percent: now.relative_humidity_2m,
            cloud_cover_percent: now.cloud_cover,
            pressure_hectopascal: now.pressure_msl,
            units: asked.units.signs(),
            source,
        };
        Ok(Answer {
            text: content.text(),
            content,
        })
    }
}

impl WeatherNow {
    fn text(&self) -> String {
        let mut text = format!("{} now: {}", self.place.label(), self.condition);
        let mut say = |what: String| {
            text.push_str(", ");
            text.push_str(&what);
        };
        let signs = self.units;
        if let Some(temperature) = self.temperature {
            let feels = self
                .feels_like
                .map_or(String::new(), |felt| format!(" (feels like {felt})"));
            say(format!("{temperature} {}{feels}", signs.temperature));
        }
        if let Some(speed) = self.wind_speed {
            let from = self.wind_from.map_or(String::new(), |from| format!(" from the {from}"));
            let gusts = self
                .wind_gusts
                .map_or(String::new(), |gusts| format!(", gusts {gusts}"));
            say(format!("wind {speed} {}{from}{gusts}", signs.speed));
        }
        if let Some(fallen) = self.precipitation.filter(|fallen| *fallen > 0.0) {
            say(format!("{fallen} {} of precipitation", signs.precipitation));
        }
        text.push_str(match self.is_day {
            Some(true) => ". It is day there.",
            Some(false) => ". It is night there.",
            None => ".",
        });
        text + &self.source.remark()
    }
}

/// What a model is told where there is no weather.
pub(super) fn refusal(fault: Fault) -> Refusal {
    let next = match &fault {
        Fault::Refused(_) | Fault::Unreadable(_) => "Another place may work; tell the operator if none does.",
        _ => "Try again in a minute, or do without the weather.",
    };
    Refusal::new(format!("There is no weather: {fault}. {next}"))
}

/// Open-Meteo gives local times without their offset.
pub(super) fn with_offset(local: &str, seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    let seconds_of_clock = if local.len() == 16 { ":00" } else { "" };
    let local: String = local.chars().take(20).collect();
    format!("{local}{seconds_of_clock}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
