//! Which point a place's name means: our own atlas first, then Open-Meteo's search, which knows villages and sights.

use std::time::Duration;

use gaia_names::Secret;
use reqwest::Client;
use serde::Deserialize;
use url::Url;

use super::open_meteo::{self, Fault};
use crate::{
    cache::Cache,
    location::PlaceName,
    places::{Atlas, Point, Spot},
    server::Refusal,
};

const MOST_KEPT: usize = 1024;
/// Places do not move.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) struct Places {
    client: Client,
    base: Url,
    key: Option<Secret>,
    found: Cache<String, Option<Spot>, Fault>,
}

#[derive(Deserialize)]
struct Found {
    /// Absent where nothing was found.
    #[serde(default)]
    results: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    name: String,
    latitude: f64,
    longitude: f64,
    admin1: Option<String>,
    country: Option<String>,
    country_code: Option<String>,
    timezone: Option<String>,
}

impl Places {
    pub(super) fn new(client: Client, base: Url, key: Option<Secret>) -> Self {
        Self {
            client,
            base,
            key,
            found: Cache::new(MOST_KEPT, FRESH, FRESH),
        }
    }

    pub(super) async fn spot(&self, name: &PlaceName) -> Result<Spot, Refusal> {
        let text = name.text()?;
        let unknown = match Atlas::open().spot(text) {
            Ok(spot) => return Ok(spot),
            Err(unknown) => unknown,
        };
        let key = text.to_lowercase();
        match self.found.get(&key, || self.search(text)).await {
            Ok(found) => found.value.ok_or_else(|| Refusal::new(unknown.to_string())),
            // That the search is down does not matter to somebody who misspelt a city.
            Err(fault) => Err(Refusal::new(format!(
                "{unknown} (The search for smaller places failed: {fault}.)"
            ))),
        }
    }

    async fn search(&self, text: &str) -> Result<Option<Spot>, Fault> {
        // The search knows only names; what stands behind a comma chooses among what it finds.
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default().to_owned();
        let within: Vec<_> = parts.map(crate::places::fold).collect();
        let query = [
            ("name", name),
            ("count", "10".to_owned()),
            ("language", "en".to_owned()),
            ("format", "json".to_owned()),
        ];
        let found: Found = open_meteo::ask(&self.client, &self.base, "v1/search", &query, self.key.as_ref()).await?;
        let mut fitting = found
            .results
            .into_iter()
            .filter(|place| within.iter().all(|word| place.is_in(word)));
        Ok(fitting.find_map(Place::into_spot))
    }
}

impl Place {
    fn is_in(&self, folded: &str) -> bool {
        let words = [&self.admin1, &self.country, &self.country_code];
        words
            .into_iter()
            .flatten()
            .any(|word| crate::places::fold(word) == folded)
    }

    fn into_spot(self) -> Option<Spot> {
        let point = Point::new(self.latitude, self.longitude)?;
        Some(Spot {
            name: short(&self.name),
            region: self.admin1.as_deref().map(short),
            country: self.country.as_deref().map(short),
            country_code: self.country_code.as_deref().map(short),
            latitude: point.latitude,
            longitude: point.longitude,
            time_zone: self.timezone.as_deref().map_or("UTC".to_owned(), short),
            namesakes: Vec::new(),
        })
    }
}

/// Somebody else's text, short and on one line.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(100).collect()
}
