//! The weather of the next hours and days.

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use super::{
    Signs, Source, Units, Weather, codes,
    now::{refusal, with_offset},
    open_meteo::{self, Days, Hours},
};
use crate::{
    location::{PlaceName, within},
    places::Spot,
    server::{Answer, Refusal},
};

const MOST_DAYS: usize = 14;
const MOST_HOURS: usize = 48;

/// What `forecast` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceAhead {
    place: PlaceName,
    /// How many days, today included, from 1 to 14.
    #[serde(default = "usual_days")]
    #[schemars(range(min = 1, max = 14))]
    days: usize,
    /// How many hours from now hour by hour, from 0 (none) to 48.
    #[serde(default)]
    #[schemars(range(min = 0, max = 48))]
    hours: usize,
    #[serde(default)]
    units: Units,
}

fn usual_days() -> usize {
    3
}

/// What `forecast` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct WeatherAhead {
    place: Spot,
    days: Vec<Day>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hours: Vec<Hour>,
    units: Signs,
    source: Source,
}

#[derive(Serialize, JsonSchema)]
struct Day {
    date: String,
    /// The day's worst.
    condition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    highest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lowest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_gusts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uv_index: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunrise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset: Option<String>,
}

/// One hour. Its precipitation is that of the hour before its time.
#[derive(Serialize, JsonSchema)]
pub(super) struct Hour {
    pub(super) time: String,
    condition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feels_like: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precipitation_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wind_gusts: Option<f64>,
}

impl Weather {
    pub(super) async fn forecast(&self, asked: PlaceAhead) -> Result<Answer<WeatherAhead>, Refusal> {
        let days = within("days", asked.days, 1, MOST_DAYS)?;
        let hours = within("hours", asked.hours, 0, MOST_HOURS)?;
        let place = self.places.spot(&asked.place).await?;
        let aged = self
            .open_meteo
            .forecast(place.point(), asked.units)
            .await
            .map_err(refusal)?;
        let source = Source::of(&aged);
        let (offset, forecast) = (aged.value.utc_offset_seconds, aged.value.content);
        let today = local_now(offset);
        let first_day = first_from(&forecast.daily.time, &today[..10]);
        let first_hour = first_from(&forecast.hourly.time, &today[..13]);
        let content = WeatherAhead {
            place,
            days: (first_day..first_day + days)
                .map_while(|day| forecast.daily.day(day, offset))
                .collect(),
            hours: (first_hour..first_hour + hours)
                .map_while(|hour| forecast.hourly.hour(hour, offset))
                .collect(),
            units: asked.units.signs(),
            source,
        };
        Ok(Answer {
            text: content.text(),
            content,
        })
    }
}

/// The clock at a place, `2026-06-21T14:05`.
pub(super) fn local_now(offset: i32) -> String {
    let now = chrono::Utc::now() + chrono::Duration::seconds(i64::from(offset));
    now.format("%Y-%m-%dT%H:%M").to_string()
}

/// Where the times begin that are not over. An answer that was kept since yesterday begins yesterday.
pub(super) fn first_from(times: &[String], now: &str) -> usize {
    times.partition_point(|time| time.as_str() < now)
}

/// A list may be shorter than the others in a broken answer.
fn at<T: Copy>(list: &[Option<T>], index: usize) -> Option<T> {
    list.get(index).copied().flatten()
}

impl Days {
    fn day(&self, index: usize, offset: i32) -> Option<Day> {
        let sun = |times: &[String]| times.get(index).map(|time| with_offset(time, offset));
        Some(Day {
            date: self.time.get(index)?.chars().take(10).collect(),
            condition: at(&self.weather_code, index).map_or("unknown weather", codes::condition),
            highest: at(&self.temperature_2m_max, index),
            lowest: at(&self.temperature_2m_min, index),
            precipitation: at(&self.precipitation_sum, index),
            precipitation_percent: at(&self.precipitation_probability_max, index),
            wind_speed: at(&self.wind_speed_10m_max, index),
            wind_gusts: at(&self.wind_gusts_10m_max, index),
            uv_index: at(&self.uv_index_max, index),
            sunrise: sun(&self.sunrise),
            sunset: sun(&self.sunset),
        })
    }
}

impl Hours {
    fn hour(&self, index: usize, offset: i32) -> Option<Hour> {
        Some(Hour {
            time: with_offset(self.time.get(index)?, offset),
            condition: at(&self.weather_code, index).map_or("unknown weather", codes::condition),
            temperature: at(&self.temperature_2m, index),
            feels_like: at(&self.apparent_temperature, index),
            precipitation: at(&self.precipitation, index),
            precipitation_percent: at(&self.precipitation_probability, index),
            wind_speed: at(&self.wind_speed_10m, index),
            wind_gusts: at(&self.wind_gusts_10m, index),
        })
    }
}

/// The numbers of one hour that can be dangerous.
pub(super) struct Dangers {
    pub(super) time: String,
    pub(super) code: Option<u8>,
    pub(super) gusts: Option<f64>,
    pub(super) rain: Option<f64>,
    pub(super) snow: Option<f64>,
    pub(super) felt: Option<f64>,
}

impl open_meteo::Forecast {
    /// The next hours, beginning with this one.
    pub(super) fn dangers(&self, hours: usize, offset: i32) -> Vec<Dangers> {
        let list = &self.hourly;
        let first = first_from(&list.time, &local_now(offset)[..13]);
        (first..first + hours)
            .map_while(|index| {
                Some(Dangers {
                    time: with_offset(list.time.get(index)?, offset),
                    code: at(&list.weather_code, index),
                    gusts: at(&list.wind_gusts_10m, index),
                    rain: at(&list.precipitation, index),
                    snow: at(&list.snowfall, index),
                    felt: at(&list.apparent_temperature, index),
                })
            })
            .collect()
    }
}

impl WeatherAhead {
    fn text(&self) -> String {
        let signs = self.units;
        let mut text = format!("{}:", self.place.label());
        for day in &self.days {
            text.push_str(&format!("\n{}: {}", day.date, day.condition));
            if let (Some(low), Some(high)) = (day.lowest, day.highest) {
                text.push_str(&format!(", {low} to {high} {}", signs.temperature));
            }
            if let Some(fallen) = day.precipitation.filter(|fallen| *fallen > 0.0) {
                text.push_str(&format!(", {fallen} {} of precipitation", signs.precipitation));
            }
            if let Some(gusts) = day.wind_gusts {
                text.push_str(&format!(", gusts up to {gusts} {}", signs.speed));
            }
        }
        for hour in &self.hours {
            let clock: String = hour.time.chars().skip(5).take(11).collect();
            let temperature = hour
                .temperature
                .map_or(String::new(), |now| format!(", {now} {}", signs.temperature));
            let chance = hour
                .precipitation_percent
                .map_or(String::new(), |chance| format!(", {chance} % rain or snow"));
            text.push_str(&format!("\n{clock}: {}{temperature}{chance}", hour.condition));
        }
        text + &self.source.remark()
    }
}
