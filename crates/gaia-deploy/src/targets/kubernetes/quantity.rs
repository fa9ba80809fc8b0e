//! Amounts as Kubernetes gives them back, so that what was applied can be told from what was changed.

/// Bytes, in the largest binary unit without a fraction: `1Gi`, `1536Mi`.
pub(crate) fn of_bytes(bytes: u64) -> String {
    let units = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount > 0 && amount.is_multiple_of(1024) && unit + 1 < units.len() {
        amount /= 1024;
        unit += 1;
    }
    format!("{amount}{}", units[unit])
}

/// Thousandths of a core: `500m`, or `2` for whole ones.
pub(crate) fn of_millicores(millicores: u64) -> String {
    match millicores % 1000 {
        0 => whole(millicores / 1000),
        _ => format!("{millicores}m"),
    }
}

/// A whole number, thousands as `k`.
fn whole(number: u64) -> String {
    match number {
        0 => "0".to_owned(),
        _ if number.is_multiple_of(1_000) => format!("{}k", number / 1_000),
        _ => number.to_string(),
    }
}

/// An amount in thousandths of its unit; none for what cannot be read.
pub(crate) fn thousandths(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 12] = [
        ("Ki", 1_000 << 10),
        ("Mi", 1_000 << 20),
        ("Gi", 1_000 << 30),
        ("Ti", 1_000 << 40),
        ("Pi", 1_000 << 50),
        ("m", 1),
        ("k", 1_000_000),
        ("M", 1_000_000_000),
        ("G", 1_000_000_000_000),
        ("T", 1_000_000_000_000_000),
        ("P", 1_000_000_000_000_000_000),
        ("", 1_000),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    match number.split_once('.') {
        None => number.parse::<u128>().ok()?.checked_mul(*unit),
        Some((whole, part)) => {
            let digits = u32::try_from(part.len()).ok().filter(|digits| *digits <= 9)?;
            let part = part.parse::<u128>().ok()?.checked_mul(*unit)? / 10_u128.pow(digits);
            whole.parse::<u128>().ok()?.checked_mul(*unit)?.checked_add(part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_api_server_writes_them() {
        assert_eq!(of_bytes(1 << 30), "1Gi");
        assert_eq!(of_bytes(1536 << 20), "1536Mi");
        assert_eq!(of_bytes(1000), "1000");
        assert_eq!(
            (of_millicores(500), of_millicores(2000)),
            ("500m".to_owned(), "2".to_owned())
        );
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (text, thousandths_of_it) in [
            ("500m", 500),
            ("2", 2_000),
            ("1.5", 1_500),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
        ] {
            assert_eq!(thousandths(text), Some(thousandths_of_it), "{text}");
        }
        for text in ["", "a lot", "1.2.3", "-1", "1e3x"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
