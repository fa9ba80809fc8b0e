//! Reads what `data/derive.py` wrote into this program.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{Atlas, Country, Group, Row, names::Names};

/// Steps of a degree.
pub(super) const SCALE: f64 = 1_000.0;

const PLACES: &[u8] = include_bytes!("../../data/places.gz");
const BORDERS: &[u8] = include_bytes!("../../data/borders.gz");

/// A piece of the atlas's text.
#[derive(Clone, Copy)]
pub(super) struct Span {
    from: u32,
    length: u16,
}

impl Span {
    pub(super) fn of(self, text: &str) -> &str {
        let from = self.from as usize;
        &text[from..from + usize::from(self.length)]
    }
}

/// Bytes that are read from the front. They are part of the program, so what is missing reads as zero and a test, not
/// a caller, finds it.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn varint(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let [byte, rest @ ..] = self.0 else { return number };
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    pub(super) fn size(&mut self) -> usize {
        usize::try_from(self.varint()).unwrap_or_default()
    }

    pub(super) fn signed(&mut self) -> i32 {
        let coded = self.varint();
        let half = i32::try_from(coded >> 1).unwrap_or_default();
        if coded & 1 == 0 { half } else { -half - 1 }
    }

    pub(super) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn section(&mut self) -> Reader<'a> {
        let length = self.size();
        Reader(self.bytes(length))
    }

    fn rest(self) -> &'a str {
        str::from_utf8(self.0).unwrap_or_default()
    }
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut whole)
        .expect("the data is part of this program");
    whole
}

/// Runs with the borders' two sections: arcs, then countries.
pub(super) fn borders<T>(read: impl FnOnce(Reader<'_>, Reader<'_>) -> T) -> T {
    let whole = unpacked(BORDERS);
    let mut reader = Reader(&whole);
    let arcs = reader.section();
    let countries = reader.section();
    read(arcs, countries)
}

/// All names end up in one text, to which the rows point.
struct Texts(String);

impl Texts {
    fn keep(&mut self, text: &str) -> Span {
        let from = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let length = u16::try_from(text.len()).unwrap_or_default();
        self.0.push_str(&text[..usize::from(length)]);
        Span { from, length }
    }
}

impl Atlas {
    pub(super) fn load() -> Self {
        let whole = unpacked(PLACES);
        let mut reader = Reader(&whole);
        let countries = countries(reader.section().rest());
        let (groups, sizes) = groups(reader.section().rest(), &countries);
        let mut texts = Texts(String::with_capacity(whole.len()));
        let zones = reader.section().rest().lines().map(|zone| texts.keep(zone)).collect();
        let names = reader.section().rest();
        let [mut latitudes, mut longitudes, mut populations, mut zone_numbers] =
            std::array::from_fn(|_| reader.section());
        let mut aliases = reader.section().rest().lines();
        let of_rows = sizes.iter().enumerate();
        let of_rows =
            of_rows.flat_map(|(group, size)| std::iter::repeat_n(u16::try_from(group).unwrap_or_default(), *size));
        let (mut latitude, mut longitude) = (0, 0);
        let rows: Vec<Row> = names
            .lines()
            .zip(of_rows)
            .map(|(name, group)| {
                latitude += latitudes.signed();
                longitude += longitudes.signed();
                let population = u32::try_from(populations.varint()).unwrap_or_default();
                let other = if population < LEAST_POPULATION_WITH_ALIASES {
                    None
                } else {
                    aliases.next()
                };
                Row {
                    name: texts.keep(name),
                    aliases: texts.keep(other.unwrap_or_default()),
                    latitude,
                    longitude,
                    population,
                    zone: u16::try_from(zone_numbers.varint()).unwrap_or_default(),
                    group,
                }
            })
            .collect();
        let mut by_latitude: Vec<u32> = (0..).take(rows.len()).collect();
        by_latitude.sort_by_key(|number| rows[*number as usize].latitude);
        let text = texts.0;
        let names = Names::of(rows.iter().map(|row| (row.name.of(&text), row.aliases.of(&text))));
        Self {
            text,
            rows,
            by_latitude,
            groups,
            zones,
            countries,
            names,
        }
    }
}

/// As in `data/derive.py`.
const LEAST_POPULATION_WITH_ALIASES: u32 = 50_000;

fn countries(lines: &str) -> Vec<Country> {
    lines
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            let [code, long_code, name, capital, continent, population, area] = cells[..] else {
                return None;
            };
            Some(Country {
                code: code.to_owned(),
                long_code: long_code.to_owned(),
                name: name.to_owned(),
                capital: capital.to_owned(),
                continent: continent_named(continent).to_owned(),
                population: population.parse().unwrap_or_default(),
                square_kilometres: area.parse().unwrap_or_default(),
            })
        })
        .collect()
}

fn continent_named(code: &str) -> &str {
    match code {
        "AF" => "Africa",
        "AN" => "Antarctica",
        "AS" => "Asia",
        "EU" => "Europe",
        "NA" => "North America",
        "OC" => "Oceania",
        "SA" => "South America",
        other => other,
    }
}

/// The regions, and how many places each has.
fn groups(lines: &str, countries: &[Country]) -> (Vec<Group>, Vec<usize>) {
    lines
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('\t');
            let (code, name, size) = (cells.next()?, cells.next()?, cells.next()?);
            let (country, code) = code.split_once('.')?;
            let country = countries.iter().position(|known| known.code == country)?;
            let group = Group {
                country: u16::try_from(country).ok()?,
                code: code.to_owned(),
                name: name.to_owned(),
            };
            Some((group, size.parse::<usize>().ok()?))
        })
        .unzip()
}
