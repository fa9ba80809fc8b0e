//! Comparing meanings.

use super::{
    inference::Vector,
    lines::{Kind, Lines},
};

/// The least likeness of a message and a way of asking.
const THRESHOLD: f32 = 0.45;
/// How much the second-best way of asking counts.
const SECOND: f32 = 0.2;
/// What a pleasantry loses where a message has other sentences.
const COURTESY: f32 = 0.3;
/// The first byte of a packed vector: all-MiniLM-L6-v2, scaled to its largest dimension.
const PACKED: u8 = 1;

/// The topics that a message may be about, best first. The first vector is the whole message's, the others its
/// sentences'.
pub(super) fn rank(lines: &Lines, whens: &[Vector], message: &[Vector]) -> Vec<usize> {
    let mut best = vec![(f32::MIN, 0.0_f32); lines.topics.len()];
    for vector in message {
        for (topic, (top, score)) in scores(lines, whens, vector).into_iter().enumerate() {
            if top > best[topic].0 {
                best[topic] = (top, score);
            }
        }
    }
    let mut ranked: Vec<_> = best
        .iter()
        .enumerate()
        .filter(|(_, (top, _))| *top >= THRESHOLD)
        .map(|(topic, (_, score))| {
            let is_aside = message.len() > 1 && matches!(lines.topics[topic].kind, Kind::Courtesy | Kind::NameGiven);
            (topic, if is_aside { score - COURTESY } else { *score })
        })
        .collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    ranked.into_iter().map(|(topic, _)| topic).collect()
}

/// For each topic the likeness to its best way of asking, and the score that also counts the second-best.
fn scores(lines: &Lines, whens: &[Vector], vector: &Vector) -> Vec<(f32, f32)> {
    let mut two = vec![(f32::MIN, f32::MIN); lines.topics.len()];
    for (when, meaning) in lines.whens.iter().zip(whens) {
        let likeness = likeness(meaning, vector);
        let (first, second) = &mut two[when.topic];
        if likeness > *first {
            (*first, *second) = (likeness, *first);
        } else if likeness > *second {
            *second = likeness;
        }
    }
    two.into_iter()
        .map(|(first, second)| {
            let second = if second == f32::MIN { first } else { second };
            (first, (1.0 - SECOND) * first + SECOND * second)
        })
        .collect()
}

/// The cosine of two vectors of length one.
pub(super) fn likeness(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// A vector in a byte per dimension.
#[expect(clippy::cast_possible_truncation, reason = "the values are scaled to -127..=127")]
pub(super) fn packed(vector: &Vector) -> Vec<u8> {
    let largest = vector.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    let byte = |x: &f32| ((x / largest * 127.0).round() as i8).to_le_bytes()[0];
    std::iter::once(PACKED).chain(vector.iter().map(byte)).collect()
}

/// What [`packed`] wrote, again of length one; nothing if another version wrote it.
pub(super) fn unpacked(bytes: &[u8]) -> Option<Vector> {
    let (version, bytes) = bytes.split_first()?;
    if *version != PACKED || bytes.is_empty() {
        return None;
    }
    let vector: Vector = bytes.iter().map(|byte| f32::from(i8::from_le_bytes([*byte]))).collect();
    let length = likeness(&vector, &vector).sqrt();
    (length > 0.0).then(|| vector.iter().map(|x| x / length).collect())
}

#[cfg(test)]
mod tests {
    use gaia_testkit::persona;

    use super::*;

    #[test]
    fn a_packed_vector_means_the_same() {
        let vector: Vector = (0..384_u16).map(|n| (f32::from(n) * 0.7).sin() * 0.07).collect();
        let length = likeness(&vector, &vector).sqrt();
        let vector: Vector = vector.iter().map(|x| x / length).collect();
        let again = unpacked(&packed(&vector)).unwrap();
        assert!(likeness(&vector, &again) > 0.9999);
        assert_eq!(packed(&vector).len(), 385);
        assert_eq!(unpacked(&[]), None);
        assert_eq!(unpacked(&[9, 1, 2]), None);
    }

    #[test]
    fn what_a_message_asks_goes_before_the_pleasantry_it_begins_with() {
        let lines = Lines::of(&persona("keeper"));
        let topic = |name: &str| lines.topics.iter().position(|topic| topic.name == name).unwrap();
        // A direction of its own for each topic.
        let direction = |topic: usize| (0..16).map(|n| f32::from(u8::from(n == topic))).collect::<Vector>();
        let whens: Vec<_> = lines.whens.iter().map(|when| direction(when.topic)).collect();
        let (greeting, bridge) = (topic("greeting"), topic("fact.bridge"));
        let asked: Vector = direction(bridge).iter().map(|x| x * 0.8).collect();
        let whole: Vector = (0..16).map(|_| 0.1).collect();
        assert_eq!(
            rank(&lines, &whens, &[whole.clone(), direction(greeting), asked])[0],
            bridge
        );
        assert_eq!(rank(&lines, &whens, &[direction(greeting)])[0], greeting);
        assert!(rank(&lines, &whens, &[whole]).is_empty());
    }
}
