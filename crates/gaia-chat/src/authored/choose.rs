//! Which line of a topic is said: one that can be, and not the one just said.

use gaia_protocol::bundle::slots;
use gaia_tools::ToolAnswer;

use super::lines::{Kind, Lines, Topic};
use crate::replies::Question;

/// How long what a tool answered may be in a line, in bytes.
const LONGEST_PART: usize = 200;

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

/// What is known for the slots of lines.
#[derive(Clone, Copy, Default)]
pub(super) struct Known<'k> {
    /// The player's name.
    pub(super) name: Option<&'k str>,
    /// What the player said before.
    pub(super) earlier: Option<&'k str>,
    /// What the tool of the best topic answered.
    pub(super) answer: Option<&'k ToolAnswer>,
}

/// The line's id and the line, filled in.
pub(super) fn choose(
    lines: &Lines,
    ranked: &[usize],
    question: &Question,
    known: Known<'_>,
    purpose: Purpose,
) -> (String, String) {
    let said = Said::of(question);
    let seed = question.turn.0.as_u128();
    let found = ranked.iter().map(|topic| &lines.topics[*topic]);
    let topics: Vec<_> = match purpose {
        Purpose::Meanwhile => {
            let of_topics = found.filter_map(|topic| topic.meanwhile.map(|index| &lines.topics[index]));
            of_topics.chain(of_kind(lines, Kind::Meanwhile)).collect()
        }
        Purpose::Answer => {
            let answers = found.flat_map(|topic| instead(lines, topic, known.earlier));
            answers.chain(of_kind(lines, Kind::Fallback)).collect()
        }
        Purpose::Closing => {
            let answers = found.flat_map(|topic| instead(lines, topic, known.earlier));
            let answers = answers.filter(|topic| topic.kind != Kind::Fallback);
            answers.chain(of_kind(lines, Kind::Closing)).collect()
        }
    };
    for (place, topic) in topics.iter().enumerate() {
        // The answer is that of the best topic's tool, and says nothing of what else the message may mean.
        let answer = known.answer.filter(|_| place == 0);
        if let Some(chosen) = pick(topic, &said, Known { answer, ..known }, seed) {
            return chosen;
        }
    }
    // Every line that fits was the last one said. Any other that answers nothing in particular is better than an echo,
    // and an echo better than nothing.
    let name_alone = Known {
        name: known.name,
        ..Known::default()
    };
    let plain = of_kind(lines, Kind::Fallback).find_map(|topic| pick(topic, &said, name_alone, seed));
    let any = || lines.topics.iter().filter(|topic| topic.kind.may_answer());
    plain
        .or_else(|| any().find_map(|topic| pick(topic, &said, name_alone, seed)))
        .or_else(|| any().find_map(|topic| pick(topic, &Said::default(), name_alone, seed)))
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

fn pick(topic: &Topic, said: &Said<'_>, known: Known<'_>, seed: u128) -> Option<(String, String)> {
    let id = |index: usize| format!("{}.{index}", topic.name);
    let fillable = (0..topic.say.len()).filter(|index| known.fills(&topic.say[*index]));
    let (telling, plain): (Vec<_>, Vec<_>) = fillable.partition(|index| tells_answer(&topic.say[*index]));
    let fresh = |lines: &[usize]| {
        let lines = lines.iter().copied();
        lines
            .filter(|index| !said.last.contains(&id(*index)))
            .collect::<Vec<_>>()
    };
    // Once the tool has answered, only what tells the answer is true, and it is worth saying again.
    let possible = match fresh(&telling) {
        none if none.is_empty() && telling.is_empty() => fresh(&plain),
        none if none.is_empty() => telling,
        fresh => fresh,
    };
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
    Some((id(index), known.filled(&topic.say[index])))
}

impl Known<'_> {
    /// What a slot stands for. The outer one is none where it is no slot, the inner where that is not known.
    fn value(&self, slot: &str) -> Option<Option<String>> {
        match slot {
            slots::PLAYER => Some(self.name.map(str::to_owned)),
            slots::EARLIER => Some(self.earlier.map(str::to_owned)),
            _ => {
                let path = slots::answer_path(slot)?;
                Some(self.answer.and_then(|answer| answer.part(&path, LONGEST_PART)))
            }
        }
    }

    /// Whether all slots of a line can be filled.
    fn fills(&self, line: &str) -> bool {
        slots::in_line(line).all(|slot| self.value(slot) != Some(None))
    }

    /// In one pass, so that what others said is never taken for a slot.
    fn filled(&self, line: &str) -> String {
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(open) = rest.find('{') {
            filled.push_str(&rest[..open]);
            rest = &rest[open..];
            let slot = slots::in_line(rest).next().unwrap_or_default();
            match self.value(slot) {
                Some(value) => {
                    filled.push_str(&value.unwrap_or_default());
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
}

fn tells_answer(line: &str) -> bool {
    slots::in_line(line).any(|slot| slots::answer_path(slot).is_some())
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
        let known = Known {
            name: Some("Ada"),
            earlier: Some("{player}"),
            answer: None,
        };
        assert_eq!(known.filled("{player}: \"{earlier}\" {x}"), "Ada: \"{player}\" {x}");
        assert_eq!(known.filled("a { b {player}"), "a { b Ada");
    }

    #[test]
    fn a_line_with_a_name_waits_for_the_name() {
        let lines = Lines::of(&persona("keeper"));
        let given = topic(&lines, "name_given");
        let pick = |topic, name| {
            let known = Known {
                name,
                ..Known::default()
            };
            pick(topic, &Said::default(), known, 1)
        };
        assert!(pick(given, None).is_none());
        assert!(pick(given, Some("Ada")).unwrap().1.contains("Ada"));
        assert!(pick(topic(&lines, "recall"), None).is_none());
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
            let (id, _) = pick(fallback, &said, Known::default(), seed * 7).unwrap();
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
