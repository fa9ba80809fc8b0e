//! What is said of each class of mistake in a config.

use insta::assert_snapshot;

use crate::Folder;

fn errors(config: &str) -> String {
    Folder::with_config(config).errors()
}

#[test]
fn every_fault_is_told_at_once_and_in_order() {
    let config = "\
nmae: Lost Bell
theme: [dark]
services:
  chat:
    persona: [mara]
    mcp_servers: [wether_api]
infrastructure:
  cluster_size: huge
  regions: [us-east, us-est]
features:
  social_feature: true
  image_recognition: yes
ai_configuration:
  response_time_target: fast
  context_window: 1000
";
    assert_snapshot!(Folder::with_config(config).faults(), @r#"
    games/lost-bell/config.yaml:1:1: error: `nmae` is not a key of this file
      help: did you mean `name`? allowed: name, studio, theme, services, replicas, resources, horizontalPodAutoscaler, infrastructure, limits, features, ai_configuration
    games/lost-bell/config.yaml:1:1: warning: the game has no personas, so a built-in `guide` speaks for it
      help: write personas/guide.md
    games/lost-bell/config.yaml:2:8: error: `theme` must be a text of at most 120 characters, not a list
    games/lost-bell/config.yaml:5:5: error: `persona` is not a key of `services.chat`
      help: did you mean `personas`? allowed: personas, mcp_servers
    games/lost-bell/config.yaml:6:19: error: `wether_api` is not known in `services.chat.mcp_servers`
      help: did you mean `weather_api`? allowed: weather_api, location_service, news_scraper, image_recognition, social_media, payment_gateway
    games/lost-bell/config.yaml:8:17: error: `huge` is not known in `infrastructure.cluster_size`
      help: allowed: small, medium, large
    games/lost-bell/config.yaml:9:22: error: `us-est` is not known in `infrastructure.regions`
      help: did you mean `us-east`? allowed: global, us-east, us-central, us-west, ca-east, sa-east, eu-west, eu-central, eu-north, af-south, me-central, ap-south, ap-southeast, ap-northeast, au-southeast
    games/lost-bell/config.yaml:11:3: error: `social_feature` is not a key of `features`
      help: did you mean `social_features`? allowed: real_weather_integration, location_based_events, social_features, image_recognition, educational_content, collaborative_puzzles, health_api_integration, competitive_leaderboards, real_time_coaching
    games/lost-bell/config.yaml:12:22: error: `features.image_recognition` must be true or false
      help: write true
    games/lost-bell/config.yaml:14:25: error: `ai_configuration.response_time_target` must be a time with its unit (ms, s or m) from 50ms to 1m, not `fast`
    games/lost-bell/config.yaml:15:19: error: `ai_configuration.context_window` must be a whole number from 1 to 100, not `1000`
    "#);
}

#[test]
fn faults_are_json_for_programs() {
    let faults = Folder::named("lost-bell")
        .file("config.yaml", "infrastructure: {cluster_size: Small}")
        .check()
        .unwrap_err();
    let mut json = serde_json::to_value(&faults).unwrap();
    json[1]["file"] = "games/lost-bell/config.yaml".into();
    insta::assert_json_snapshot!(json[1], @r#"
    {
      "allowed": [
        "small",
        "medium",
        "large"
      ],
      "column": 32,
      "file": "games/lost-bell/config.yaml",
      "line": 1,
      "message": "`Small` is not known in `infrastructure.cluster_size`",
      "nearest": "small",
      "severity": "error"
    }
    "#);
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    assert_snapshot!(errors("ai_config: {}\nreplicas: {Chat: 2}\nservices: {gateway: {port: 80}}"), @r#"
    games/lost-bell/config.yaml:1:1: error: `ai_config` is not a key of this file
      help: did you mean `ai_configuration`? allowed: name, studio, theme, services, replicas, resources, horizontalPodAutoscaler, infrastructure, limits, features, ai_configuration
    games/lost-bell/config.yaml:2:12: error: `Chat` is not a key of `replicas`
      help: did you mean `chat`? allowed: gateway, auth, chat, nats, redis, postgres
    games/lost-bell/config.yaml:3:22: error: `services.gateway` has no keys, so `port` cannot stand here
    "#);
}

#[test]
fn a_key_given_twice_is_refused() {
    assert_snapshot!(errors("name: A\ntheme: dark\nname: B\n"), @r#"
    games/lost-bell/config.yaml:3:1: error: `name` stands here for the second time; the first is in line 1
      help: keep one of them
    "#);
}

#[test]
fn values_of_the_wrong_shape_are_refused() {
    let config = "\
name: {first: Lost}
services: chat
replicas: [2]
infrastructure:
  regions: us-east
features: {social_features: 'true', image_recognition: 1}
ai_configuration:
";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:1:7: error: `name` must be a text of at most 80 characters, not a map
    games/lost-bell/config.yaml:2:11: error: `services` must be a map of keys and values or a list, not a single value
    games/lost-bell/config.yaml:3:11: error: `replicas` must be a map of keys and values, not a list
    games/lost-bell/config.yaml:5:12: error: `infrastructure.regions` must be a list, not a single value
      help: put brackets around it: [a, b]
    games/lost-bell/config.yaml:6:29: error: `features.social_features` must be true or false
      help: write it without quotes
    games/lost-bell/config.yaml:6:56: error: `features.image_recognition` must be true or false, not `1`
    "#);
}

#[test]
fn a_file_that_is_no_map_is_refused() {
    assert_snapshot!(errors("- name: Lost Bell"), @r#"
    games/lost-bell/config.yaml:1:1: error: the file must be a map of keys and values
      help: write `key: value` lines
    "#);
    assert_snapshot!(errors("Lost Bell"), @r#"
    games/lost-bell/config.yaml:1:1: error: the file must be a map of keys and values
      help: write `key: value` lines
    "#);
}

#[test]
fn values_that_were_forgotten_are_refused() {
    assert_snapshot!(errors("name:\ntheme: ''\ninfrastructure:\n  regions: []\nservices: {chat: {personas: [mara, ]}}\n"), @r#"
    games/lost-bell/config.yaml:1:1: error: `name` has no value
      help: write a text of at most 80 characters behind it, or leave it out
    games/lost-bell/config.yaml:2:8: error: `theme` is empty
      help: write something or leave it out
    games/lost-bell/config.yaml:4:12: error: `infrastructure.regions` is empty
      help: write something into it, or leave it out
    "#);
}

#[test]
fn times_need_a_unit_and_a_range() {
    let with = |time: &str| errors(&format!("ai_configuration: {{response_time_target: {time}}}"));
    assert_snapshot!([with("500"), with("40ms"), with("2h"), with("1e3ms"), with("-1s"), with("9999999999999999s")].join("\n"), @r#"
    games/lost-bell/config.yaml:1:42: error: `ai_configuration.response_time_target` has no unit
      help: write 500ms, or 500s
    games/lost-bell/config.yaml:1:42: error: `ai_configuration.response_time_target` must be a time with its unit (ms, s or m) from 50ms to 1m, not `40ms`
    games/lost-bell/config.yaml:1:42: error: `ai_configuration.response_time_target` must be a time with its unit (ms, s or m) from 50ms to 1m, not `2h`
    games/lost-bell/config.yaml:1:42: error: `ai_configuration.response_time_target` must be a time with its unit (ms, s or m) from 50ms to 1m, not `1e3ms`
    games/lost-bell/config.yaml:1:42: error: `ai_configuration.response_time_target` must be a time with its unit (ms, s or m) from 50ms to 1m, not `-1s`
    games/lost-bell/config.yaml:1:42: error: `ai_configuration.response_time_target` must be a time with its unit (ms, s or m) from 50ms to 1m, not `9999999999999999s`
    "#);
    assert_eq!(with("1.5s"), "");
    assert_eq!(with("1m"), "");
}

#[test]
fn amounts_are_those_of_kubernetes() {
    let with = |amounts: &str| errors(&format!("resources: {{chat: {{{amounts}}}}}"));
    assert_snapshot!([with("memory: 1GB"), with("memory: 1Mi"), with("cpu: 5"), with("cpu: 1 core"), with("cpu: 1m")].join("\n"), @r#"
    games/lost-bell/config.yaml:1:28: error: `resources.chat.memory` must be an amount of memory such as 512Mi or 1Gi, from 16Mi to 1Ti, not `1GB`
    games/lost-bell/config.yaml:1:28: error: `resources.chat.memory` must be an amount of memory such as 512Mi or 1Gi, from 16Mi to 1Ti, not `1Mi`

    games/lost-bell/config.yaml:1:25: error: `resources.chat.cpu` must be an amount of CPU such as 500m or 2, from 10m to 128, not `1 core`
    games/lost-bell/config.yaml:1:25: error: `resources.chat.cpu` must be an amount of CPU such as 500m or 2, from 10m to 128, not `1m`
    "#);
    assert_eq!(with("memory: 1.5Gi, cpu: 0.5"), "");
}

#[test]
fn replicas_are_numbers_that_fit_their_part() {
    let config = "\
replicas:
  gateway: 0
  auth: 2 (cluster mode)
  chat: ten
  nats: 1 (cluster mode)
  redis: 2
  postgres: 3 (single instance)
";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:2:12: error: `replicas.gateway` must be a number of replicas from 1 to 1000, such as 2 or 10+, not `0`
    games/lost-bell/config.yaml:3:9: error: `replicas.auth` has no cluster mode
      help: write 2
    games/lost-bell/config.yaml:4:9: error: `replicas.chat` must be a number of replicas from 1 to 1000, such as 2 or 10+, not `ten`
    games/lost-bell/config.yaml:5:9: error: `replicas.nats` cannot be a cluster of fewer than three
      help: write 3 (cluster mode) or 1 (single instance)
    games/lost-bell/config.yaml:6:10: error: `replicas.redis` cannot run as two
      help: write 3 (cluster mode) or 1 (single instance)
    games/lost-bell/config.yaml:7:13: error: `replicas.postgres` cannot be a single instance and more than one
      help: write 1 (single instance)
    "#);
    assert_snapshot!(errors("replicas: {redis: 3 (replicated), chat: 10++, gateway: -2, nats: 5000}"), @r#"
    games/lost-bell/config.yaml:1:19: error: `replicas.redis` has an unknown note in brackets
      help: known: (cluster mode), (single instance)
    games/lost-bell/config.yaml:1:41: error: `replicas.chat` must be a number of replicas from 1 to 1000, such as 2 or 10+, not `10++`
    games/lost-bell/config.yaml:1:56: error: `replicas.gateway` must be a number of replicas from 1 to 1000, such as 2 or 10+, not `-2`
    games/lost-bell/config.yaml:1:66: error: `replicas.nats` must be 1 (single instance), or a number from 3 to 1000 (cluster mode), such as 3 or 5+, not `5000`
    "#);
}

#[test]
fn the_autoscaler_has_a_range_and_a_share() {
    let config = "horizontalPodAutoscaler:\n  minReplicas: 5\n  maxReplicas: 2\n  targetCPUUtilization: 70\n";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:4:25: error: `horizontalPodAutoscaler.targetCPUUtilization` has no unit
      help: write 70%
    "#);
    assert_snapshot!(errors(&config.replace("70", "70%")), @r#"
    games/lost-bell/config.yaml:2:3: error: `minReplicas` (5) is more than `maxReplicas` (2)
      help: make `maxReplicas` the larger one
    "#);
}

#[test]
fn off_hours_and_ways_in_are_whole_and_exist() {
    let config = "infrastructure:\n  off_hours: {from: \"24:00\", until: \"6:30\", timezone: Europe/Atlantis}\n  \
                  entrance:\n    hostname: 10.0.0.1\n    gateway: {name: Public}\n    ingress: {class: traefik}\n";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:2:21: error: `infrastructure.off_hours.from` must be a time of day from "00:00" to "23:59", not `24:00`
    games/lost-bell/config.yaml:2:37: error: `infrastructure.off_hours.until` must be a time of day from "00:00" to "23:59", not `6:30`
    games/lost-bell/config.yaml:2:55: error: `infrastructure.off_hours.timezone` must be a time zone of the IANA database such as Europe/Berlin or UTC, not `Europe/Atlantis`
    games/lost-bell/config.yaml:4:15: error: `infrastructure.entrance.hostname` must be a name in the DNS such as play.example.org, in small letters, not `10.0.0.1`
    games/lost-bell/config.yaml:5:14: error: `infrastructure.entrance.gateway` needs `namespace`
      help: for example `namespace: gateways`
    games/lost-bell/config.yaml:5:21: error: `infrastructure.entrance.gateway.name` must be the name of an object of Kubernetes: small letters, digits, `-` and `.`, not `Public`
    games/lost-bell/config.yaml:6:5: error: `gateway` and `ingress` cannot stand together
      help: keep one of them
    "#);
    let never =
        "infrastructure:\n  off_hours: {from: \"06:00\", until: \"06:00\"}\n  entrance: {hostname: a.example}\n";
    let said = errors(never);
    assert!(
        said.contains("a game that closes and opens at 06:00 is never there, or always"),
        "{said}"
    );
    assert!(said.contains("needs `gateway` or `ingress`"), "{said}");
}

#[test]
fn the_same_thing_twice_in_a_list_is_refused() {
    let config = "\
services:
  chat:
    personas: [mara, mara]
    mcp_servers: [weather_api, {name: weather_api, url: 'https://example.com'}]
infrastructure: {regions: [us-east, us-east]}
";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:3:22: error: `mara` stands twice in `services.chat.personas`; the first is in line 3
      help: keep one of them
    games/lost-bell/config.yaml:4:32: error: a tool server called `weather_api` stands here for the second time
      help: give each its own name
    games/lost-bell/config.yaml:5:37: error: `us-east` stands twice in `infrastructure.regions`; the first is in line 5
      help: keep one of them
    "#);
}

#[test]
fn personas_have_names_that_fit_files() {
    assert_snapshot!(errors("services: {chat: {personas: [Mara, ../etc/passwd, \"a\\e[2Jb\", x]}}"), @r#"
    games/lost-bell/config.yaml:1:30: error: `services.chat.personas` must be a persona's name of 2 to 40 small letters, digits, `_` and `-`, a letter first, not `Mara`
    games/lost-bell/config.yaml:1:36: error: `services.chat.personas` must be a persona's name of 2 to 40 small letters, digits, `_` and `-`, a letter first, not `../etc/passwd`
    games/lost-bell/config.yaml:1:51: error: `services.chat.personas` must be a persona's name of 2 to 40 small letters, digits, `_` and `-`, a letter first, not `a\u{1b}[2Jb`
    games/lost-bell/config.yaml:1:62: error: `services.chat.personas` must be a persona's name of 2 to 40 small letters, digits, `_` and `-`, a letter first, not `x`
    "#);
}

#[test]
fn tool_servers_of_ones_own_need_a_name_and_a_way() {
    let config = "\
services:
  chat:
    mcp_servers:
      - {url: https://example.com/mcp}
      - {name: Buses, url: https://example.com/mcp}
      - {name: buses}
      - {name: trains, command: trains, url: https://example.com/mcp}
      - {name: trams, url: ftp://example.com, timeout: 1h, tool: [a]}
      - {name: ferries, command: []}
      - {name: papers, feeds: [https://example.com/a.xml], url: https://example.com/mcp}
";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:4:9: error: `services.chat.mcp_servers` needs `name`
      help: for example `name: bus_times`
    games/lost-bell/config.yaml:5:16: error: `services.chat.mcp_servers.name` must be a name of small letters, digits and `_`, a letter first, at most 40 characters, not `Buses`
    games/lost-bell/config.yaml:6:9: error: `services.chat.mcp_servers` needs `command`, `url` or `feeds`
    games/lost-bell/config.yaml:7:41: error: `command` and `url` cannot stand together
      help: keep one of them
    games/lost-bell/config.yaml:8:28: error: `services.chat.mcp_servers.url` must be an https:// address, or an http:// one of this machine or a private network
    games/lost-bell/config.yaml:8:56: error: `services.chat.mcp_servers.timeout` must be a time with its unit (ms, s or m) from 100ms to 1m, not `1h`
    games/lost-bell/config.yaml:8:60: error: `tool` is not a key of `services.chat.mcp_servers`
      help: did you mean `tools`? allowed: name, command, url, feeds, tools, timeout, kinds, trusted, env, files, network, key, oauth
    games/lost-bell/config.yaml:9:34: error: `services.chat.mcp_servers.command` is empty
      help: write something into it, or leave it out
    games/lost-bell/config.yaml:10:60: error: `feeds` and `url` cannot stand together
      help: keep one of them
    "#);
}

#[test]
fn what_a_tool_server_says_must_go_together() {
    let config = "\
services:
  chat:
    mcp_servers:
      - {name: buses, url: https://example.com/mcp, files: [/srv], network: true, env: {A: b}}
      - {name: trains, command: trains, key: env:KEY, files: [srv], env: {1A: b}}
      - {name: trams, url: https://example.com/mcp, key: hunter2, oauth: {client_secret: env:SECRET}}
      - {name: ferries, command: ferries, tools: [a], kinds: {b: reads, a: buys, 'c d': reads}}
      - {name: planes, url: https://example.com/mcp, oauth: {client_id: gaia}}
      - {name: ships, url: https://example.com/mcp, oauth: {client_id: gaia, client_key: env:KEY, sign_in: file:/srv/s}}
";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:4:53: error: `files` only goes with `command`
      help: leave it out; the server has `url`
    games/lost-bell/config.yaml:4:68: error: `network` only goes with `command`
      help: leave it out; the server has `url`
    games/lost-bell/config.yaml:4:83: error: `env` only goes with `command`
      help: leave it out; the server has `url`
    games/lost-bell/config.yaml:5:41: error: `key` only goes with `url`
      help: leave it out; the server has `command`
    games/lost-bell/config.yaml:5:63: error: `services.chat.mcp_servers.files` must be an absolute path such as /srv/data, not `srv`
    games/lost-bell/config.yaml:5:75: error: `1A` cannot be a name in `services.chat.mcp_servers.env`
      help: it must be the name of a variable: letters, digits and `_`, no digit first
    games/lost-bell/config.yaml:6:58: error: `services.chat.mcp_servers.key` must say where the key is found, not the key itself (what stands there is not repeated here)
      help: write env:NAME or file:/path; if this was a real key, replace it: it stood in a file
    games/lost-bell/config.yaml:6:58: error: `key` and `oauth` cannot stand together
      help: keep one of them
    games/lost-bell/config.yaml:6:74: error: `oauth` does not say which client asks for a token
      help: give `client_id` and its `client_secret`, or `sign_in` for somebody's yes in a browser
    games/lost-bell/config.yaml:7:62: error: `kinds` speaks of `b`, which `tools` leaves out
      help: add it to `tools`, or leave it out here
    games/lost-bell/config.yaml:7:76: error: `buys` is not known in `services.chat.mcp_servers.kinds.a`
      help: allowed: reads, locates, posts, spends
    games/lost-bell/config.yaml:7:82: error: `c d` cannot be a name in `services.chat.mcp_servers.kinds`
      help: it must be a tool's name of at most 64 letters, digits, `_`, `-` and `.`
    games/lost-bell/config.yaml:8:61: error: `oauth` does not say how the client shows that it is itself
      help: give its `client_secret` or `client_key`, or `sign_in` for somebody's yes in a browser
    games/lost-bell/config.yaml:9:90: error: `client_key` and `sign_in` cannot stand together
      help: keep one of them
    "#);
}

#[test]
fn a_tools_lock_that_is_torn_is_told() {
    let folder = Folder::with_config("name: Bell\n").file("tools.lock", "{\"buses\": {\"next_bus\": 5}}\n");
    assert_snapshot!(folder.faults(), @r#"
    games/lost-bell/config.yaml:1:1: warning: the game has no personas, so a built-in `guide` speaks for it
      help: write personas/guide.md
    games/lost-bell/tools.lock:1:24: error: this is not what `gaia tools` wrote
      help: take it from your version control, or delete it to trust the tools as they are now
    "#);
}

fn route(keys: &str) -> String {
    errors(&format!(
        "ai_configuration:\n  routes:\n    - {{name: a, provider: openai, model: m, {keys}}}\n"
    ))
}

#[test]
fn a_route_needs_its_parts() {
    let config = "\
ai_configuration:
  routes:
    - {provider: anthropc, model: m, api_key: env:KEY}
    - {name: a, provider: openai, model: m}
    - {name: a, provider: openai, base_url: http://127.0.0.1:11434/v1, model: m, first_token_timeout: 10ms}
";
    assert_snapshot!(errors(config), @r#"
    games/lost-bell/config.yaml:3:7: error: `ai_configuration.routes` needs `name`
      help: for example `name: claude`
    games/lost-bell/config.yaml:3:18: error: `anthropc` is not known in `ai_configuration.routes.provider`
      help: did you mean `anthropic`? allowed: anthropic, openai
    games/lost-bell/config.yaml:4:7: error: the route `a` needs `api_key`
      help: write `api_key: env:NAME`, or the `base_url` of an endpoint without a key
    games/lost-bell/config.yaml:5:103: error: `ai_configuration.routes.first_token_timeout` must be a time with its unit (ms, s or m) from 100ms to 5m, not `10ms`
    "#);
}

#[test]
fn a_key_itself_is_refused_and_never_repeated() {
    for key in [
        "sk-ant-api03-VERYSECRET",
        "env:sk-ant-api03-VERYSECRET",
        "file:VERYSECRET",
        "VERYSECRET",
        "[VERYSECRET]",
    ] {
        let errors = route(&format!("api_key: '{key}'"));
        assert!(
            errors.contains("not the key itself") && !errors.contains("VERYSECRET"),
            "{errors}"
        );
    }
    assert_snapshot!(route("api_key: sk-ant-api03-VERYSECRET"), @r#"
    games/lost-bell/config.yaml:3:54: error: `ai_configuration.routes.api_key` must say where the key is found, not the key itself (what stands there is not repeated here)
      help: write env:NAME or file:/path; if this was a real key, replace it: it stood in a file
    "#);
    let misplaced =
        errors("ai_configuration: {routes: [{name: sk-ant-api03-VERYSECRET, provider: sk-ant-api03-VERYSECRET}]}");
    assert!(!misplaced.contains("VERYSECRET"), "{misplaced}");
    let harmless = errors("services: {chat: {personas: [Task-oriented-mara]}}");
    assert!(harmless.contains("not `Task-oriented-mara`"), "{harmless}");
    let in_address = route("base_url: 'https://me:VERYSECRET@example.com'");
    assert!(
        in_address.contains("holds a user or password") && !in_address.contains("VERYSECRET"),
        "{in_address}"
    );
}

#[test]
fn unencrypted_addresses_stay_near() {
    for near in [
        "http://127.0.0.1:11434/v1",
        "http://localhost:8000",
        "http://[::1]:8000/v1/",
        "http://10.1.2.3",
        "http://192.168.0.7:1234",
        "http://ollama:11434",
        "http://host.docker.internal:11434",
        "https://api.example.com/v1",
    ] {
        assert_eq!(route(&format!("base_url: '{near}'")), "", "{near}");
    }
    for far in [
        "http://api.example.com",
        "http://8.8.8.8",
        "http://169.254.169.254/latest",
        "http://0x7f.1.example.com",
    ] {
        assert!(route(&format!("base_url: '{far}'")).contains("unencrypted"), "{far}");
    }
    for odd in [
        "file:///etc/passwd",
        "example.com",
        "https://",
        "https://a b",
        "gopher://127.0.0.1",
    ] {
        assert!(
            route(&format!("base_url: '{odd}'")).contains("must be an https:// address"),
            "{odd}"
        );
    }
    assert_snapshot!(route("base_url: 'http://api.example.com/v1'"), @r#"
    games/lost-bell/config.yaml:3:55: error: `ai_configuration.routes.base_url` would send keys and players' words unencrypted to another network
      help: use https://, or an address of this machine or a private network
    "#);
    assert_snapshot!(route("base_url: 'https://api.example.com/v1?key=1'"), @r#"
    games/lost-bell/config.yaml:3:55: error: `ai_configuration.routes.base_url` holds a `?` or `#`
      help: write only scheme, host, port and path
    "#);
}

#[test]
fn texts_are_bounded_and_without_control_characters() {
    assert_snapshot!(errors(&format!("name: {}\ntheme: \"a\\u0007b\"\n", "x".repeat(81))), @r#"
    games/lost-bell/config.yaml:1:7: error: `name` has 81 characters; 80 is the most
    games/lost-bell/config.yaml:2:8: error: `theme` holds a control character: \u{7}
    "#);
}

#[test]
fn no_more_than_a_hundred_faults_are_told_of_a_file() {
    let config: String = (0..5000).map(|number| format!("key{number}: 1\n")).collect();
    let faults = Folder::with_config(&config)
        .file("personas/mara.md", "You are Mara.")
        .check()
        .unwrap_err();
    assert_eq!(faults.errors(), 101);
    let last = faults.list().last().unwrap();
    assert_eq!(last.message, "4900 more faults of this file are not told");
}
