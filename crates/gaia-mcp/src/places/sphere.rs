//! Points on the globe and distances between them.

/// The mean radius of the Earth, in kilometres. A sphere is within 0.6 % of the ellipsoid.
const RADIUS: f64 = 6_371.008_8;

/// A point on the globe, in degrees, north and east positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

impl Point {
    /// A point, if both numbers are on the globe.
    pub(crate) fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let fits = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        fits.then_some(Self { latitude, longitude })
    }

    /// `48.137,11.575`, `48.137 11.575` or `48.137, 11.575`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split([',', ' ', ';']).filter(|part| !part.is_empty());
        let (latitude, longitude) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then(|| Self::new(latitude, longitude)).flatten()
    }

    /// The way as the crow flies.
    pub(crate) fn kilometres_to(self, other: Self) -> f64 {
        let (north, east) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let chord = half(east - north) + north.cos() * east.cos() * half(across);
        2.0 * RADIUS * chord.sqrt().min(1.0).asin()
    }

    /// In which direction the other lies, in degrees clockwise from north.
    pub(crate) fn bearing_to(self, other: Self) -> f64 {
        let (here, there) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let east = across.sin() * there.cos();
        let north = here.cos() * there.sin() - here.sin() * there.cos() * across.cos();
        east.atan2(north).to_degrees().rem_euclid(360.0)
    }
}

/// How many degrees of latitude a distance spans.
pub(crate) fn degrees(kilometres: f64) -> f64 {
    (kilometres / RADIUS).to_degrees()
}

/// A direction in words.
pub(crate) fn compass(bearing: f64) -> &'static str {
    const WORDS: [&str; 8] = [
        "north",
        "north-east",
        "east",
        "south-east",
        "south",
        "south-west",
        "west",
        "north-west",
    ];
    let limits = (0..8).map(|eighth| 22.5 + 45.0 * f64::from(eighth));
    limits
        .zip(WORDS)
        .find(|(limit, _)| bearing < *limit)
        .map_or("north", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Point = Point {
        latitude: 52.52,
        longitude: 13.405,
    };
    const SYDNEY: Point = Point {
        latitude: -33.869,
        longitude: 151.209,
    };

    #[test]
    fn distances_and_directions_are_those_of_the_globe() {
        let distance = BERLIN.kilometres_to(SYDNEY);
        assert!((16_080.0..16_110.0).contains(&distance), "{distance}");
        assert!(BERLIN.kilometres_to(BERLIN) < 1e-6);
        let across_the_date_line = Point {
            latitude: 0.0,
            longitude: 179.5,
        };
        let other = Point {
            latitude: 0.0,
            longitude: -179.5,
        };
        assert!((across_the_date_line.kilometres_to(other) - 111.2).abs() < 0.5);
        assert_eq!(compass(across_the_date_line.bearing_to(other)), "east");
        assert_eq!(compass(359.0), "north");
        assert_eq!(compass(225.0), "south-west");
    }

    #[test]
    fn only_points_on_the_globe_are_read() {
        assert_eq!(Point::parse("52.52,13.405"), Some(BERLIN));
        assert_eq!(Point::parse(" 52.52,  13.405 "), Some(BERLIN));
        for text in ["91,0", "0,181", "NaN,0", "inf,1", "1", "1,2,3", "Berlin", ""] {
            assert_eq!(Point::parse(text), None, "{text}");
        }
    }
}
