//! A stand-in for Open-Meteo that keeps its documented rules, refusals included.
//!
//! Berlin's offset in summer holds everywhere, the hours count from 00:00 local time today, and the numbers follow from
//! the hour, so that a test can say what they must be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Duration, Timelike, Utc};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, sync::Notify};

/// East of Greenwich, in seconds.
const OFFSET: i64 = 7_200;
/// Every parameter of the forecast that we know of; Open-Meteo ignores others, but ours should be right.
const PARAMETERS: &[&str] = &[
    "latitude",
    "longitude",
    "current",
    "hourly",
    "daily",
    "timezone",
    "forecast_days",
    "temperature_unit",
    "wind_speed_unit",
    "precipitation_unit",
    "apikey",
];
const CURRENT_AND_HOURLY: &[(&str, &str)] = &[
    ("temperature_2m", "°C"),
    ("relative_humidity_2m", "%"),
    ("apparent_temperature", "°C"),
    ("is_day", ""),
    ("precipitation", "mm"),
    ("precipitation_probability", "%"),
    ("snowfall", "cm"),
    ("weather_code", "wmo code"),
    ("cloud_cover", "%"),
    ("pressure_msl", "hPa"),
    ("wind_speed_10m", "km/h"),
    ("wind_direction_10m", "°"),
    ("wind_gusts_10m", "km/h"),
];
const DAILY: &[(&str, &str)] = &[
    ("weather_code", "wmo code"),
    ("temperature_2m_max", "°C"),
    ("temperature_2m_min", "°C"),
    ("precipitation_sum", "mm"),
    ("precipitation_probability_max", "%"),
    ("wind_speed_10m_max", "km/h"),
    ("wind_gusts_10m_max", "km/h"),
    ("sunrise", "iso8601"),
    ("sunset", "iso8601"),
    ("uv_index_max", ""),
];

type Pairs = Query<HashMap<String, String>>;

/// The stand-in. It ends with the test's runtime.
#[derive(Clone)]
pub struct FakeOpenMeteo {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<FakeState>,
    released: Notify,
}

#[derive(Default)]
struct FakeState {
    asked: Vec<HashMap<String, String>>,
    refusal: Option<(u16, String)>,
    overrides: HashMap<String, f64>,
    is_held: bool,
}

impl FakeOpenMeteo {
    /// Starts it on a free port.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/v1/forecast", get(forecast))
            .route("/v1/search", get(search))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("a bound port"));
        crate::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, shared }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<HashMap<String, String>> {
        self.state().asked.clone()
    }

    /// Refuses everything from here on, with a status and a body as it stands.
    pub fn refuse(&self, status: u16, body: &str) {
        self.state().refusal = Some((status, body.to_owned()));
    }

    /// Answers again.
    pub fn recover(&self) {
        self.state().refusal = None;
    }

    /// Gives a variable this value at every hour and on every day.
    pub fn set(&self, variable: &str, value: f64) {
        self.state().overrides.insert(variable.to_owned(), value);
    }

    /// Answers nobody until released.
    pub fn hold(&self) {
        self.state().is_held = true;
    }

    /// Answers those who wait.
    pub fn release(&self) {
        self.state().is_held = false;
        self.shared.released.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is asked, waits if all wait, and refuses if all are refused.
    async fn receive(&self, asked: &HashMap<String, String>) -> Result<(), Response> {
        self.state().asked.push(asked.clone());
        let released = self.released.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        if self.state().is_held {
            released.await;
        }
        match self.state().refusal.clone() {
            Some((status, body)) => Err((StatusCode::from_u16(status).unwrap_or_default(), body).into_response()),
            None => Ok(()),
        }
    }
}

/// `{"error": true, "reason": "..."}` with 400, as Open-Meteo does it.
fn wrong(reason: impl Into<String>) -> Response {
    let body = json!({ "error": true, "reason": reason.into() });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

async fn forecast(State(shared): State<Arc<Shared>>, Query(asked): Pairs) -> Result<Json<Value>, Response> {
    shared.receive(&asked).await?;
    if let Some(unknown) = asked.keys().find(|key| !PARAMETERS.contains(&key.as_str())) {
        return Err(wrong(format!("Unknown parameter '{unknown}'")));
    }
    let latitude = degrees(&asked, "latitude", 90.0).map_err(wrong)?;
    let longitude = degrees(&asked, "longitude", 180.0).map_err(wrong)?;
    if asked.contains_key("daily") && !asked.contains_key("timezone") {
        return Err(wrong("Timezone is required"));
    }
    let days: i64 = asked
        .get("forecast_days")
        .map_or("7", String::as_str)
        .parse()
        .unwrap_or(-1);
    if !(0..=16).contains(&days) {
        return Err(wrong(format!(
            "Forecast days is invalid. Allowed range 0 to 16. Given {days}."
        )));
    }
    let offset = if asked.contains_key("timezone") { OFFSET } else { 0 };
    let content = Content {
        local: Utc::now() + Duration::seconds(offset),
        days,
        overrides: shared.state().overrides.clone(),
    };
    let mut answer = Map::from_iter([
        ("latitude".to_owned(), json!(latitude)),
        ("longitude".to_owned(), json!(longitude)),
        ("generationtime_ms".to_owned(), json!(0.1)),
        ("utc_offset_seconds".to_owned(), json!(offset)),
        ("timezone".to_owned(), json!("Europe/Berlin")),
        ("timezone_abbreviation".to_owned(), json!("GMT+2")),
        ("elevation".to_owned(), json!(38.0)),
    ]);
    for (key, variables) in [
        ("current", CURRENT_AND_HOURLY),
        ("hourly", CURRENT_AND_HOURLY),
        ("daily", DAILY),
    ] {
        if let Some(names) = asked.get(key) {
            let wanted = known(names, variables, key).map_err(wrong)?;
            answer.insert(format!("{key}_units"), units(&wanted, &asked));
            answer.insert(key.to_owned(), content.of(key, &wanted));
        }
    }
    Ok(Json(answer.into()))
}

/// What the weather is.
struct Content {
    local: DateTime<Utc>,
    days: i64,
    overrides: HashMap<String, f64>,
}

impl Content {
    fn of(&self, key: &str, wanted: &[(&str, &'static str)]) -> Value {
        let mut content = Map::new();
        match key {
            "current" => {
                let hour = i64::from(self.local.hour());
                content.insert(
                    "time".to_owned(),
                    json!(self.local.format("%Y-%m-%dT%H:%M").to_string()),
                );
                content.insert("interval".to_owned(), json!(900));
                content.extend(
                    wanted
                        .iter()
                        .map(|(name, _)| ((*name).to_owned(), self.number(name, hour))),
                );
            }
            "hourly" => {
                let hours = 0..self.days * 24;
                let time = |hour: i64| format!("{}T{:02}:00", self.day(hour / 24), hour % 24);
                content.insert("time".to_owned(), hours.clone().map(time).collect());
                let list = |name: &str| hours.clone().map(|hour| self.number(name, hour)).collect();
                content.extend(wanted.iter().map(|(name, _)| ((*name).to_owned(), list(name))));
            }
            _ => {
                content.insert("time".to_owned(), (0..self.days).map(|day| self.day(day)).collect());
                let value = |name: &str, unit: &str, day: i64| match (unit, name) {
                    ("iso8601", "sunrise") => json!(format!("{}T06:00", self.day(day))),
                    ("iso8601", _) => json!(format!("{}T20:30", self.day(day))),
                    _ => self.number(name, day),
                };
                let list = |name: &str, unit: &str| (0..self.days).map(|day| value(name, unit, day)).collect();
                content.extend(wanted.iter().map(|(name, unit)| ((*name).to_owned(), list(name, unit))));
            }
        }
        content.into()
    }

    fn day(&self, number: i64) -> String {
        (self.local.date_naive() + Duration::days(number)).to_string()
    }

    fn number(&self, name: &str, hour: i64) -> Value {
        let set = self.overrides.get(name).copied();
        // A code is a whole number, and JSON knows no difference.
        set.map_or_else(|| usual(name, hour), whole)
    }
}

fn degrees(asked: &HashMap<String, String>, name: &str, most: f64) -> Result<f64, String> {
    let Some(text) = asked.get(name) else {
        return Err(format!("Parameter '{name}' and must be specified"));
    };
    let number: f64 = text
        .parse()
        .map_err(|_| format!("Value of type 'Float' required for key '{name}'."))?;
    if number.abs() > most {
        let capital = name[..1].to_uppercase() + &name[1..];
        return Err(format!(
            "{capital} must be in range of -{most} to {most}°. Given: {number}."
        ));
    }
    Ok(number)
}

/// The variables that are asked for, if there are such.
fn known<'a>(
    names: &'a str,
    all: &[(&'static str, &'static str)],
    key: &str,
) -> Result<Vec<(&'a str, &'static str)>, String> {
    let find = |name: &'a str| {
        let found = all.iter().find(|(known, _)| *known == name);
        found.map(|(_, unit)| (name, *unit)).ok_or_else(|| {
            format!(
                "Data corrupted at path ''. Cannot initialize WeatherVariable from invalid String value {name} for key {key}."
            )
        })
    };
    names.split(',').map(find).collect()
}

/// The units of the variables, as the question wants them.
fn units(wanted: &[(&str, &'static str)], asked: &HashMap<String, String>) -> Value {
    let is = |key: &str, value: &str| asked.get(key).is_some_and(|given| given == value);
    let unit = |usual: &'static str| match usual {
        "°C" if is("temperature_unit", "fahrenheit") => "°F",
        "km/h" if is("wind_speed_unit", "mph") => "mp/h",
        "mm" | "cm" if is("precipitation_unit", "inch") => "inch",
        other => other,
    };
    wanted
        .iter()
        .map(|(name, usual)| ((*name).to_owned(), json!(unit(usual))))
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "what tests set is small")]
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

/// Calm weather: a degree warmer each hour of the day, half clouded.
fn usual(name: &str, hour: i64) -> Value {
    let of_day = hour % 24;
    match name {
        "temperature_2m" | "apparent_temperature" => json!(of_day),
        "relative_humidity_2m" | "cloud_cover" => json!(50),
        "is_day" => json!(i64::from((6..20).contains(&of_day))),
        "weather_code" => json!(2),
        "pressure_msl" => json!(1013.2),
        "wind_speed_10m" | "wind_speed_10m_max" => json!(10.5),
        "wind_direction_10m" => json!(270),
        "wind_gusts_10m" | "wind_gusts_10m_max" => json!(21.0),
        "temperature_2m_max" => json!(23),
        // Models lack some numbers at some places.
        "uv_index_max" => Value::Null,
        _ => json!(0),
    }
}

async fn search(State(shared): State<Arc<Shared>>, Query(asked): Pairs) -> Result<Json<Value>, Response> {
    shared.receive(&asked).await?;
    let Some(name) = asked.get("name") else {
        return Err(wrong("Parameter 'name' and must be specified"));
    };
    let count: usize = asked
        .get("count")
        .map_or("10", String::as_str)
        .parse()
        .unwrap_or_default();
    if !(1..=100).contains(&count) {
        return Err(wrong("Parameter count must be between 1 and 100."));
    }
    let place = |admin1: &str, country: &str, code: &str, latitude: f64, longitude: f64| {
        json!({ "id": 1, "name": "Hinterpfuiteufel", "latitude": latitude, "longitude": longitude, "elevation": 700.0,
                "feature_code": "PPL", "country_code": code, "timezone": "Europe/Vienna", "country": country, "admin1": admin1 })
    };
    // One hamlet that is in no gazetteer, twice.
    let all = [
        place("Styria", "Austria", "AT", 47.1, 15.5),
        place("Bavaria", "Germany", "DE", 48.6, 13.4),
    ];
    let found: Vec<_> = all
        .into_iter()
        .filter(|_| name == "Hinterpfuiteufel")
        .take(count)
        .collect();
    // Where nothing is found, `results` is absent.
    let answer = match found.is_empty() {
        true => json!({ "generationtime_ms": 0.5 }),
        false => json!({ "results": found, "generationtime_ms": 0.5 }),
    };
    Ok(Json(answer))
}
