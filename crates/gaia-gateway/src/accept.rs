//! Which form of an answer a client asked for (RFC 9110, section 12.5.1).

/// The best of the offered media types, or none if the client takes none of them. Without a header, and where the
/// client likes several equally, it is the first that is offered.
pub(crate) fn choose<'a>(accept: Option<&str>, offered: &[&'a str]) -> Option<&'a str> {
    let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else {
        return offered.first().copied();
    };
    let mut best: Option<(u16, &'a str)> = None;
    for &form in offered {
        let weight = weight(accept, form);
        if weight > 0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, form));
        }
    }
    best.map(|(_, form)| form)
}

/// How much the most specific range that fits says of a media type, in thousandths.
fn weight(accept: &str, form: &str) -> u16 {
    let family = form.split('/').next().unwrap_or_default();
    let mut found = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let exactness = match name.split_once('/') {
            _ if name.eq_ignore_ascii_case(form) => 3,
            Some((kind, "*")) if kind.eq_ignore_ascii_case(family) => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        let quality = parts
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .map_or(1_000, |(_, value)| thousandths(value.trim()));
        if exactness > found.0 {
            found = (exactness, quality);
        }
    }
    found.1
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is clamped to 0..=1000 before"
)]
fn thousandths(text: &str) -> u16 {
    // What cannot be read counts as "yes", as most servers do.
    (text.parse::<f32>().unwrap_or(1.0).clamp(0.0, 1.0) * 1_000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[&str] = &["application/json", "text/event-stream"];

    #[test]
    fn the_best_form_that_the_client_takes_is_chosen() {
        for (accept, chosen) in [
            (None, Some("application/json")),
            (Some(""), Some("application/json")),
            (Some("*/*"), Some("application/json")),
            (Some("text/event-stream"), Some("text/event-stream")),
            (Some("Text/Event-Stream, */*;q=0.1"), Some("text/event-stream")),
            (Some("application/json, text/event-stream"), Some("application/json")),
            (Some("application/json;q=0.5, text/*"), Some("text/event-stream")),
            (
                Some("application/*; q=0, text/event-stream;q=0.2"),
                Some("text/event-stream"),
            ),
            (Some("text/html"), None),
            (Some("*/*;q=0"), None),
            (Some("application/json;q=0"), None),
            (Some("application/json;q=NaN-ish"), Some("application/json")),
            (Some(",;,/"), None),
        ] {
            assert_eq!(choose(accept, BOTH), chosen, "{accept:?}");
        }
    }
}
