//! A small checked game for tests.

use std::collections::BTreeMap;

use gaia_names::GameId;
use gaia_protocol::bundle::{Budget, Bundle, Example, Fact, Intent, Limits, Persona, Provider, Rates, Route};

/// A game with two personas, `guide` and `merchant`, and no routes.
#[must_use]
pub fn bundle(game: &GameId) -> Bundle {
    Bundle {
        game: game.clone(),
        generation: 1,
        name: "Lantern Town".to_owned(),
        theme: "quiet fantasy".to_owned(),
        personality: Some("kind, brief".to_owned()),
        response_time_target_ms: 500,
        context_window: 4,
        personas: vec![persona("guide"), persona("merchant")],
        routes: Vec::new(),
        tool_servers: Vec::new(),
        features: BTreeMap::new(),
        rates: Rates::default(),
        budget: Budget::default(),
    }
}

/// A persona that knows about lanterns and the bridge.
///
/// # Panics
///
/// Where the id is not one.
#[must_use]
pub fn persona(id: &str) -> Persona {
    Persona {
        id: id.parse().expect("a persona's id"),
        name: format!("The {id}"),
        role: "shows newcomers around".to_owned(),
        voice: "short, warm sentences".to_owned(),
        prompt: "You keep the lanterns of Lantern Town lit.".to_owned(),
        intents: intents(),
        facts: vec![
            fact(
                "bridge",
                &["where is the bridge", "how do I cross the river"],
                &["The bridge is north of the market."],
            ),
            fact(
                "oil",
                &["what oil do the lanterns burn", "which lamp oil is used"],
                &["They burn beech oil, pressed in autumn."],
            ),
        ],
        examples: vec![Example {
            player: "Is it far?".to_owned(),
            reply: "Two streets.".to_owned(),
        }],
        tools: Vec::new(),
        limits: Limits {
            reply_tokens: 120,
            avoid: vec!["real medical advice".to_owned()],
            budget_per_day: None,
        },
    }
}

fn intents() -> Vec<Intent> {
    vec![
        intent(
            "greeting",
            &["hello", "good evening"],
            &["Welcome to Lantern Town.", "Good evening, traveller."],
        ),
        intent(
            "farewell",
            &["goodbye", "see you later"],
            &["Walk in the light.", "Until the lamps are lit again."],
        ),
        intent(
            "name_given",
            &["my name is Ada", "call me Tom"],
            &["Well met, {player}.", "{player}. I shall remember."],
        ),
        intent(
            "recall",
            &["do you remember what I told you", "what did I say"],
            &["You said: \"{earlier}\"."],
        ),
        intent("recall_nothing", &[], &["We have hardly spoken yet."]),
        intent("meanwhile", &[], &["Let me trim this wick.", "A moment, by the lamps."]),
        intent(
            "closing",
            &[],
            &["The wind took my thought.", "The light flickers; ask me again."],
        ),
        Intent {
            meanwhile: owned(&["A riddle. Let me hold it to the light."]),
            ..intent("riddle", &["tell me a riddle"], &["What burns and is not consumed?"])
        },
        intent(
            "fallback",
            &[],
            &["Tell me more.", "The lanterns may know.", "Ask me about the bridge."],
        ),
    ]
}

/// A route to a stand-in, with short patience.
#[must_use]
pub fn route(name: &str, provider: Provider, base_url: &str) -> Route {
    Route {
        name: name.to_owned(),
        provider,
        base_url: base_url.to_owned(),
        model: "scripted".to_owned(),
        key: None,
        first_token_ms: 2_000,
        silence_ms: 1_000,
        prices: Vec::new(),
    }
}

fn intent(name: &str, when: &[&str], say: &[&str]) -> Intent {
    Intent {
        name: name.to_owned(),
        when: owned(when),
        say: owned(say),
        meanwhile: Vec::new(),
        call: None,
    }
}

fn fact(name: &str, when: &[&str], say: &[&str]) -> Fact {
    Fact {
        name: name.to_owned(),
        when: owned(when),
        say: owned(say),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
