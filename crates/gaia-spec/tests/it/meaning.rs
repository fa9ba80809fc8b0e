//! What a good folder comes to mean.

use std::collections::BTreeMap;

use gaia_protocol::bundle::{Bundle, Intent, Persona, ToolKind, ToolSetting, ToolTransport, reserved};
use gaia_spec::{KeyReference, OffHours, Reference, Through, Transport, new_game, starter_persona};

use crate::Folder;

fn intent<'p>(persona: &'p Persona, name: &str) -> &'p Intent {
    persona.intents.iter().find(|intent| intent.name == name).unwrap()
}

#[test]
fn a_name_alone_is_a_whole_game() {
    let bundle = Folder::with_config("name: The Lost Bell").checked().bundle();
    assert_eq!(
        (bundle.name.as_str(), bundle.theme.as_str(), bundle.generation),
        ("The Lost Bell", "open world", 0)
    );
    assert_eq!((bundle.response_time_target_ms, bundle.context_window), (2000, 10));
    assert_eq!(
        (bundle.personality, bundle.routes, bundle.tool_servers),
        (None, vec![], vec![])
    );
    assert_eq!(bundle.personas.len(), 1);
    assert_eq!(
        (bundle.personas[0].id.as_str(), bundle.personas[0].name.as_str()),
        ("guide", "Guide")
    );
}

#[test]
fn a_studio_is_what_may_stand_as_a_label_everywhere() {
    let studio = |given: &str| Folder::with_config(&format!("studio: {given}")).checked().game.studio;
    assert_eq!(studio("Night-Owl_games.2"), Some("Night-Owl_games.2".to_owned()));
    assert_eq!(Folder::with_config("name: A").checked().game.studio, None);
    for bad in ["-owl", "owl-", "night owl", "käuzchen", &"x".repeat(64)] {
        let errors = Folder::with_config(&format!("studio: \"{bad}\"")).errors();
        assert!(errors.contains("`studio` must be at most 63 letters"), "{errors}");
    }
}

#[test]
fn a_game_without_a_name_is_called_like_its_folder() {
    assert_eq!(Folder::named("lost-bell").checked().game.name, "Lost Bell");
}

#[test]
fn without_a_list_the_files_are_the_personas() {
    let folder = Folder::with_config("name: Lost Bell").file("personas/otto.md", "You are Otto.");
    let checked = folder.file("personas/mara.md", "You are Mara.").checked();
    let names: Vec<_> = checked
        .game
        .personas
        .iter()
        .map(|persona| persona.name.as_str())
        .collect();
    assert_eq!(names, ["Mara", "Otto"]);
    assert_eq!(checked.warnings, []);
}

#[test]
fn a_persona_without_a_file_gets_the_starter() {
    let checked = Folder::with_config("services: {chat: {personas: [wise_wizard]}}").checked();
    let wizard = &checked.game.personas[0];
    assert_eq!(
        (wizard.name.as_str(), wizard.role.as_str()),
        ("Wise Wizard", "wise wizard")
    );
    assert!(
        wizard
            .prompt
            .starts_with("You are Wise Wizard, a character in this game.")
    );
    assert_eq!(intent(wizard, "who_are_you").say[0], "I'm Wise Wizard.");
    let warning = &checked.warnings[0];
    assert_eq!(warning.help.as_deref(), Some("write personas/wise_wizard.md"));
}

#[test]
fn the_starters_file_says_what_the_starter_says() {
    for name in ["wise_wizard", "null", "no", "a-b", "x1"] {
        let config = format!("services: {{chat: {{personas: ['{name}']}}}}");
        let folder = Folder::with_config(&config);
        let built_in = folder.checked().game.personas;
        let (path, text) = starter_persona(&name.parse().unwrap());
        let checked = folder.file(path.to_str().unwrap(), text).checked();
        assert_eq!((checked.game.personas, checked.warnings), (built_in, vec![]));
    }
}

#[test]
fn a_new_game_checks_without_a_word() {
    let mut folder = Folder::named("lost-bell");
    for (path, text) in new_game(&"lost-bell".parse().unwrap()) {
        folder = folder.file(path.to_str().unwrap(), text);
    }
    let checked = folder.checked();
    assert_eq!(checked.warnings, []);
    assert_eq!(
        (checked.game.name.as_str(), checked.game.personas[0].name.as_str()),
        ("Lost Bell", "Nora Quill")
    );
}

#[test]
fn a_personas_file_means_what_it_says() {
    let persona = "\
---
name: Mara Voss
role: survivor guide
voice: >
  short sentences,
  dry humour
barks:
  greeting: [\"You made it.\"]
  ask_shelter:
    when: [\"where can I sleep\"]
    say: [\"The school has a dry cellar.\"]
  thanks:
    when: [\"ta\", \"Thank you\"]
    say: [\"Don't.\"]
facts:
  pharmacy: {when: [\"is there a pharmacy\"], say: [\"Cleared in spring.\"]}
examples:
  - {player: \"I was bitten.\", reply: \"Show me.\"}
tools: [weather_api, bus_times.next_bus]
limits: {reply_tokens: 80, avoid: [\"real medical advice\"]}
---

# Mara
You are Mara Voss.
---
Stay alive.
";
    let game = Folder::with_persona(persona).checked().game;
    let mara = &game.personas[0];
    assert_eq!(
        (mara.name.as_str(), mara.role.as_str()),
        ("Mara Voss", "survivor guide")
    );
    assert_eq!(mara.voice, "short sentences, dry humour");
    assert_eq!(mara.prompt, "# Mara\nYou are Mara Voss.\n---\nStay alive.");
    assert_eq!(intent(mara, "greeting").say, ["You made it."]);
    assert!(
        intent(mara, "greeting").when.contains(&"hello".to_owned()),
        "the built-in examples are missing"
    );
    assert_eq!(intent(mara, "ask_shelter").when, ["where can I sleep"]);
    assert_eq!(intent(mara, "thanks").when[..3], ["ta", "Thank you", "thanks a lot"]);
    assert_eq!(
        (mara.facts[0].name.as_str(), mara.facts[0].say[0].as_str()),
        ("pharmacy", "Cleared in spring.")
    );
    assert_eq!(mara.examples[0].reply, "Show me.");
    assert_eq!(mara.tools, ["weather_api", "bus_times.next_bus"]);
    assert_eq!((mara.limits.reply_tokens, mara.limits.avoid.len()), (80, 1));
}

#[test]
fn every_persona_has_lines_for_every_built_in_intent() {
    let game = Folder::with_persona("---\nname: Mara\nbarks: {farewell: [\"Go.\"]}\n---\nYou are Mara.")
        .checked()
        .game;
    let mara = &game.personas[0];
    for name in [
        "meanwhile",
        "closing",
        "fallback",
        "greeting",
        "recall",
        "recall_nothing",
        "name_given",
        "are_you_real",
        "farewell",
        "thanks",
    ] {
        assert!(!intent(mara, name).say.is_empty(), "{name}");
    }
    assert_eq!(mara.intents.len(), 21);
    assert_eq!(intent(mara, "farewell").say, ["Go."]);
    assert!(intent(mara, reserved::FALLBACK).when.is_empty());
    assert!(
        mara.intents
            .iter()
            .flat_map(|intent| &intent.say)
            .all(|line| !line.contains("{name}"))
    );
}

#[test]
fn routes_carry_a_name_for_their_key_and_never_the_key() {
    let config = "\
ai_configuration:
  routes:
    - {name: claude, provider: anthropic, model: claude-haiku-4-5, api_key: env:ANTHROPIC_API_KEY, first_token_timeout: 3s}
    - {name: gpt, provider: openai, model: gpt-5-mini, api_key: file:/etc/gaia/openai.key}
    - {name: ollama, provider: openai, model: qwen3, base_url: http://127.0.0.1:11434/v1/, silence_timeout: 1m}
";
    let checked = Folder::with_config(config).checked();
    let routes = checked.bundle().routes;
    let shown: Vec<_> = routes
        .iter()
        .map(|route| {
            format!(
                "{} {} {:?} {} {}",
                route.name, route.base_url, route.key, route.first_token_ms, route.silence_ms
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "claude https://api.anthropic.com Some(\"claude\") 3000 15000",
            "gpt https://api.openai.com/v1 Some(\"gpt\") 10000 15000",
            "ollama http://127.0.0.1:11434/v1 None 10000 60000",
        ]
    );
    let reference = |route: &str, reference| KeyReference {
        route: route.to_owned(),
        reference,
    };
    let expected = [
        reference("claude", Reference::Env("ANTHROPIC_API_KEY".to_owned())),
        reference("gpt", Reference::File("/etc/gaia/openai.key".into())),
    ];
    assert_eq!(checked.key_references(), expected);
}

#[test]
fn tool_servers_of_ones_own_are_kept_with_all_they_say() {
    let config = "\
services:
  chat:
    mcp_servers:
      - {name: buses, command: bus-server --city Leeds, timeout: 2s}
      - {name: trains, command: [train-server, two words]}
      - {name: trams, url: https://example.com/mcp/, tools: [next_tram]}
";
    let servers = Folder::with_config(config).checked().game.tool_servers;
    let command = |words: &[&str]| Transport::Command {
        words: words.iter().map(ToString::to_string).collect(),
        environment: BTreeMap::new(),
        files: Vec::new(),
        has_network: false,
    };
    assert_eq!(servers[0].transport, command(&["bus-server", "--city", "Leeds"]));
    assert_eq!(servers[1].transport, command(&["train-server", "two words"]));
    let tram = Transport::Url {
        url: "https://example.com/mcp".to_owned(),
        key: None,
        oauth: None,
    };
    assert_eq!(servers[2].transport, tram);
    assert_eq!(
        (servers[0].timeout_ms, servers[1].timeout_ms, servers[2].tools.len()),
        (2000, 5000, 1)
    );
}

/// Tool servers of every sort.
const TOOL_SERVERS: &str = "\
services:
  chat:
    mcp_servers:
      - weather_api
      - payment_gateway
      - {name: papers, feeds: [https://example.com/leeds.xml], timeout: 9s}
      - name: shop
        command: [shop-server]
        tools: [look, buy]
        kinds: {buy: spends, look: reads}
        env: {SHOP: leeds, SHOP_KEY: env:KEY}
        files: [/srv/shop]
        network: true
      - name: market
        url: https://example.com/mcp
        trusted: true
        oauth: {client_id: gaia, client_secret: file:/etc/market, scopes: [read]}
      - name: bank
        url: https://bank.example.com/mcp
        oauth: {sign_in: file:/srv/bank.json}
";

#[test]
fn known_tool_servers_mean_ours_and_those_of_ones_own_say_what_their_tools_do() {
    let folder = Folder::with_config(TOOL_SERVERS).file("tools.lock", r#"{"shop": {"buy": "abc"}, "gone": {}}"#);
    let servers = folder.checked().bundle().tool_servers;
    let shipped = |name: &str, arguments: &[&str]| ToolTransport::Shipped {
        name: name.to_owned(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(servers[0].transport, shipped("weather", &[]));
    assert_eq!(
        (servers[1].is_available, &servers[1].transport),
        (false, &ToolTransport::Unbuilt)
    );
    assert_eq!(
        servers[2].transport,
        shipped("news", &["--feed", "https://example.com/leeds.xml"])
    );
    assert_eq!((servers[2].is_available, servers[2].timeout_ms), (true, 9000));
    let shop = ToolTransport::Command {
        command: vec!["shop-server".to_owned()],
        environment: BTreeMap::from([
            ("SHOP".to_owned(), ToolSetting::Plain("leeds".to_owned())),
            (
                "SHOP_KEY".to_owned(),
                ToolSetting::Secret("shop.env.SHOP_KEY".to_owned()),
            ),
        ]),
        files: vec!["/srv/shop".into()],
        has_network: true,
    };
    assert_eq!(servers[3].transport, shop);
    assert_eq!(
        (servers[3].kinds["buy"], servers[3].kinds["look"]),
        (ToolKind::Spends, ToolKind::Reads)
    );
    assert_eq!((servers[3].pins["buy"].as_str(), servers[4].is_trusted), ("abc", true));
}

#[test]
fn secrets_of_tool_servers_are_named_and_never_in_the_bundle() {
    let checked = Folder::with_config(TOOL_SERVERS).checked();
    let references = checked.tool_secret_references();
    let named: Vec<_> = references
        .iter()
        .map(|found| format!("{} {:?}", found.name, found.reference))
        .collect();
    assert_eq!(
        named,
        [
            "shop.env.SHOP_KEY Env(\"KEY\")",
            "market.client_secret File(\"/etc/market\")",
            "bank.sign_in File(\"/srv/bank.json\")"
        ]
    );
    let bundle = serde_json::to_string(&checked.bundle()).unwrap();
    assert!(!bundle.contains("/etc/market"), "{bundle}");
}

#[test]
fn a_bundle_of_an_older_version_still_has_its_tool_servers() {
    let server = serde_json::json!({"name": "weather_api", "is_available": false});
    let server: gaia_protocol::bundle::ToolServer = serde_json::from_value(server).unwrap();
    assert_eq!((server.transport, server.timeout_ms), (ToolTransport::Unbuilt, 5000));
}

#[test]
fn a_bundle_survives_its_json() {
    let bundle = Folder::with_persona("You are Mara.").checked().bundle();
    let json = serde_json::to_string(&bundle).unwrap();
    assert_eq!(serde_json::from_str::<Bundle>(&json).unwrap(), bundle);
}

#[test]
fn checking_twice_gives_the_same_bundle() {
    let folder = Folder::with_persona("You are Mara.");
    assert_eq!(folder.checked().bundle(), folder.checked().bundle());
}

#[test]
fn a_game_says_when_it_closes_and_how_players_come_in() {
    let config = "infrastructure:\n  off_hours: {from: \"23:30\", until: \"06:30\"}\n  entrance: {hostname: \
                  play.example.org, ingress: {class: traefik}}\n";
    let game = Folder::with_config(config).checked().game;
    let hours = OffHours {
        from: "23:30".to_owned(),
        until: "06:30".to_owned(),
        timezone: "UTC".to_owned(),
    };
    assert_eq!(game.off_hours, Some(hours));
    let entrance = game.entrance.unwrap();
    assert_eq!(entrance.hostname, "play.example.org");
    assert!(matches!(entrance.through, Through::Ingress { class, tls_secret: None } if class == "traefik"));
}

#[test]
fn what_an_intents_tool_is_handed_keeps_its_kinds() {
    let persona = "---\nbarks:\n  ask_sky:\n    when: [sky]\n    say: [\"{answer.condition}\", Dark.]\n    tool: weather_api.now\n    \
                   with: {place: \"007\", at: -33.5, hours: 3, is_day: true, note: yes it is}\ntools: [weather_api.now]\n---\nYou are Mara.\n";
    let bundle = Folder::with_persona(persona).checked().bundle();
    let call = intent(&bundle.personas[0], "ask_sky").call.clone().unwrap();
    assert_eq!(call.tool, "weather_api.now");
    let arguments = serde_json::json!({ "place": "007", "at": -33.5, "hours": 3, "is_day": true, "note": "yes it is" });
    assert_eq!(serde_json::Value::Object(call.arguments), arguments);
}
