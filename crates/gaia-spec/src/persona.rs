//! From a persona's file to the persona: front matter between `---` lines, then the prompt.

mod call;

use gaia_names::PersonaId;
use gaia_protocol::bundle::{Example, Fact, Intent, Limits, Persona, reserved, slots};

use self::call::Callable;
use crate::{
    built_in,
    fault::{Findings, Place, shown},
    fields::{Field, Fields, Item, Value},
    game::ToolServer,
    table::PERSONA,
    walk, yaml,
};

/// The longest prompt, in characters.
const LONGEST_PROMPT: usize = 16_000;
/// The most lines of a persona, those of players and its own together.
const MOST_LINES: usize = 3000;

/// Checks a persona's file. `servers` are the tool servers of the config; `None` where the config cannot be read.
pub(crate) fn check(
    id: &PersonaId,
    text: &str,
    servers: Option<&[ToolServer]>,
    findings: &mut Findings,
) -> Option<Persona> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parts = split(text, findings)?;
    // One line in front stands for the `---` that was taken away, so that places are those of the file.
    let root = yaml::parse(&format!("\n{}", parts.front_matter), findings);
    let prompt = prompt(&parts, findings);
    let fields = walk::check(&root?, PERSONA, findings);
    let name = fields.text("name").unwrap_or_else(|| in_words(id.as_str()));
    check_line_count(&fields, findings);
    let limits = fields.map("limits");
    let callable = Callable {
        servers,
        allowed: fields.items("tools"),
    };
    let persona = Persona {
        id: id.clone(),
        role: fields
            .text("role")
            .unwrap_or_else(|| in_words(id.as_str()).to_lowercase()),
        voice: fields.text("voice").unwrap_or_default(),
        prompt,
        intents: intents(&name, fields.map("barks"), callable, findings),
        facts: facts(fields.map("facts"), findings),
        examples: fields.items("examples").iter().filter_map(example).collect(),
        tools: tools(fields.items("tools"), servers, findings),
        limits: Limits {
            reply_tokens: limits.small_number("reply_tokens").unwrap_or_default(),
            avoid: limits.texts("avoid"),
            budget_per_day: limits.number("budget_per_day"),
        },
        name,
    };
    Some(persona)
}

/// A name as people write it: `wise_wizard` becomes `Wise Wizard`.
pub(crate) fn in_words(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let words = name
        .split(['_', '-'])
        .filter(|word| !word.is_empty() && word.is_ascii());
    words.map(capital).collect::<Vec<_>>().join(" ")
}

struct Parts<'t> {
    front_matter: String,
    /// Where the prompt begins, from 1.
    first_line: u32,
    prompt: Vec<&'t str>,
}

fn split<'t>(text: &'t str, findings: &mut Findings) -> Option<Parts<'t>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_fence = |line: &&str| line.trim_end() == "---";
    if !lines.first().is_some_and(is_fence) {
        return Some(Parts {
            front_matter: String::new(),
            first_line: 1,
            prompt: lines,
        });
    }
    let Some(length) = lines[1..].iter().position(is_fence) else {
        let fault = findings.error(Place::START, "the front matter that begins here does not end");
        fault.helping("write a line `---` behind its last line; the prompt comes after that");
        return None;
    };
    let first_line = u32::try_from(length + 3).unwrap_or(u32::MAX);
    Some(Parts {
        front_matter: lines[1..=length].join("\n"),
        first_line,
        prompt: lines[length + 2..].to_vec(),
    })
}

fn prompt(parts: &Parts<'_>, findings: &mut Findings) -> String {
    for (line, number) in parts.prompt.iter().zip(parts.first_line..) {
        let odd = line.chars().zip(1..).find(|(c, _)| c.is_control() && *c != '\t');
        if let Some((odd, column)) = odd {
            let message = format!("there is a control character here: {}", odd.escape_default());
            findings.error(Place { line: number, column }, message);
        }
    }
    let prompt = parts.prompt.join("\n").trim().to_owned();
    let length = prompt.chars().count();
    let place = Place {
        line: parts.first_line,
        column: 1,
    };
    if prompt.is_empty() {
        let help = "say who the character is, what it wants and how it talks, behind the front matter";
        findings.error(place, "the prompt is missing").helping(help);
    } else if length > LONGEST_PROMPT {
        findings.error(
            place,
            format!("the prompt has {length} characters; {LONGEST_PROMPT} is the most"),
        );
    }
    prompt
}

fn check_line_count(fields: &Fields, findings: &mut Findings) {
    let lines_of = |field: &Field| match &field.item.value {
        Value::List(items) => items.len(),
        _ => ["when", "say", "meanwhile"]
            .iter()
            .map(|key| field.item.fields().items(key).len())
            .sum(),
    };
    let count: usize = ["barks", "facts"]
        .iter()
        .flat_map(|key| &fields.map(key).0)
        .map(lines_of)
        .sum();
    if count > MOST_LINES {
        findings.error(
            Place::START,
            format!("the persona has {count} lines in all; {MOST_LINES} is the most"),
        );
    }
}

/// The author's intents in their order, then the built-in ones that are left.
fn intents(persona: &str, barks: &Fields, callable: Callable<'_>, findings: &mut Findings) -> Vec<Intent> {
    let intent = |field| intent(field, callable, findings);
    let mut intents: Vec<_> = barks.0.iter().map(intent).collect();
    for built_in in built_in::intents() {
        if !barks.0.iter().any(|field| field.name == built_in.name) {
            intents.push(built_in::spoken_by(built_in, persona));
        }
    }
    intents
}

fn intent(field: &Field, callable: Callable<'_>, findings: &mut Findings) -> Intent {
    let name = field.name.clone();
    let say = match &field.item.value {
        Value::List(items) => items,
        _ => field.item.fields().items("say"),
    };
    let mut when = field.item.fields().texts("when");
    check_lines(field, say, findings);
    match built_in::find(&name) {
        // Nothing that a player says calls for these.
        Some(built_in) if built_in.when.is_empty() => {
            for key in ["when", "tool"] {
                if let Some(item) = field.item.fields().get(key) {
                    findings
                        .error(item.place, format!("`{name}` takes no `{key}`"))
                        .helping("keep its lines only");
                }
            }
        }
        Some(built_in) => {
            let ours = built_in
                .when
                .iter()
                .filter(|ours| !when.iter().any(|given| given.eq_ignore_ascii_case(ours)));
            let ours: Vec<_> = ours.cloned().collect();
            when.extend(ours);
        }
        None if field.item.fields().get("when").is_none() => {
            let known = built_in::intents().iter().map(|intent| intent.name.as_str());
            let fault = findings.error(
                field.place,
                format!("the intent `{name}` needs `when`: ways in which players say it"),
            );
            fault.choosing(&name, known);
            fault.allowed.clear();
            fault.helping("write `when` and `say` below it; only built-in intents need lines alone");
        }
        None => {}
    }
    let meanwhile = field.item.fields().items("meanwhile");
    for item in meanwhile.iter().filter(|item| holds(item, slots::EARLIER)) {
        let message = "{earlier} stands in a line that bridges a wait, but only `recall` fills it";
        findings
            .error(item.place, message)
            .helping("write it without {earlier}");
    }
    let why = "nothing is known yet while it is said";
    call::refuse_answers(meanwhile, why, "write it without {answer}", findings);
    Intent {
        name,
        when,
        say: texts(say),
        meanwhile: texts(meanwhile),
        call: call::call(field, say, callable, findings),
    }
}

fn holds(item: &Item, slot: &str) -> bool {
    item.text().is_some_and(|line| line.contains(slot))
}

fn facts(facts: &Fields, findings: &mut Findings) -> Vec<Fact> {
    let mut all = Vec::new();
    for field in &facts.0 {
        let (name, fields) = (field.name.clone(), field.item.fields());
        check_lines(field, fields.items("say"), findings);
        let help = "write it below `barks`, as an intent with a `tool`";
        call::refuse_answers(fields.items("say"), "a fact asks no tool", help, findings);
        all.push(Fact {
            name,
            when: fields.texts("when"),
            say: fields.texts("say"),
        });
    }
    all
}

/// Looks at the slots of an intent's or a fact's lines.
fn check_lines(field: &Field, say: &[Item], findings: &mut Findings) {
    let name = field.name.as_str();
    if name == reserved::RECALL {
        if !say.is_empty() && !say.iter().any(|item| holds(item, slots::EARLIER)) {
            let fault = findings.warning(field.place, "no line of `recall` says what the player said before");
            fault.helping("put {earlier} where it belongs");
        }
    } else {
        for item in say.iter().filter(|item| holds(item, slots::EARLIER)) {
            let fault = findings.error(
                item.place,
                format!("{{earlier}} stands in a line of `{name}`, but only `recall` fills it"),
            );
            fault.helping("move the line to `recall`, or write it without {earlier}");
        }
    }
    let needs_name =
        name != reserved::NAME_GIVEN && !say.is_empty() && say.iter().all(|item| holds(item, slots::PLAYER));
    if needs_name {
        let message =
            format!("every line of `{name}` holds {{player}}, so none can be said before the player gives a name");
        let fault = match name {
            reserved::FALLBACK | reserved::MEANWHILE | reserved::CLOSING => findings.error(field.place, message),
            _ => findings.warning(field.place, message),
        };
        fault.helping("add a line without {player}");
    }
}

fn tools(items: &[Item], servers: Option<&[ToolServer]>, findings: &mut Findings) -> Vec<String> {
    for item in items {
        if let (Some(tool), Some(servers)) = (item.text(), servers) {
            check_tool(tool, item.place, servers, findings);
        }
    }
    texts(items)
}

fn check_tool(tool: &str, place: Place, servers: &[ToolServer], findings: &mut Findings) {
    let (server, name) = tool
        .split_once('.')
        .map_or((tool, None), |(server, name)| (server, Some(name)));
    let Some(found) = servers.iter().find(|known| known.name == server) else {
        let message = format!("`{}` is not among the config's `mcp_servers`", shown(server));
        let fault = findings
            .error(place, message)
            .choosing(server, servers.iter().map(|known| known.name.as_str()));
        fault.helping(format!(
            "add `{server}` to `services.chat.mcp_servers` in config.yaml, or leave it out here"
        ));
        return;
    };
    if let Some(name) = name
        && !found.tools.is_empty()
        && !found.tools.iter().any(|tool| tool == name)
    {
        let message = format!("the config does not let `{server}` have a tool `{}`", shown(name));
        findings
            .error(place, message)
            .choosing(name, found.tools.iter().map(String::as_str));
    }
}

fn example(item: &Item) -> Option<Example> {
    Some(Example {
        player: item.fields().text("player")?,
        reply: item.fields().text("reply")?,
    })
}

fn texts(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(|item| item.text().map(str::to_owned)).collect()
}
