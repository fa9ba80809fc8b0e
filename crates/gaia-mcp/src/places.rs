//! Places of the world, offline: towns and cities, countries and their borders.
//!
//! The data is from GeoNames (CC BY 4.0) and Natural Earth (public domain); see `data/README.md`.

mod borders;
mod decode;
mod names;
mod sphere;
mod spot;

use std::sync::LazyLock;

pub(crate) use self::{
    borders::Borders,
    names::fold,
    sphere::{Point, compass},
    spot::Spot,
};
use self::{decode::Span, names::Names};

/// Who must be named where the data is shown.
pub(crate) const ATTRIBUTION: &str = "Places: GeoNames (CC BY 4.0)";

/// All places, loaded once.
pub(crate) struct Atlas {
    text: String,
    rows: Vec<Row>,
    /// Indexes of `rows`, from south to north.
    by_latitude: Vec<u32>,
    groups: Vec<Group>,
    zones: Vec<Span>,
    countries: Vec<Country>,
    names: Names,
}

struct Row {
    name: Span,
    aliases: Span,
    latitude: i32,
    longitude: i32,
    population: u32,
    zone: u16,
    group: u16,
}

/// The places of one region of a country.
struct Group {
    country: u16,
    code: String,
    name: String,
}

/// A country.
#[derive(Debug)]
pub(crate) struct Country {
    /// ISO 3166-1, two letters.
    pub(crate) code: String,
    pub(crate) long_code: String,
    pub(crate) name: String,
    pub(crate) capital: String,
    pub(crate) continent: String,
    pub(crate) population: u64,
    pub(crate) square_kilometres: u64,
}

/// A town or city.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    atlas: &'a Atlas,
    row: &'a Row,
}

static ATLAS: LazyLock<Atlas> = LazyLock::new(Atlas::load);

impl Atlas {
    /// The atlas. The first call takes a good part of a second.
    pub(crate) fn open() -> &'static Self {
        &ATLAS
    }

    /// Loads the atlas beside other work, so that the first question need not wait for it.
    pub(crate) fn warm() {
        std::thread::spawn(|| {
            let _ = Self::open();
            let _ = Borders::open();
        });
    }

    fn place(&self, number: u32) -> Option<Place<'_>> {
        let row = self.rows.get(number as usize)?;
        Some(Place { atlas: self, row })
    }

    /// The places within a distance, the nearest first.
    pub(crate) fn near(&self, point: Point, kilometres: f64) -> Vec<(f64, Place<'_>)> {
        let reach = sphere::degrees(kilometres);
        let latitude = |number: &u32| self.rows[*number as usize].point().latitude;
        let from = self
            .by_latitude
            .partition_point(|number| latitude(number) < point.latitude - reach);
        let rest = self.by_latitude[from..].iter();
        let mut found: Vec<_> = rest
            .take_while(|number| latitude(number) <= point.latitude + reach)
            .filter_map(|number| {
                let place = self.place(*number)?;
                let distance = point.kilometres_to(place.point());
                (distance <= kilometres).then_some((distance, place))
            })
            .collect();
        found.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        found
    }

    /// The place nearest to a point, and how far it is. On the open sea that can be far.
    pub(crate) fn nearest(&self, point: Point) -> Option<(f64, Place<'_>)> {
        [20.0, 100.0, 500.0, 2_500.0, 20_100.0]
            .into_iter()
            .find_map(|reach| self.near(point, reach).into_iter().next())
    }

    /// The country with a name or an ISO code.
    pub(crate) fn country(&self, name: &str) -> Option<&Country> {
        let folded = fold(name);
        self.countries.iter().find(|country| country.is(&folded))
    }

    pub(crate) fn country_of_code(&self, code: &str) -> Option<&Country> {
        self.countries.iter().find(|country| country.code == code)
    }
}

impl Country {
    fn is(&self, folded: &str) -> bool {
        fold(&self.code) == folded || fold(&self.long_code) == folded || fold(&self.name) == folded
    }
}

impl Row {
    fn point(&self) -> Point {
        Point {
            latitude: f64::from(self.latitude) / decode::SCALE,
            longitude: f64::from(self.longitude) / decode::SCALE,
        }
    }
}

impl<'a> Place<'a> {
    pub(crate) fn name(self) -> &'a str {
        self.row.name.of(&self.atlas.text)
    }

    /// Other names, in no stated language.
    pub(crate) fn aliases(self) -> impl Iterator<Item = &'a str> {
        let aliases = self.row.aliases.of(&self.atlas.text);
        aliases.split('|').filter(|name| !name.is_empty())
    }

    /// The region's name, where GeoNames has one.
    pub(crate) fn region(self) -> Option<&'a str> {
        Some(self.group().name.as_str()).filter(|name| !name.is_empty())
    }

    pub(crate) fn country(self) -> &'a Country {
        &self.atlas.countries[usize::from(self.group().country)]
    }

    pub(crate) fn point(self) -> Point {
        self.row.point()
    }

    pub(crate) fn population(self) -> u32 {
        self.row.population
    }

    pub(crate) fn time_zone(self) -> &'a str {
        self.atlas.zones[usize::from(self.row.zone)].of(&self.atlas.text)
    }

    /// `Paris, Texas, United States`.
    pub(crate) fn label(self) -> String {
        let parts = [Some(self.name()), self.region(), Some(self.country().name.as_str())];
        let mut parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.dedup();
        parts.join(", ")
    }

    fn group(self) -> &'a Group {
        &self.atlas.groups[usize::from(self.row.group)]
    }

    /// Whether it lies in what a word names: a country or a region, by name or code.
    fn is_in(self, folded: &str) -> bool {
        let group = self.group();
        self.country().is(folded) || fold(&group.name) == folded || fold(&group.code) == folded
    }
}
