//! The calls of tools that a model asks for, put together from the pieces in which they arrive.

use super::{models::RouteFault, tools::WantedCall};

/// How many calls one answer may ask for.
const MOST: usize = 32;
/// How many bytes of arguments one answer may have.
const MOST_BYTES: usize = 64 * 1024;

/// A piece of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CallPiece {
    /// Which call of the answer it belongs to.
    pub(super) index: u32,
    /// The vendor's name for the call, with its first piece. Some vendors give all calls the same index.
    pub(super) id: Option<String>,
    /// The tool's wire name, with its first piece.
    pub(super) name: Option<String>,
    /// More of the arguments' JSON.
    pub(super) arguments: String,
}

/// The calls so far.
#[derive(Default)]
pub(super) struct WantedCalls {
    calls: Vec<(u32, Option<String>, WantedCall)>,
    bytes: usize,
}

impl WantedCalls {
    /// Takes in more.
    ///
    /// # Errors
    ///
    /// `TooLarge` for more than any sensible answer asks for; `Garbage` for a piece of a call that never began.
    pub(super) fn add(&mut self, piece: CallPiece) -> Result<(), RouteFault> {
        self.bytes += piece.arguments.len() + piece.name.as_ref().map_or(0, String::len);
        if self.bytes > MOST_BYTES {
            return Err(RouteFault::TooLarge);
        }
        let goes_on = |(index, id, _): &&mut (u32, Option<String>, WantedCall)| {
            *index == piece.index && (piece.id.is_none() || *id == piece.id)
        };
        if let Some((_, _, call)) = self.calls.iter_mut().rev().find(goes_on) {
            call.arguments.push_str(&piece.arguments);
            return Ok(());
        }
        let name = piece.name.ok_or(RouteFault::Garbage)?;
        if self.calls.len() == MOST {
            return Err(RouteFault::TooLarge);
        }
        let arguments = piece.arguments;
        self.calls.push((piece.index, piece.id, WantedCall { name, arguments }));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn into_calls(self) -> Vec<WantedCall> {
        self.calls.into_iter().map(|(_, _, call)| call).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(index: u32, id: Option<&str>, arguments: &str) -> CallPiece {
        CallPiece {
            index,
            id: id.map(str::to_owned),
            name: id.map(|id| format!("tool_{id}")),
            arguments: arguments.to_owned(),
        }
    }

    fn put_together(pieces: &[CallPiece]) -> Result<Vec<(String, String)>, RouteFault> {
        let mut wanted = WantedCalls::default();
        for piece in pieces {
            wanted.add(piece.clone())?;
        }
        Ok(wanted
            .into_calls()
            .into_iter()
            .map(|call| (call.name, call.arguments))
            .collect())
    }

    #[test]
    fn calls_come_in_pieces_side_by_side_or_one_after_the_other() {
        let pieces = [
            piece(0, Some("a"), ""),
            piece(1, Some("b"), "{"),
            piece(0, None, "{\"x\":"),
            piece(1, None, "}"),
            piece(0, None, "1}"),
        ];
        let expected = [("tool_a", "{\"x\":1}"), ("tool_b", "{}")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(put_together(&pieces).unwrap(), expected);
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_their_ids() {
        let calls = put_together(&[piece(0, Some("a"), "{}"), piece(0, Some("b"), "{}")]).unwrap();
        assert_eq!(calls.len(), 2);
    }

    #[test]
    fn a_flood_of_calls_and_a_call_without_a_beginning_are_refused() {
        assert!(matches!(
            put_together(&[piece(0, None, "{}")]),
            Err(RouteFault::Garbage)
        ));
        let flood: Vec<_> = (0..40).map(|index| piece(index, Some("a"), "{}")).collect();
        assert!(matches!(put_together(&flood), Err(RouteFault::TooLarge)));
        let huge = piece(0, Some("a"), &"x".repeat(MOST_BYTES));
        assert!(matches!(put_together(&[huge]), Err(RouteFault::TooLarge)));
    }
}
