//! Which line of a topic is said: one that can be, and not the one just said.

use gaia_protocol::bundle::slots;

use super::lines::{Kind, Lines, Topic};
use crate::replies::Question;

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It answers.
    Answer,
    /// It bridges the wait for the answer.
    Meanwhile,
    /// It ends the wait: it answers, if one does, else it closes.
    Closing,
}

/// The line's id and the line, filled in.
pub(super) fn choose(
    lines: &Lines,
    ranked: &[usize],
    question: &Question,
    earlier: Option<&str>,
    purpose: Purpose,
) -> (String, String) {
    let said = Said::of(question);
    let name = question.player_name.as_deref();
    let seed = question.turn.0.as_u128();
    let found = ranked.iter().map(|topic| &lines.topics[*topic]);
    let topics: Vec<_> = match purpose {
        Purpose::Meanwhile => {
            let of_topics = found.filter_map(|topic| topic.meanwhile.map(|index| &lines.topics[index]));
            of_topics.chain(of_kind(lines, Kind::Meanwhile)).collect()
        }
        Purpose::Answer => {
            let answers = found.flat_map(|topic| instead(lines, topic, earlier));
            answers.chain(of_kind(lines, Kind::Fallback)).collect()
        }
        Purpose::Closing => {
            let answers = found.flat_map(|topic| instead(lines, topic, earlier));
            let answers = answers.filter(|topic| topic.kind != Kind::Fallback);
            answers.chain(of_kind(lines, Kind::Closing)).collect()
        }
    };
    for topic in &topics {
        if let Some(chosen) = pick(topic, &said, name, earlier, seed) {
            return chosen;
        }
    }
    // Every line that fits was the last one said. Any other that answers nothing in particular is better than an echo,
    // and an echo better than nothing.
    let plain = of_kind(lines, Kind::Fallback).find_map(|topic| pick(topic, &said, name, None, seed));
    let any = || lines.topics.iter().filter(|topic| topic.kind.may_answer());
    plain
        .or_else(|| any().find_map(|topic| pick(topic, &said, name, None, seed)))
        .or_else(|| any().find_map(|topic| pick(topic, &Said::default(), name, None, seed)))
        .unwrap_or_else(|| ("none.0".to_owned(), "…".to_owned()))
}

/// The topics that speak for a topic: where there is nothing to remember, there is a line for that.
fn instead<'a>(lines: &'a Lines, topic: &'a Topic, earlier: Option<&str>) -> Vec<&'a Topic> {
    match topic.kind {
        Kind::Recall if earlier.is_none() => of_kind(lines, Kind::RecallNothing).collect(),
        _ => vec![topic],
    }
}

fn of_kind(lines: &Lines, kind: Kind) -> impl Iterator<Item = &Topic> {
    lines.topics.iter().filter(move |topic| topic.kind == kind)
}

/// The ids of lines that were said before.
#[derive(Default)]
struct Said<'a> {
    last: &'a [String],
    lately: Vec<&'a String>,
}

impl<'a> Said<'a> {
    fn of(question: &'a Question) -> Self {
        let exchanges = &question.context.exchanges;
        Self {
            last: exchanges.last().map_or(&[], |exchange| &exchange.lines),
            lately: exchanges.iter().flat_map(|exchange| &exchange.lines).collect(),
        }
    }
}

fn pick(
    topic: &Topic,
    said: &Said<'_>,
    name: Option<&str>,
    earlier: Option<&str>,
    seed: u128,
) -> Option<(String, String)> {
    let can_be_said = |line: &str| {
        (name.is_some() || !line.contains(slots::PLAYER)) && (earlier.is_some() || !line.contains(slots::EARLIER))
    };
    let id = |index: usize| format!("{}.{index}", topic.name);
    let possible: Vec<_> = (0..topic.say.len())
        .filter(|index| can_be_said(&topic.say[*index]) && !said.last.contains(&id(*index)))
        .collect();
    // Those not said for longest: never, if there are any.
    let age = |index: &usize| {
        said.lately
            .iter()
            .rev()
            .position(|line| **line == id(*index))
            .unwrap_or(usize::MAX)
    };
    let oldest = possible.iter().map(age).max()?;
    let best: Vec<_> = possible.into_iter().filter(|index| age(index) == oldest).collect();
    let index = best[usize::try_from(seed % best.len() as u128).unwrap_or(0)];
    Some((id(index), filled(&topic.say[index], name, earlier)))
}

/// In one pass, so that what a player said is never taken for a slot.
fn filled(line: &str, name: Option<&str>, earlier: Option<&str>) -> String {
    let mut filled = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let slot = [(slots::PLAYER, name), (slots::EARLIER, earlier)]
            .into_iter()
            .find(|(slot, _)| rest.starts_with(slot));
        match slot {
            Some((slot, value)) => {
                filled.push_str(value.unwrap_or_default());
                rest = &rest[slot.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use gaia_testkit::persona;

    use super::*;

    fn topic<'a>(lines: &'a Lines, name: &str) -> &'a Topic {
        lines.topics.iter().find(|topic| topic.name == name).unwrap()
    }

    #[test]
    fn a_line_is_filled_in_one_pass() {
        assert_eq!(
            filled("{player}: \"{earlier}\" {x}", Some("Ada"), Some("{player}")),
            "Ada: \"{player}\" {x}"
        );
        assert_eq!(filled("a { b", None, None), "a { b");
    }

    #[test]
    fn a_line_with_a_name_waits_for_the_name() {
        let lines = Lines::of(&persona("keeper"));
        let given = topic(&lines, "name_given");
        assert!(pick(given, &Said::default(), None, None, 1).is_none());
        assert!(
            pick(given, &Said::default(), Some("Ada"), None, 1)
                .unwrap()
                .1
                .contains("Ada")
        );
        assert!(pick(topic(&lines, "recall"), &Said::default(), None, None, 1).is_none());
    }

    #[test]
    fn the_line_that_was_not_said_for_longest_is_said() {
        let lines = Lines::of(&persona("keeper"));
        let fallback = topic(&lines, "fallback");
        let mut history: Vec<String> = Vec::new();
        for seed in 0..30_u128 {
            let last: Vec<_> = history.last().cloned().into_iter().collect();
            let said = Said {
                last: &last,
                lately: history.iter().collect(),
            };
            let (id, _) = pick(fallback, &said, None, None, seed * 7).unwrap();
            assert!(
                !history
                    .iter()
                    .rev()
                    .take(fallback.say.len() - 1)
                    .any(|line| *line == id),
                "{history:?} {id}"
            );
            history.push(id);
        }
    }
}
