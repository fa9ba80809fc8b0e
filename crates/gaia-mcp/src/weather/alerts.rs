//! Dangerous weather in the forecast. Open-Meteo has no official warnings, so these are derived by fixed limits, which
//! are near those of the German weather service, and every answer says so.

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use super::{Source, Units, Weather, codes, forecast::Dangers, now::refusal};
use crate::{
    location::{PlaceName, within},
    places::Spot,
    server::{Answer, Refusal},
};

const MOST_HOURS: usize = 168;
const REMARK: &str = "Derived from Open-Meteo's forecast by fixed limits. This is not an official warning.";

/// What `alerts` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceWatched {
    place: PlaceName,
    /// How many hours from now, from 1 to 168.
    #[serde(default = "usual_hours")]
    #[schemars(range(min = 1, max = 168))]
    hours: usize,
}

fn usual_hours() -> usize {
    48
}

/// What `alerts` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Alerts {
    place: Spot,
    /// The worst first.
    alerts: Vec<Alert>,
    /// Always false: see `remark`.
    is_official: bool,
    remark: &'static str,
    hours: usize,
    source: Source,
}

/// One danger and when it holds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct Alert {
    kind: Kind,
    level: Level,
    /// The first and the last hour in which it holds, in the place's own time. It may pause in between.
    from: String,
    until: String,
    /// What the forecast says at its worst.
    because: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Storm,
    Thunderstorm,
    HeavyRain,
    HeavySnow,
    Ice,
    Heat,
    Cold,
    Fog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// Take care.
    Moderate,
    /// Stay inside if you can.
    Severe,
    /// Danger to life.
    Extreme,
}

impl Weather {
    pub(super) async fn alerts(&self, asked: PlaceWatched) -> Result<Answer<Alerts>, Refusal> {
        let hours = within("hours", asked.hours, 1, MOST_HOURS)?;
        let place = self.places.spot(&asked.place).await?;
        // The limits are metric, whoever asks.
        let aged = self
            .open_meteo
            .forecast(place.point(), Units::Metric)
            .await
            .map_err(refusal)?;
        let source = Source::of(&aged);
        let dangers = aged.value.content.dangers(hours, aged.value.utc_offset_seconds);
        let alerts = derived(&dangers);
        let content = Alerts {
            place,
            alerts,
            is_official: false,
            remark: REMARK,
            hours,
            source,
        };
        Ok(Answer {
            text: content.text(),
            content,
        })
    }
}

impl Alerts {
    fn text(&self) -> String {
        let place = self.place.label();
        let mut text = match self.alerts.len() {
            0 => format!(
                "{place}: nothing dangerous in the forecast of the next {} hours.",
                self.hours
            ),
            _ => format!("{place}, in the next {} hours:", self.hours),
        };
        for alert in &self.alerts {
            let level = match alert.level {
                Level::Moderate => "moderate",
                Level::Severe => "severe",
                Level::Extreme => "extreme",
            };
            text.push_str(&format!(
                "\n{level}: {}, {} to {}",
                alert.because, alert.from, alert.until
            ));
        }
        format!("{text}\n{REMARK}{}", self.source.remark())
    }
}

/// One alert for each kind of danger, the worst first.
fn derived(hours: &[Dangers]) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for hour in hours {
        for (kind, level, because) in dangers_of(hour) {
            match alerts.iter_mut().find(|alert| alert.kind == kind) {
                Some(alert) => {
                    alert.until.clone_from(&hour.time);
                    if level > alert.level {
                        alert.level = level;
                        alert.because = because;
                    }
                }
                None => alerts.push(Alert {
                    kind,
                    level,
                    from: hour.time.clone(),
                    until: hour.time.clone(),
                    because,
                }),
            }
        }
    }
    alerts.sort_by(|one, other| other.level.cmp(&one.level).then_with(|| one.from.cmp(&other.from)));
    alerts
}

fn dangers_of(hour: &Dangers) -> Vec<(Kind, Level, String)> {
    let mut found = Vec::new();
    // Kilometres per hour, millimetres and centimetres in an hour, degrees that it feels like.
    let limits = [
        (Kind::Storm, hour.gusts, [65.0, 90.0, 118.0], "gusts of", "km/h"),
        (
            Kind::HeavyRain,
            hour.rain,
            [15.0, 25.0, 40.0],
            "precipitation of",
            "mm in an hour",
        ),
        (
            Kind::HeavySnow,
            hour.snow,
            [3.0, 6.0, 10.0],
            "snowfall of",
            "cm in an hour",
        ),
        (Kind::Heat, hour.felt, [32.0, 38.0, 46.0], "heat that feels like", "°C"),
    ];
    for (kind, value, limits, words, unit) in limits {
        if let Some((value, level)) = value.and_then(|value| Some((value, level(value, limits)?))) {
            found.push((kind, level, format!("{words} {value} {unit}")));
        }
    }
    if let Some((felt, level)) = hour
        .felt
        .and_then(|felt| Some((felt, level(-felt, [15.0, 25.0, 40.0])?)))
    {
        found.push((Kind::Cold, level, format!("cold that feels like {felt} °C")));
    }
    if let Some((kind, level, code)) = hour
        .code
        .and_then(|code| coded(code).map(|(kind, level)| (kind, level, code)))
    {
        found.push((kind, level, codes::condition(code).to_owned()));
    }
    found
}

fn level(value: f64, [moderate, severe, extreme]: [f64; 3]) -> Option<Level> {
    match value {
        value if value >= extreme => Some(Level::Extreme),
        value if value >= severe => Some(Level::Severe),
        value if value >= moderate => Some(Level::Moderate),
        _ => None,
    }
}

/// What the WMO's codes say by themselves.
fn coded(code: u8) -> Option<(Kind, Level)> {
    Some(match code {
        45 | 48 => (Kind::Fog, Level::Moderate),
        56 | 66 => (Kind::Ice, Level::Moderate),
        57 | 67 => (Kind::Ice, Level::Severe),
        65 | 82 => (Kind::HeavyRain, Level::Moderate),
        75 | 86 => (Kind::HeavySnow, Level::Moderate),
        95 => (Kind::Thunderstorm, Level::Moderate),
        96 | 99 => (Kind::Thunderstorm, Level::Severe),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(time: &str) -> Dangers {
        Dangers {
            time: time.to_owned(),
            code: Some(1),
            gusts: Some(20.0),
            rain: Some(0.0),
            snow: Some(0.0),
            felt: Some(15.0),
        }
    }

    #[test]
    fn calm_weather_gives_no_alert() {
        assert!(derived(&[hour("10:00"), hour("11:00")]).is_empty());
    }

    #[test]
    fn a_danger_of_many_hours_is_one_alert_at_its_worst() {
        let gusts = |time, gusts| Dangers {
            gusts: Some(gusts),
            ..hour(time)
        };
        let thunder = Dangers {
            code: Some(95),
            ..hour("10:00")
        };
        let alerts = derived(&[
            thunder,
            gusts("11:00", 70.0),
            gusts("12:00", 119.0),
            gusts("13:00", 66.0),
            hour("14:00"),
        ]);
        let storm = Alert {
            kind: Kind::Storm,
            level: Level::Extreme,
            from: "11:00".to_owned(),
            until: "13:00".to_owned(),
            because: "gusts of 119 km/h".to_owned(),
        };
        assert_eq!(alerts[0], storm);
        assert_eq!((alerts[1].kind, alerts[1].level), (Kind::Thunderstorm, Level::Moderate));
        assert_eq!(alerts.len(), 2);
    }

    #[test]
    fn each_limit_begins_where_it_says() {
        for (felt, expected) in [
            (31.9, None),
            (32.0, Some((Kind::Heat, Level::Moderate))),
            (46.0, Some((Kind::Heat, Level::Extreme))),
            (-14.9, None),
            (-15.0, Some((Kind::Cold, Level::Moderate))),
            (-25.0, Some((Kind::Cold, Level::Severe))),
        ] {
            let felt_hour = Dangers {
                felt: Some(felt),
                ..hour("10:00")
            };
            let found = dangers_of(&felt_hour).first().map(|(kind, level, _)| (*kind, *level));
            assert_eq!(found, expected, "{felt}");
        }
    }
}
