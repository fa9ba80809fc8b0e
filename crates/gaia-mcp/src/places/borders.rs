//! In which country a point lies, and how far it is to the next border or coast.

use std::sync::LazyLock;

use super::{Point, decode, decode::Reader, sphere};

/// South of this there is nothing else, and no line around the pole that a point could be held against.
const ONLY_ANTARCTICA: f64 = -84.0;

/// The borders of all countries. Neighbours share their arcs, so no gap opens between them.
pub(crate) struct Borders {
    points: Vec<(i32, i32)>,
    /// Where each arc's points end; it begins where the one before ends.
    ends: Vec<u32>,
    polygons: Vec<Polygon>,
}

struct Polygon {
    country: [u8; 2],
    /// Arcs of the outline and of the holes. Which is which does not matter to whether a point is inside.
    arcs: Vec<u32>,
    least: (i32, i32),
    most: (i32, i32),
}

static BORDERS: LazyLock<Borders> = LazyLock::new(|| decode::borders(Borders::read));

impl Borders {
    pub(crate) fn open() -> &'static Self {
        &BORDERS
    }

    fn read(mut arcs: Reader<'_>, mut countries: Reader<'_>) -> Self {
        let mut borders = Self {
            points: Vec::new(),
            ends: Vec::new(),
            polygons: Vec::new(),
        };
        for _ in 0..arcs.size() {
            let mut here = (0, 0);
            for _ in 0..arcs.size() {
                here = (here.0 + arcs.signed(), here.1 + arcs.signed());
                borders.points.push(here);
            }
            borders
                .ends
                .push(u32::try_from(borders.points.len()).unwrap_or(u32::MAX));
        }
        for _ in 0..countries.size() {
            let code = countries.bytes(2).try_into().unwrap_or_default();
            for _ in 0..countries.size() {
                let polygon = borders.polygon(code, &mut countries);
                borders.polygons.push(polygon);
            }
        }
        borders
    }

    fn polygon(&self, country: [u8; 2], countries: &mut Reader<'_>) -> Polygon {
        let mut arcs = Vec::new();
        for _ in 0..countries.size() {
            for _ in 0..countries.size() {
                let arc = countries.signed();
                // An arc that is gone along backwards is written as its complement.
                arcs.push((if arc < 0 { !arc } else { arc }).unsigned_abs());
            }
        }
        let points = arcs.iter().flat_map(|arc| self.arc(*arc));
        let (mut least, mut most) = ((i32::MAX, i32::MAX), (i32::MIN, i32::MIN));
        for (x, y) in points {
            least = (least.0.min(*x), least.1.min(*y));
            most = (most.0.max(*x), most.1.max(*y));
        }
        Polygon {
            country,
            arcs,
            least,
            most,
        }
    }

    fn arc(&self, arc: u32) -> &[(i32, i32)] {
        let arc = arc as usize;
        let from = arc.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.points[from as usize..self.ends[arc] as usize]
    }

    /// The ISO code of the country that a point lies in; none at sea.
    pub(crate) fn country_at(&self, point: Point) -> Option<&str> {
        if point.latitude < ONLY_ANTARCTICA {
            return Some("AQ");
        }
        let (x, y) = (point.longitude * decode::SCALE, point.latitude * decode::SCALE);
        let around = self.polygons.iter().filter(|polygon| polygon.may_hold(x, y));
        let holding = around
            .into_iter()
            .find(|polygon| self.crossings(polygon, x, y) % 2 == 1)?;
        str::from_utf8(&holding.country).ok()
    }

    /// How often a line from the point to the east crosses the polygon's lines: an odd number from inside.
    fn crossings(&self, polygon: &Polygon, x: f64, y: f64) -> usize {
        let segments = polygon.arcs.iter().flat_map(|arc| self.arc(*arc).windows(2));
        segments
            .filter(|ends| {
                let [from, to] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
                (from.1 > y) != (to.1 > y) && x < (to.0 - from.0) * (y - from.1) / (to.1 - from.1) + from.0
            })
            .count()
    }

    /// How far the nearest border or coast is, in kilometres. Good to a kilometre or two, as the data is.
    pub(crate) fn kilometres_to_border(&self, point: Point) -> f64 {
        // Near the point the globe is flat: a degree of longitude is shorter by the cosine of the latitude.
        let narrow = point.latitude.to_radians().cos().max(0.01);
        let flat = |(x, y): (i32, i32)| {
            let east = f64::from(x) / decode::SCALE - point.longitude;
            (east, f64::from(y) / decode::SCALE - point.latitude)
        };
        let arcs = (0_u32..).take(self.ends.len()).map(|arc| self.arc(arc));
        let segments = arcs.flat_map(|arc| arc.windows(2)).map(|ends| {
            let (from, to) = (flat(ends[0]), flat(ends[1]));
            // The shorter way round, for both ends alike.
            let near = (from.0 + 540.0).rem_euclid(360.0) - 180.0;
            ((near * narrow, from.1), ((near + to.0 - from.0) * narrow, to.1))
        });
        let square = segments.map(|(from, to)| square_to_segment(from, to));
        square.fold(f64::INFINITY, f64::min).sqrt() / sphere::degrees(1.0)
    }
}

impl Polygon {
    fn may_hold(&self, x: f64, y: f64) -> bool {
        f64::from(self.least.0) <= x
            && x <= f64::from(self.most.0)
            && f64::from(self.least.1) <= y
            && y <= f64::from(self.most.1)
    }
}

/// The square of the distance from the origin to a segment.
fn square_to_segment(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (along_x, along_y) = (to.0 - from.0, to.1 - from.1);
    let length = along_x.mul_add(along_x, along_y * along_y);
    let part = if length > 0.0 {
        -(from.0 * along_x + from.1 * along_y) / length
    } else {
        0.0
    };
    let part = part.clamp(0.0, 1.0);
    let (x, y) = (from.0 + part * along_x, from.1 + part * along_y);
    x.mul_add(x, y * y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_in_the_country_that_they_are_in() {
        for (latitude, longitude, code) in [
            (48.137, 11.575, Some("DE")),
            (43.7384, 7.4246, Some("MC")),
            (43.9424, 12.4578, Some("SM")),
            (-29.3, 28.5, Some("LS")),
            (51.2194, 4.4025, Some("BE")),
            (-18.1416, 178.4419, Some("FJ")),
            (66.0, -171.0, Some("RU")),
            (-85.0, 45.0, Some("AQ")),
            (-80.0, 45.0, Some("AQ")),
            (0.0, 0.0, None),
            (30.0, -40.0, None),
        ] {
            let point = Point::new(latitude, longitude).unwrap();
            assert_eq!(Borders::open().country_at(point), code, "{latitude},{longitude}");
        }
    }

    #[test]
    fn most_of_our_towns_lie_in_their_own_country() {
        let atlas = super::super::Atlas::open();
        let towns = atlas.near(
            Point {
                latitude: 47.0,
                longitude: 10.0,
            },
            300.0,
        );
        let right = towns
            .iter()
            .filter(|(_, town)| Borders::open().country_at(town.point()) == Some(&town.country().code));
        let share = 100 * right.count() / towns.len();
        assert!(towns.len() > 5_000 && share >= 98, "{share} % of {}", towns.len());
    }

    #[test]
    fn borders_are_near_where_they_are_near() {
        let kilometres = |latitude, longitude| Borders::open().kilometres_to_border(Point { latitude, longitude });
        assert!(kilometres(47.5596, 7.5886) < 4.0, "Basel");
        let berlin = kilometres(52.52, 13.405);
        assert!((55.0..75.0).contains(&berlin), "{berlin}");
    }
}
