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
}
