//! The intents whose meaning is built in: what players say for them, and plain lines for personas without their own.

use std::sync::LazyLock;

use gaia_protocol::bundle::Intent;

use crate::{
    fault::Findings,
    yaml::{self, Content, Node},
};

/// What our own lines hold where the persona's name belongs. No line of an author may.
const NAME: &str = "{name}";

static INTENTS: LazyLock<Vec<Intent>> = LazyLock::new(|| {
    let mut findings = Findings::of("intents.yaml");
    let root = yaml::parse(include_str!("../data/intents.yaml"), &mut findings);
    let Some(Node {
        content: Content::Map(entries),
        ..
    }) = root
    else {
        return Vec::new();
    };
    entries
        .iter()
        .map(|entry| Intent {
            name: entry.key.clone(),
            when: texts(&entry.value, "when"),
            say: texts(&entry.value, "say"),
            meanwhile: texts(&entry.value, "meanwhile"),
            call: None,
        })
        .collect()
});

/// All of them, in the order of the data. Lines still hold the slot for the persona's name.
pub(crate) fn intents() -> &'static [Intent] {
    &INTENTS
}

/// The built-in intent of this name.
pub(crate) fn find(name: &str) -> Option<&'static Intent> {
    intents().iter().find(|intent| intent.name == name)
}

/// The intent with the lines that a persona of this name says.
pub(crate) fn spoken_by(intent: &Intent, name: &str) -> Intent {
    let spoken = |lines: &[String]| lines.iter().map(|line| line.replace(NAME, name)).collect();
    Intent {
        name: intent.name.clone(),
        when: intent.when.clone(),
        say: spoken(&intent.say),
        meanwhile: spoken(&intent.meanwhile),
        call: None,
    }
}

fn texts(node: &Node, key: &str) -> Vec<String> {
    let Content::Map(entries) = &node.content else {
        return Vec::new();
    };
    let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
        return Vec::new();
    };
    let Content::List(items) = &entry.value.content else {
        return Vec::new();
    };
    let text = |node: &Node| {
        if let Content::Scalar { text, .. } = &node.content {
            Some(text.clone())
        } else {
            None
        }
    };
    items.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use gaia_protocol::bundle::{reserved, slots};

    use super::*;

    const WITHOUT_EXAMPLES: [&str; 4] = [
        reserved::FALLBACK,
        reserved::RECALL_NOTHING,
        reserved::MEANWHILE,
        reserved::CLOSING,
    ];

    #[test]
    fn every_built_in_intent_has_varied_examples_and_lines() {
        assert_eq!(intents().len(), 21);
        for intent in intents() {
            assert!(intent.say.len() >= 3, "{} has too few lines", intent.name);
            let has_examples = (6..=14).contains(&intent.when.len());
            assert_eq!(
                has_examples,
                !WITHOUT_EXAMPLES.contains(&intent.name.as_str()),
                "{}",
                intent.name
            );
        }
    }

    #[test]
    fn no_example_belongs_to_two_intents() {
        let mut seen = HashMap::new();
        for intent in intents() {
            for example in &intent.when {
                let other = seen.insert(example.to_lowercase(), &intent.name);
                assert_eq!(other, None, "{example} is in {}, too", intent.name);
            }
        }
    }

    #[test]
    fn built_in_lines_hold_only_known_slots() {
        for intent in intents() {
            for line in spoken_by(intent, "Mara").say {
                let may_hold_earlier = intent.name == reserved::RECALL;
                assert_eq!(line.contains(slots::EARLIER), may_hold_earlier, "{line}");
                let rest = line.replace(slots::PLAYER, "").replace(slots::EARLIER, "");
                assert!(!rest.contains(['{', '}']), "{line}");
            }
            assert!(intent.say.iter().any(|line| !line.contains(slots::PLAYER)) || intent.name == reserved::NAME_GIVEN);
        }
    }

    #[test]
    fn whoever_asks_whether_it_is_real_gets_an_honest_answer() {
        for line in &find("are_you_real").unwrap().say {
            assert!(line.contains("AI") && !line.contains("I'm human"), "{line}");
        }
    }
}
