//! Where the next page of a list begins, as a text that callers hand back unread.

use chrono::{DateTime, Utc};
use gaia_protocol::{ErrorCode, Fault, chat::LARGEST_PAGE};
use uuid::Uuid;

/// Longer than any that we make.
const LONGEST: usize = 64;

/// After a conversation in the player's list.
pub(crate) fn after_conversation(updated_at: DateTime<Utc>, id: Uuid) -> String {
    format!("{:x}-{}", updated_at.timestamp_micros(), id.simple())
}

/// Reads what [`after_conversation`] wrote.
pub(crate) fn read_conversation(text: Option<&str>) -> Result<(DateTime<Utc>, Uuid), Fault> {
    // Later than every conversation, so that the first page needs no statement of its own.
    let Some(text) = text else {
        return Ok((
            DateTime::from_timestamp_micros(253_402_300_799_000_000).unwrap_or_default(),
            Uuid::max(),
        ));
    };
    let parts = bounded(text)?.split_once('-').and_then(|(time, id)| {
        let time = DateTime::from_timestamp_micros(i64::from_str_radix(time, 16).ok()?)?;
        // A time that Postgres cannot hold would be an error of ours there.
        (time.timestamp_micros() >= 0 && time.timestamp_micros() <= 253_402_300_799_000_000)
            .then_some((time, Uuid::try_parse(id).ok()?))
    });
    parts.ok_or_else(bad)
}

/// After a turn in its conversation.
pub(crate) fn after_turn(sequence: i64) -> String {
    format!("{sequence:x}")
}

/// Reads what [`after_turn`] wrote.
pub(crate) fn read_turn(text: Option<&str>) -> Result<i64, Fault> {
    let Some(text) = text else { return Ok(i64::MAX) };
    let sequence = i64::from_str_radix(bounded(text)?, 16).map_err(|_| bad())?;
    if sequence > 0 { Ok(sequence) } else { Err(bad()) }
}

/// How many rows a page has, as Postgres counts, with the one that tells whether there are more.
pub(crate) fn rows(limit: u16) -> Result<i64, Fault> {
    if (1..=LARGEST_PAGE).contains(&limit) {
        return Ok(i64::from(limit) + 1);
    }
    Err(Fault::new(
        ErrorCode::InvalidInput,
        format!("`limit` is {limit}; give 1 to {LARGEST_PAGE}."),
    ))
}

fn bounded(text: &str) -> Result<&str, Fault> {
    if text.len() <= LONGEST { Ok(text) } else { Err(bad()) }
}

fn bad() -> Fault {
    Fault::new(
        ErrorCode::InvalidInput,
        "`before` is not a place in this list; use `next` of the page before, or leave it out.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_comes_back_as_it_went() {
        let (time, id) = (Utc::now(), Uuid::now_v7());
        let (again, same) = read_conversation(Some(&after_conversation(time, id))).unwrap();
        assert_eq!((again.timestamp_micros(), same), (time.timestamp_micros(), id));
        assert_eq!(read_turn(Some(&after_turn(77))), Ok(77));
    }

    #[test]
    fn a_place_that_we_never_gave_is_refused() {
        for bad in [
            "",
            "-",
            "x",
            "zz-zz",
            "-1",
            "7fffffffffffffff-00000000000000000000000000000000",
            &"1".repeat(10_000),
        ] {
            assert!(read_conversation(Some(bad)).is_err(), "{bad:.40}");
        }
        for bad in ["", "0", "-5", "ffffffffffffffffff", "💥"] {
            assert!(read_turn(Some(bad)).is_err(), "{bad}");
        }
        assert!(rows(0).is_err() && rows(101).is_err());
        assert_eq!(rows(100), Ok(101));
    }
}
