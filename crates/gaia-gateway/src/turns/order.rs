//! Deltas in their order: each once, none left out.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use gaia_protocol::chat::TurnEvent;

/// How far a client has come.
#[derive(Debug)]
pub(super) struct Order {
    last: u32,
    was_accepted: bool,
    /// The last line that bridged a wait, by its hash: a client that comes back gets it once more.
    bridge: Option<u64>,
    /// The questions that the client was asked.
    asked: BTreeSet<u32>,
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The client gets it.
    Pass,
    /// The client has it already.
    Skip,
    /// Something before it is missing.
    Gap,
}

impl Order {
    /// The client has the deltas up to this number; 0 for none.
    pub(super) fn after(last: u32) -> Self {
        Self {
            last,
            was_accepted: false,
            bridge: None,
            asked: BTreeSet::new(),
        }
    }

    /// The last delta that the client has.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    pub(super) fn take(&mut self, event: &TurnEvent) -> Step {
        match event {
            TurnEvent::Accepted { .. } if std::mem::replace(&mut self.was_accepted, true) => Step::Skip,
            TurnEvent::Delta { number, .. } if *number <= self.last => Step::Skip,
            TurnEvent::Delta { number, .. } if *number - self.last > 1 => Step::Gap,
            TurnEvent::Delta { number, .. } => {
                self.last = *number;
                Step::Pass
            }
            // There is no wait any more that it could bridge.
            TurnEvent::Interim { .. } if self.last > 0 => Step::Skip,
            TurnEvent::Interim { text } => {
                let hash = Some(hash(text));
                if std::mem::replace(&mut self.bridge, hash) == hash {
                    Step::Skip
                } else {
                    Step::Pass
                }
            }
            // A question is repeated until it is answered.
            TurnEvent::Ask(question) if self.asked.insert(question.number) => Step::Pass,
            TurnEvent::Ask(_) => Step::Skip,
            TurnEvent::Accepted { .. } | TurnEvent::Tool(_) | TurnEvent::Alive {} | TurnEvent::Final { .. } => {
                Step::Pass
            }
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use gaia_names::TurnId;

    use super::*;

    fn delta(number: u32) -> TurnEvent {
        TurnEvent::Delta {
            number,
            text: "word ".to_owned(),
        }
    }

    #[test]
    fn deltas_pass_once_and_a_gap_is_seen() {
        let mut order = Order::after(0);
        assert_eq!(order.take(&delta(1)), Step::Pass);
        assert_eq!(order.take(&delta(1)), Step::Skip);
        assert_eq!(order.take(&delta(3)), Step::Gap);
        assert_eq!(order.last(), 1);
        for number in [1, 2, 3, 4] {
            let expected = if number == 1 { Step::Skip } else { Step::Pass };
            assert_eq!(order.take(&delta(number)), expected, "{number}");
        }
    }

    #[test]
    fn whoever_comes_back_gets_only_what_is_new() {
        let mut order = Order::after(7);
        assert_eq!(order.take(&delta(7)), Step::Skip);
        assert_eq!(order.take(&delta(9)), Step::Gap);
        assert_eq!(order.take(&delta(8)), Step::Pass);
    }

    #[test]
    fn a_number_at_the_end_of_the_range_is_no_panic() {
        let mut order = Order::after(u32::MAX);
        assert_eq!(order.take(&delta(u32::MAX)), Step::Skip);
        assert_eq!(order.take(&delta(1)), Step::Skip);
    }

    #[test]
    fn a_line_bridges_a_wait_once_and_only_while_there_is_one() {
        let interim = TurnEvent::Interim { text: "Hm.".to_owned() };
        let mut order = Order::after(0);
        assert_eq!(order.take(&interim), Step::Pass);
        assert_eq!(order.take(&interim), Step::Skip);
        let closing = TurnEvent::Interim {
            text: "Later.".to_owned(),
        };
        assert_eq!(order.take(&closing), Step::Pass, "another wait, another line");
        assert_eq!(Order::after(1).take(&interim), Step::Skip);
    }

    #[test]
    fn a_turn_is_accepted_once() {
        let accepted = TurnEvent::Accepted {
            turn: TurnId::fresh(),
            sequence: 1,
        };
        let mut order = Order::after(0);
        assert_eq!(order.take(&accepted), Step::Pass);
        assert_eq!(order.take(&accepted), Step::Skip);
    }
}
