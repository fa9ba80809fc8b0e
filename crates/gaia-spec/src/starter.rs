//! What somebody who begins gets: a first game, and a character for a name that has no file yet.

use std::path::PathBuf;

use gaia_names::{GameId, PersonaId};
use gaia_protocol::bundle::{Limits, Persona};

use crate::{
    built_in,
    fault::Findings,
    persona::{self, in_words},
};

/// The persona of a game that has none.
pub(crate) const GUIDE: &str = "guide";

/// The files of a new game: paths inside its folder and what stands in them. They check without a fault.
#[must_use]
pub fn new_game(game: &GameId) -> Vec<(PathBuf, String)> {
    let config = include_str!("../data/new_config.yaml").replace("{name}", &in_words(game.as_str()));
    let persona = include_str!("../data/new_persona.md").to_owned();
    vec![("config.yaml".into(), config), ("personas/guide.md".into(), persona)]
}

/// The file of a character for a name that has none yet: its path inside the game's folder and what stands in it.
/// A game runs with this character also without the file.
#[must_use]
pub fn starter_persona(persona: &PersonaId) -> (PathBuf, String) {
    let name = in_words(persona.as_str());
    let text = include_str!("../data/starter_persona.md");
    let text = text.replace("{name}", &name).replace("{role}", &name.to_lowercase());
    (format!("personas/{persona}.md").into(), text)
}

/// The same as a persona.
pub(crate) fn persona(id: &PersonaId) -> Persona {
    let (_, text) = starter_persona(id);
    // A test proves that the file is good for every name, so the plain persona behind it is never met.
    persona::check(id, &text, Some(&[]), &mut Findings::of("starter_persona.md")).unwrap_or_else(|| plain(id))
}

fn plain(id: &PersonaId) -> Persona {
    let name = in_words(id.as_str());
    Persona {
        id: id.clone(),
        role: name.to_lowercase(),
        voice: "plain and friendly".to_owned(),
        prompt: format!("You are {name}, a character of this game."),
        intents: built_in::intents()
            .iter()
            .map(|intent| built_in::spoken_by(intent, &name))
            .collect(),
        facts: Vec::new(),
        examples: Vec::new(),
        tools: Vec::new(),
        limits: Limits {
            reply_tokens: 160,
            avoid: Vec::new(),
            budget_per_day: None,
        },
        name,
    }
}
