//! The whole check of a game's folder.

use std::{collections::BTreeMap, path::Path};

use gaia_names::{GameId, PersonaId};
use gaia_protocol::bundle::{Budget, Persona};

use crate::{
    config::{self, Config},
    fault::{Fault, Faults, Findings, Place, nearest, shown},
    folder::{self, Source, Sources},
    game::{Checked, Game},
    persona::{self, in_words},
    starter,
    table::CONFIG,
    walk, yaml,
};

/// Reads and checks a game's folder. The folder's name is the game's id.
///
/// # Errors
///
/// Everything that is wrong, errors and warnings, by place; at least one error.
pub fn check_folder(folder: &Path) -> Result<Checked, Faults> {
    let sources = folder::read(folder)?;
    let mut faults = sources.faults.clone();
    let id = game_id(&sources, &mut faults);
    let mut findings = Findings::of(config_file(&sources));
    let config = read_config(&sources, &accepted_tools(&sources, &mut faults), &mut findings);
    let personas = personas(&sources, config.as_ref(), &mut findings, &mut faults);
    if let Some(config) = &config {
        check_prices(config, &personas, &mut findings);
    }
    faults.extend(findings.into_list());
    let faults = Faults::sorted(faults);
    match (id, config) {
        (Some(id), Some(config)) if faults.errors() == 0 => Ok(Checked {
            game: game(id, config, personas),
            warnings: faults.into_list(),
        }),
        _ => Err(faults),
    }
}

/// A budget holds only where every cost is known.
fn check_prices(config: &Config, personas: &[Persona], findings: &mut Findings) {
    let own = |persona: &Persona| persona.limits.budget_per_day.is_some();
    let has_budget = config.budget != Budget::default() || personas.iter().any(own);
    for (what, place) in &config.unpriced {
        let fault = match has_budget {
            true => findings.error(*place, format!("{what}, so the game's budget cannot hold")),
            false => findings.warning(
                *place,
                format!("{what}, so `gaia costs` will say that it costs nothing"),
            ),
        };
        fault.helping("write what a million tokens cost: `price: {input: 1.00, output: 5.00}`, zeros if nothing");
    }
}

fn game(id: GameId, config: Config, personas: Vec<Persona>) -> Game {
    Game {
        name: config.name.unwrap_or_else(|| in_words(id.as_str())),
        id,
        studio: config.studio,
        theme: config.theme,
        personality: config.personality,
        response_time_target_ms: config.response_time_target_ms,
        context_window: config.context_window,
        personas,
        routes: config.routes,
        tool_servers: config.tool_servers,
        features: config.features,
        rates: config.rates,
        budget: config.budget,
        size: config.size,
        regions: config.regions,
        images: config.images,
        services: config.services,
        stores: config.stores,
        autoscaler: config.autoscaler,
        off_hours: config.off_hours,
        entrance: config.entrance,
    }
}

fn game_id(sources: &Sources, faults: &mut Vec<Fault>) -> Option<GameId> {
    let fault = match sources.name.parse() {
        Ok(id) => return Some(id),
        Err(fault) => fault,
    };
    let mut findings = Findings::of(sources.folder.clone());
    findings
        .error(Place::START, fault.to_string())
        .helping("rename the folder: its name is the game's id");
    faults.extend(findings.into_list());
    None
}

fn config_file(sources: &Sources) -> String {
    match &sources.config {
        Some(source) => source.file.clone(),
        None => Path::new(&sources.folder).join("config.yaml").display().to_string(),
    }
}

/// What was accepted of the tools: the fingerprint of each, by server and tool.
fn accepted_tools(sources: &Sources, faults: &mut Vec<Fault>) -> BTreeMap<String, BTreeMap<String, String>> {
    let Some((source, text)) = sources
        .lock
        .as_ref()
        .and_then(|source| Some((source, source.text.as_deref()?)))
    else {
        return BTreeMap::new();
    };
    serde_json::from_str(text).unwrap_or_else(|fault| {
        let mut findings = Findings::of(source.file.clone());
        let place = Place {
            line: u32::try_from(fault.line()).unwrap_or(1).max(1),
            column: u32::try_from(fault.column()).unwrap_or(1).max(1),
        };
        let fault = findings.error(place, "this is not what `gaia tools` wrote");
        fault.helping("take it from your version control, or delete it to trust the tools as they are now");
        faults.extend(findings.into_list());
        BTreeMap::new()
    })
}

/// The config, with whatever of it is good. `None` where it is not YAML at all.
fn read_config(
    sources: &Sources,
    accepted: &BTreeMap<String, BTreeMap<String, String>>,
    findings: &mut Findings,
) -> Option<Config> {
    let text = match &sources.config {
        Some(source) => source.text.as_deref()?,
        None => {
            let fault = findings.warning(Place::START, "there is no config.yaml, so defaults hold");
            fault.helping("`gaia explain config` shows what it may say");
            ""
        }
    };
    let root = yaml::parse(text, findings)?;
    let fields = walk::check(&root, CONFIG, findings);
    let mut config = config::read(&fields, findings);
    for server in &mut config.tool_servers {
        server.pins = accepted.get(&server.name).cloned().unwrap_or_default();
    }
    Some(config)
}

/// The personas: those that the config names, else those that have a file, else the built-in guide.
fn personas(
    sources: &Sources,
    config: Option<&Config>,
    findings: &mut Findings,
    faults: &mut Vec<Fault>,
) -> Vec<Persona> {
    let with_file: Vec<(PersonaId, &Source)> = with_names(&sources.personas, faults);
    let named = config.and_then(|config| config.personas.as_deref());
    if let Some(named) = named {
        warn_of_unnamed(&with_file, named, faults);
    }
    let mut wanted: Vec<(PersonaId, Place)> = match named {
        Some(named) => named.to_vec(),
        None => with_file.iter().map(|(id, _)| (id.clone(), Place::START)).collect(),
    };
    if let (true, Ok(guide)) = (wanted.is_empty(), starter::GUIDE.parse()) {
        wanted.push((guide, Place::START));
    }
    let servers = config.map(|config| config.tool_servers.as_slice());
    let mut personas = Vec::new();
    for (id, place) in wanted {
        let Some((_, source)) = with_file.iter().find(|(other, _)| *other == id) else {
            warn_of_starter(&id, place, &with_file, findings);
            personas.push(starter::persona(&id));
            continue;
        };
        let Some(text) = &source.text else { continue };
        let mut findings = Findings::of(source.file.clone());
        personas.extend(persona::check(&id, text, servers, &mut findings));
        faults.extend(findings.into_list());
    }
    personas
}

fn with_names<'s>(sources: &'s [Source], faults: &mut Vec<Fault>) -> Vec<(PersonaId, &'s Source)> {
    let mut named = Vec::new();
    for source in sources {
        match source.name.parse() {
            Ok(id) => named.push((id, source)),
            Err(_) => {
                let mut findings = Findings::of(source.file.clone());
                let message = format!(
                    "`{}` cannot be a persona's name, so the file is not read",
                    shown(&source.name)
                );
                findings
                    .warning(Place::START, message)
                    .helping(format!("to make it one, {}", PersonaId::RULE));
                faults.extend(findings.into_list());
            }
        }
    }
    named
}

fn warn_of_unnamed(with_file: &[(PersonaId, &Source)], named: &[(PersonaId, Place)], faults: &mut Vec<Fault>) {
    for (id, source) in with_file {
        if !named.iter().any(|(other, _)| other == id) {
            let mut findings = Findings::of(source.file.clone());
            let message = format!("the config does not name `{id}`, so the game does not have it");
            findings
                .warning(Place::START, message)
                .helping("add it to `services.chat.personas` in config.yaml");
            faults.extend(findings.into_list());
        }
    }
}

fn warn_of_starter(id: &PersonaId, place: Place, with_file: &[(PersonaId, &Source)], findings: &mut Findings) {
    let message = match place {
        Place::START => format!("the game has no personas, so a built-in `{id}` speaks for it"),
        _ => format!("`{id}` has no file, so a built-in starter speaks for it"),
    };
    let fault = findings.warning(place, message);
    fault.helping(format!("write personas/{id}.md"));
    fault.nearest = nearest(id.as_str(), with_file.iter().map(|(other, _)| other.as_str())).map(str::to_owned);
}
