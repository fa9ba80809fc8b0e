//! What is said of each class of mistake in a persona's file.

use insta::assert_snapshot;

use crate::Folder;

fn errors(front_matter: &str) -> String {
    Folder::with_persona(&format!("---\n{front_matter}---\nYou are Mara.\n")).errors()
}

fn warnings(front_matter: &str) -> String {
    let faults = Folder::with_persona(&format!("---\n{front_matter}---\nYou are Mara.\n")).faults();
    let lines = faults.lines().skip_while(|line| !line.contains("mara.md"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_fault_of_a_persona_is_told_at_once() {
    let front_matter = "\
nam: Mara
barks:
  greeting: []
  fallback: [\"Hm, {player}.\"]
  Ask Shelter: [\"Here.\"]
  ask_shelter: [\"Here.\"]
facts:
  pharmacy: {say: [\"On {Mill} Street.\"]}
tools: [weather_apy, bus_times.next_buss, location_service]
limits: {reply_tokens: 5}
";
    assert_snapshot!(errors(front_matter), @r#"
    games/lost-bell/personas/mara.md:2:1: error: `nam` is not a key of this file
      help: did you mean `name`? allowed: name, role, voice, barks, facts, examples, tools, limits
    games/lost-bell/personas/mara.md:4:13: error: `barks.greeting` is empty
      help: write something into it, or leave it out
    games/lost-bell/personas/mara.md:5:3: error: every line of `fallback` holds {player}, so none can be said before the player gives a name
      help: add a line without {player}
    games/lost-bell/personas/mara.md:6:3: error: `Ask Shelter` cannot be a name in `barks`
      help: it must be a name of small letters, digits and `_`, a letter first, at most 40 characters
    games/lost-bell/personas/mara.md:7:3: error: the intent `ask_shelter` needs `when`: ways in which players say it
      help: write `when` and `say` below it; only built-in intents need lines alone
    games/lost-bell/personas/mara.md:9:13: error: `facts.pharmacy` needs `when`
      help: for example `when: ["where do I find medicine", "is there a pharmacy"]`
    games/lost-bell/personas/mara.md:9:20: error: `facts.pharmacy.say` holds an unknown slot: `{Mill}`
      help: {player}, {earlier} in `recall`, and {answer} beside `tool` are known; other braces cannot stand in a line
    games/lost-bell/personas/mara.md:10:9: error: `weather_apy` is not among the config's `mcp_servers`
      help: did you mean `weather_api`? add `weather_apy` to `services.chat.mcp_servers` in config.yaml, or leave it out here; allowed: weather_api, bus_times
    games/lost-bell/personas/mara.md:10:22: error: the config does not let `bus_times` have a tool `next_buss`
      help: did you mean `next_bus`? allowed: next_bus, last_bus
    games/lost-bell/personas/mara.md:10:43: error: `location_service` is not among the config's `mcp_servers`
      help: add `location_service` to `services.chat.mcp_servers` in config.yaml, or leave it out here; allowed: weather_api, bus_times
    games/lost-bell/personas/mara.md:11:24: error: `limits.reply_tokens` must be a whole number from 16 to 2000, not `5`
    "#);
}

#[test]
fn lines_may_hold_only_known_slots() {
    let front_matter = "\
barks:
  greeting: [\"Hi {playr}.\", \"Hi {player.\", \"Hi } there\", \"You said {earlier}.\"]
  recall: [\"You said {earlier}, {player}.\"]
";
    assert_snapshot!(errors(front_matter), @r#"
    games/lost-bell/personas/mara.md:3:14: error: `barks.greeting` holds an unknown slot: `{playr}`
      help: did you mean `{player}`? {player}, {earlier} in `recall`, and {answer} beside `tool` are known; other braces cannot stand in a line
    games/lost-bell/personas/mara.md:3:29: error: `barks.greeting` holds an unknown slot: `{player.`
      help: did you mean `{player}`? {player}, {earlier} in `recall`, and {answer} beside `tool` are known; other braces cannot stand in a line
    games/lost-bell/personas/mara.md:3:44: error: `barks.greeting` holds an unknown slot: `}`
      help: {player}, {earlier} in `recall`, and {answer} beside `tool` are known; other braces cannot stand in a line
    games/lost-bell/personas/mara.md:3:58: error: {earlier} stands in a line of `greeting`, but only `recall` fills it
      help: move the line to `recall`, or write it without {earlier}
    "#);
}

#[test]
fn lines_are_not_empty_and_not_endless() {
    let front_matter = format!(
        "barks:\n  greeting: ['', '  ', {}, Hello, Hello]\n  farewell:\n",
        "x".repeat(401)
    );
    assert_snapshot!(errors(&front_matter), @r#"
    games/lost-bell/personas/mara.md:3:14: error: `barks.greeting` is empty
      help: write something or leave it out
    games/lost-bell/personas/mara.md:3:18: error: `barks.greeting` is empty
      help: write something or leave it out
    games/lost-bell/personas/mara.md:3:24: error: `barks.greeting` has 401 characters; 400 is the most
    games/lost-bell/personas/mara.md:3:434: error: `Hello` stands twice in `barks.greeting`; the first is in line 3
      help: keep one of them
    games/lost-bell/personas/mara.md:4:3: error: `barks.farewell` has no value
      help: write a list or a map of keys and values behind it, or leave it out
    "#);
}

#[test]
fn there_are_at_most_3000_lines() {
    let lines: Vec<_> = (0..399).map(|number| format!("l{number}")).collect();
    let facts: String = (0..8)
        .map(|number| format!("  f{number}: {{when: [w], say: [{}]}}\n", lines.join(",")))
        .collect();
    assert_snapshot!(errors(&format!("facts:\n{facts}")), @r#"games/lost-bell/personas/mara.md:1:1: error: the persona has 3200 lines in all; 3000 is the most"#);
}

#[test]
fn intents_of_ones_own_need_examples_and_fallback_takes_none() {
    let front_matter = "\
barks:
  greetings: [\"Hello.\"]
  ask_shelter: {say: [\"Here.\"]}
  ask_water: {when: [\"water?\"]}
  fallback: {when: [\"what\"], say: [\"Hm.\"]}
";
    assert_snapshot!(errors(front_matter), @r#"
    games/lost-bell/personas/mara.md:3:3: error: the intent `greetings` needs `when`: ways in which players say it
      help: did you mean `greeting`? write `when` and `say` below it; only built-in intents need lines alone
    games/lost-bell/personas/mara.md:4:3: error: the intent `ask_shelter` needs `when`: ways in which players say it
      help: write `when` and `say` below it; only built-in intents need lines alone
    games/lost-bell/personas/mara.md:5:14: error: `barks.ask_water` needs `say`
      help: for example `say: ["The school on Mill Street has a dry cellar. Knock twice."]`
    games/lost-bell/personas/mara.md:6:20: error: `fallback` takes no `when`
      help: keep its lines only
    "#);
}

#[test]
fn lines_that_can_hardly_be_said_are_warned_of() {
    let front_matter =
        "barks:\n  greeting: [\"Hi {player}.\"]\n  recall: [\"I remember.\"]\n  name_given: [\"{player}!\"]\n";
    assert_snapshot!(warnings(front_matter), @r#"
    games/lost-bell/personas/mara.md:3:3: warning: every line of `greeting` holds {player}, so none can be said before the player gives a name
      help: add a line without {player}
    games/lost-bell/personas/mara.md:4:3: warning: no line of `recall` says what the player said before
      help: put {earlier} where it belongs
    "#);
}

#[test]
fn front_matter_that_does_not_end_is_refused() {
    assert_snapshot!(Folder::with_persona("---\nname: Mara\nYou are Mara.\n").errors(), @r#"
    games/lost-bell/personas/mara.md:1:1: error: the front matter that begins here does not end
      help: write a line `---` behind its last line; the prompt comes after that
    "#);
}

#[test]
fn yaml_faults_in_front_matter_have_the_files_lines() {
    assert_snapshot!(errors("name: Mara\nvoice: \"short\nrole: guide\n"), @r#"
    games/lost-bell/personas/mara.md:3:8: error: this is not YAML: invalid indentation in quoted scalar
      help: look at the quotes, brackets, colons and indentation here and in the line above
    "#);
    assert_snapshot!(errors("name: Mara\n\trole: guide\n"), @r#"
    games/lost-bell/personas/mara.md:3:1: error: there is a tab here
      help: use spaces: YAML does not indent with tabs
    "#);
    assert_snapshot!(errors("name: &a Mara\nrole: *a\n"), @r#"
    games/lost-bell/personas/mara.md:2:7: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    games/lost-bell/personas/mara.md:3:7: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    "#);
}

#[test]
fn the_prompt_is_there_and_bounded() {
    assert_snapshot!(Folder::with_persona("---\nname: Mara\n---\n\n \n").errors(), @r#"
    games/lost-bell/personas/mara.md:4:1: error: the prompt is missing
      help: say who the character is, what it wants and how it talks, behind the front matter
    "#);
    assert_snapshot!(Folder::with_persona("").errors(), @r#"
    games/lost-bell/personas/mara.md:1:1: error: the prompt is missing
      help: say who the character is, what it wants and how it talks, behind the front matter
    "#);
    assert_snapshot!(Folder::with_persona(&format!("---\n---\n{}", "x".repeat(16_001))).errors(), @r#"games/lost-bell/personas/mara.md:3:1: error: the prompt has 16001 characters; 16000 is the most"#);
    assert_snapshot!(Folder::with_persona("You are Mara.\nBeep \u{7}.\n").errors(), @r#"games/lost-bell/personas/mara.md:2:6: error: there is a control character here: \u{7}"#);
}

#[test]
fn files_that_the_config_does_not_name_are_warned_of() {
    let folder = Folder::with_config("services: {chat: {personas: [survivor_guide]}}");
    let folder = folder
        .file("personas/survivor-guide.md", "You are a guide.")
        .file("personas/README.md", "# Personas");
    assert_snapshot!(folder.faults(), @r#"
    games/lost-bell/config.yaml:1:30: warning: `survivor_guide` has no file, so a built-in starter speaks for it
      help: did you mean `survivor-guide`? write personas/survivor_guide.md
    games/lost-bell/personas/README.md:1:1: warning: `README` cannot be a persona's name, so the file is not read
      help: to make it one, use 2 to 40 characters: lower-case letters, digits, `_` and `-`, a letter first, a letter or digit last
    games/lost-bell/personas/survivor-guide.md:1:1: warning: the config does not name `survivor-guide`, so the game does not have it
      help: add it to `services.chat.personas` in config.yaml
    "#);
}

#[test]
fn personas_are_checked_even_when_the_config_is_broken() {
    let folder =
        Folder::with_config("name: [").file("personas/mara.md", "---\nrole: [a]\ntools: [any]\n---\nYou are Mara.");
    assert_snapshot!(folder.faults(), @r#"
    games/lost-bell/config.yaml:2:1: error: this is not YAML: while parsing a node, did not find expected node content
      help: look at the quotes, brackets, colons and indentation here and in the line above
    games/lost-bell/personas/mara.md:2:7: error: `role` must be a text of at most 120 characters, not a list
    "#);
}

#[test]
fn the_call_of_an_intent_is_checked() {
    let front_matter = "\
barks:
  greeting: {say: [\"It is {answer}.\"], meanwhile: [\"{answer}?\"]}
  ask_sky: {when: [sky], say: [\"{answer}\"], tool: weather_api}
  ask_sea: {when: [sea], say: [\"{answer.}\"], tool: location_service.near}
  ask_bus: {when: [bus], say: [\"{answer.0.line}\", Gone.], tool: bus_times.last_buss, with: {stop: [a]}}
  ask_tram: {when: [tram], say: [Gone.], with: {stop: a}}
  fallback: {say: [\"{answer}\", Hm.], tool: weather_api.now}
facts:
  pharmacy: {when: [pharmacy], say: [\"{answer.street}\"]}
tools: [weather_api]
";
    assert_snapshot!(errors(front_matter), @r#"
    games/lost-bell/personas/mara.md:3:20: error: {answer} stands in a line, but `greeting` asks no tool that could fill it
      help: name a `tool` beside `say`, or write it without {answer}
    games/lost-bell/personas/mara.md:3:52: error: {answer} stands in a line, but nothing is known yet while it is said
      help: write it without {answer}
    games/lost-bell/personas/mara.md:4:51: error: `barks.ask_sky.tool` must be one tool of a server, written `server.tool`, not `weather_api`
    games/lost-bell/personas/mara.md:5:32: error: `barks.ask_sea.say` holds an unknown slot: `{answer.}`
      help: did you mean `{answer}`? {player}, {earlier} in `recall`, and {answer} beside `tool` are known; other braces cannot stand in a line
    games/lost-bell/personas/mara.md:5:52: error: `location_service` is not among the config's `mcp_servers`
      help: add `location_service` to `services.chat.mcp_servers` in config.yaml, or leave it out here; allowed: weather_api, bus_times
    games/lost-bell/personas/mara.md:5:52: error: the character may not use `location_service.near`
      help: add `location_service.near` to its `tools`
    games/lost-bell/personas/mara.md:6:65: error: the config does not let `bus_times` have a tool `last_buss`
      help: did you mean `last_bus`? allowed: next_bus, last_bus
    games/lost-bell/personas/mara.md:6:65: error: the character may not use `bus_times.last_buss`
      help: add `bus_times.last_buss` to its `tools`
    games/lost-bell/personas/mara.md:6:99: error: `barks.ask_bus.with.stop` must be a text of at most 400 characters, a number, true or false, not a list
    games/lost-bell/personas/mara.md:7:48: error: `ask_tram` has `with`, but no `tool` that could be handed it
      help: name the tool, or leave it out
    games/lost-bell/personas/mara.md:8:44: error: `fallback` takes no `tool`
      help: keep its lines only
    games/lost-bell/personas/mara.md:10:38: error: {answer} stands in a line, but a fact asks no tool
      help: write it below `barks`, as an intent with a `tool`
    "#);
    let front_matter = "\
barks:
  ask_sky: {when: [sky], say: [\"{answer.condition}.\"], tool: weather_api.now, with: {place: Oslo, hours: 3, is_day: true}}
  ask_sea: {when: [sea], say: [Wet.], tool: weather_api.now}
tools: [weather_api]
";
    assert_snapshot!(warnings(front_matter), @r"
    games/lost-bell/personas/mara.md:3:3: warning: every line of `ask_sky` holds {answer}, so none can be said when `weather_api.now` does not answer
      help: add a line without it, that says so in character
    games/lost-bell/personas/mara.md:4:3: warning: `ask_sea` asks `weather_api.now`, but no line of it says what that answers
      help: put {answer}, or a part of it such as {answer.condition}, where it belongs
    ");
}
