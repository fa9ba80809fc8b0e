//! `weather`: Open-Meteo's weather by place.

mod alerts;
mod codes;
mod forecast;
mod now;
mod open_meteo;
mod place;

use std::sync::Arc;

use gaia_names::Secret;
use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use url::Url;

use self::{open_meteo::OpenMeteo, place::Places};
use crate::{
    cache::Aged,
    places::Atlas,
    server::{About, Builder, ToolServer},
};

const ATTRIBUTION: &str = "Weather data by Open-Meteo.com (CC BY 4.0)";

const INSTRUCTIONS: &str = "Tells the weather now, the forecast, and warnings that are derived from the forecast. \
Official warnings of weather services are not in here: for decisions of safety ask those.";

/// Where the weather comes from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Open-Meteo's forecasts, such as `https://api.open-meteo.com/`.
    pub forecast: Url,
    /// Open-Meteo's search for places, such as `https://geocoding-api.open-meteo.com/`.
    pub geocoding: Url,
    /// The key of a customer. Open-Meteo is free of charge only for what is not commercial.
    pub key: Option<Secret>,
}

impl Settings {
    /// Where the weather comes from unless one says otherwise.
    pub const FORECAST: &str = "https://api.open-meteo.com/";
    /// Where places come from unless one says otherwise.
    pub const GEOCODING: &str = "https://geocoding-api.open-meteo.com/";
}

/// What all tools use.
struct Weather {
    places: Places,
    open_meteo: OpenMeteo,
}

/// The server `weather`.
///
/// # Errors
///
/// If TLS cannot be set up.
pub fn server(settings: &Settings) -> reqwest::Result<ToolServer> {
    Atlas::warm();
    let client = crate::fetch::client().build()?;
    let weather = Arc::new(Weather {
        places: Places::new(client.clone(), settings.geocoding.clone(), settings.key.clone()),
        open_meteo: OpenMeteo::new(client, settings.forecast.clone(), settings.key.clone()),
    });
    let about = |name, title, description| About {
        name,
        title,
        description,
        is_open_world: true,
    };
    let [for_now, for_forecast, for_alerts] = std::array::from_fn(|_| Arc::clone(&weather));
    Ok(Builder::new("weather", "Weather", &format!("{INSTRUCTIONS} {ATTRIBUTION}."))
        .tool(
            &about("now", "The weather now", "Tells the weather at a place at this moment: temperature, how it feels, rain, \
                wind, clouds, and whether it is day. Use `forecast` for later."),
            move |asked| { let weather = Arc::clone(&for_now); async move { weather.now(asked).await } },
        )
        .tool(
            &about("forecast", "Weather forecast", "Tells the weather at a place for up to 14 days, and hour by hour for up \
                to 48 hours from now if `hours` is given. Days and hours are local to the place."),
            move |asked| { let weather = Arc::clone(&for_forecast); async move { weather.forecast(asked).await } },
        )
        .tool(
            &about("alerts", "Derived weather warnings", "Lists dangerous weather in the forecast of a place for the next \
                hours: storm, thunderstorm, heavy rain or snow, ice, heat, cold. It is derived from the forecast by fixed \
                limits and is NOT an official warning; say so when you pass it on."),
            move |asked| { let weather = Arc::clone(&for_alerts); async move { weather.alerts(asked).await } },
        )
        .build())
}

/// In which units numbers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Units {
    /// Degrees Celsius, kilometres per hour, millimetres.
    #[default]
    Metric,
    /// Degrees Fahrenheit, miles per hour, inches.
    Imperial,
}

/// The units' signs.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct Signs {
    temperature: &'static str,
    speed: &'static str,
    precipitation: &'static str,
    snowfall: &'static str,
}

impl Units {
    fn signs(self) -> Signs {
        match self {
            Self::Metric => Signs {
                temperature: "°C",
                speed: "km/h",
                precipitation: "mm",
                snowfall: "cm",
            },
            Self::Imperial => Signs {
                temperature: "°F",
                speed: "mph",
                precipitation: "inch",
                snowfall: "inch",
            },
        }
    }
}

/// Where an answer comes from and how old it is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Source {
    attribution: &'static str,
    /// How long ago this was fetched.
    age_seconds: u64,
    /// Why it is older than it should be, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_because: Option<String>,
}

impl Source {
    fn of<T>(aged: &Aged<T>) -> Self {
        Self {
            attribution: ATTRIBUTION,
            age_seconds: aged.age.as_secs(),
            stale_because: aged.stale_because.clone(),
        }
    }

    /// What the text says if the answer is old.
    fn remark(&self) -> String {
        match &self.stale_because {
            Some(why) => format!(" This is {} minutes old, because {why}.", self.age_seconds / 60),
            None => String::new(),
        }
    }
}
