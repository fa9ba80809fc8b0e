//! Open-Meteo's API: what is asked, what comes back, and what its refusals mean.

use std::time::Duration;

use gaia_names::Secret;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::Units;
use crate::{
    cache::{Aged, Cache},
    fetch::{self, said},
    places::Point,
};

/// The largest answer: 16 days by the hour are 60 KiB.
const LARGEST: usize = 512 * 1024;
/// Open-Meteo's own models are renewed every 15 minutes at most.
const FRESH_NOW: Duration = Duration::from_secs(5 * 60);
const FRESH_FORECAST: Duration = Duration::from_secs(30 * 60);
/// For how long yesterday's answer is better than none.
const STALE_NOW: Duration = Duration::from_secs(2 * 3600);
const STALE_FORECAST: Duration = Duration::from_secs(12 * 3600);
const MOST_KEPT: usize = 512;
/// How many days are asked for, whatever is shown: so that one answer serves all questions about a place.
const DAYS: u8 = 14;

const CURRENT: &str = "temperature_2m,relative_humidity_2m,apparent_temperature,is_day,precipitation,weather_code,\
                       cloud_cover,pressure_msl,wind_speed_10m,wind_direction_10m,wind_gusts_10m";
const HOURLY: &str = "temperature_2m,apparent_temperature,precipitation_probability,precipitation,snowfall,weather_code,\
                      wind_speed_10m,wind_gusts_10m";
const DAILY: &str = "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max,\
                     wind_speed_10m_max,wind_gusts_10m_max,sunrise,sunset,uv_index_max";

/// Asks Open-Meteo and keeps what it said.
pub(super) struct OpenMeteo {
    client: Client,
    base: Url,
    key: Option<Secret>,
    current: Cache<Question, Weather<Current>, Fault>,
    forecasts: Cache<Question, Weather<Forecast>, Fault>,
}

/// A place to a hundredth of a degree (a kilometre), which is finer than the models.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    latitude: i32,
    longitude: i32,
    units: Units,
}

/// What every answer has.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Weather<T> {
    pub(super) utc_offset_seconds: i32,
    #[serde(flatten)]
    pub(super) content: T,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Current {
    pub(super) current: Moment,
}

/// The weather at a moment. Models lack some of the numbers at some places.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Moment {
    pub(super) time: String,
    pub(super) temperature_2m: Option<f64>,
    pub(super) relative_humidity_2m: Option<f64>,
    pub(super) apparent_temperature: Option<f64>,
    pub(super) is_day: Option<u8>,
    pub(super) precipitation: Option<f64>,
    pub(super) weather_code: Option<u8>,
    pub(super) cloud_cover: Option<f64>,
    pub(super) pressure_msl: Option<f64>,
    pub(super) wind_speed_10m: Option<f64>,
    pub(super) wind_direction_10m: Option<f64>,
    pub(super) wind_gusts_10m: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Forecast {
    pub(super) hourly: Hours,
    pub(super) daily: Days,
}

/// One list for each number, all of one length.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hours {
    pub(super) time: Vec<String>,
    pub(super) temperature_2m: Vec<Option<f64>>,
    pub(super) apparent_temperature: Vec<Option<f64>>,
    pub(super) precipitation_probability: Vec<Option<f64>>,
    pub(super) precipitation: Vec<Option<f64>>,
    pub(super) snowfall: Vec<Option<f64>>,
    pub(super) weather_code: Vec<Option<u8>>,
    pub(super) wind_speed_10m: Vec<Option<f64>>,
    pub(super) wind_gusts_10m: Vec<Option<f64>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Days {
    pub(super) time: Vec<String>,
    pub(super) weather_code: Vec<Option<u8>>,
    pub(super) temperature_2m_max: Vec<Option<f64>>,
    pub(super) temperature_2m_min: Vec<Option<f64>>,
    pub(super) precipitation_sum: Vec<Option<f64>>,
    pub(super) precipitation_probability_max: Vec<Option<f64>>,
    pub(super) wind_speed_10m_max: Vec<Option<f64>>,
    pub(super) wind_gusts_10m_max: Vec<Option<f64>>,
    pub(super) sunrise: Vec<String>,
    pub(super) sunset: Vec<String>,
    pub(super) uv_index_max: Vec<Option<f64>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the weather service cannot be reached ({0})")]
    Unreachable(String),
    #[error("the weather service has had enough questions for now ({0})")]
    TooMany(String),
    #[error("the weather service is in trouble (status {0})")]
    Trouble(u16),
    #[error("the weather service refused the question ({0})")]
    Refused(String),
    #[error("the weather service gave an answer that cannot be read ({0})")]
    Unreadable(String),
}

impl OpenMeteo {
    pub(super) fn new(client: Client, base: Url, key: Option<Secret>) -> Self {
        Self {
            client,
            base,
            key,
            current: Cache::new(MOST_KEPT, FRESH_NOW, STALE_NOW),
            forecasts: Cache::new(MOST_KEPT, FRESH_FORECAST, STALE_FORECAST),
        }
    }

    pub(super) async fn current(&self, point: Point, units: Units) -> Result<Aged<Weather<Current>>, Fault> {
        let question = Question::of(point, units);
        let ask = || self.ask(&question, &[("current", CURRENT)]);
        self.current.get(&question, ask).await
    }

    /// Fourteen days, by the day and by the hour.
    pub(super) async fn forecast(&self, point: Point, units: Units) -> Result<Aged<Weather<Forecast>>, Fault> {
        let question = Question::of(point, units);
        let days = DAYS.to_string();
        let wanted = [("hourly", HOURLY), ("daily", DAILY), ("forecast_days", days.as_str())];
        self.forecasts.get(&question, || self.ask(&question, &wanted)).await
    }

    async fn ask<T: DeserializeOwned>(&self, question: &Question, wanted: &[(&str, &str)]) -> Result<T, Fault> {
        let (latitude, longitude) = question.degrees();
        let mut query: Vec<_> = wanted.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        query.push(("latitude", latitude));
        query.push(("longitude", longitude));
        query.push(("timezone", "auto".to_owned()));
        if question.units == Units::Imperial {
            query.push(("temperature_unit", "fahrenheit".to_owned()));
            query.push(("wind_speed_unit", "mph".to_owned()));
            query.push(("precipitation_unit", "inch".to_owned()));
        }
        ask(&self.client, &self.base, "v1/forecast", &query, self.key.as_ref()).await
    }
}

impl Question {
    fn of(point: Point, units: Units) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "degrees times a hundred fit")]
        let [latitude, longitude] = [point.latitude, point.longitude].map(|degrees| (degrees * 100.0).round() as i32);
        Self {
            latitude,
            longitude,
            units,
        }
    }

    fn degrees(&self) -> (String, String) {
        let degrees = |hundredths: i32| format!("{:.2}", f64::from(hundredths) / 100.0);
        (degrees(self.latitude), degrees(self.longitude))
    }
}

/// Asks one of Open-Meteo's addresses.
pub(super) async fn ask<T: DeserializeOwned>(
    client: &Client,
    base: &Url,
    path: &str,
    query: &[(&str, String)],
    key: Option<&Secret>,
) -> Result<T, Fault> {
    let mut address = base.clone();
    address.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    address.query_pairs_mut().extend_pairs(query);
    if let Some(key) = key {
        address.query_pairs_mut().append_pair("apikey", key.expose());
    }
    let sent = client.get(address).send().await;
    let response = sent.map_err(|fault| Fault::Unreachable(said(fault)))?;
    let status = response.status();
    let body = fetch::body(response, LARGEST).await.map_err(|fault| match fault {
        fetch::BodyFault::Broke(why) => Fault::Unreachable(why),
        large @ fetch::BodyFault::TooLarge(_) => Fault::Unreadable(large.to_string()),
    })?;
    if !status.is_success() {
        return Err(refused(status, &body));
    }
    let read = serde_json::from_slice(&body);
    read.map_err(|fault| Fault::Unreadable(fault.to_string()))
}

/// What a refusal means: `{"error": true, "reason": "..."}`, with 400 for a wrong question and 429 for too many.
fn refused(status: StatusCode, body: &[u8]) -> Fault {
    #[derive(Deserialize)]
    struct Refused {
        reason: String,
    }
    let told = serde_json::from_slice::<Refused>(body).map(|refused| refused.reason);
    let reason = told.unwrap_or_else(|_| format!("status {}", status.as_u16()));
    let reason: String = reason.chars().filter(|letter| !letter.is_control()).take(200).collect();
    match status {
        StatusCode::TOO_MANY_REQUESTS => Fault::TooMany(reason),
        status if status.is_server_error() => Fault::Trouble(status.as_u16()),
        _ => Fault::Refused(reason),
    }
}
