//! The YAML of the user's document, word for word.

use gaia_names::{Service, Store};
use gaia_spec::{Autoscaler, Checked, Size};

use crate::Folder;

const BASE_SERVICES: &str = include_str!("../data/document/base-services.yaml");
const ZOMBIE_SURVIVAL: &str = include_str!("../data/document/zombie-survival.yaml");
const FANTASY_QUEST: &str = include_str!("../data/document/fantasy-quest.yaml");
const SMALL: &str = include_str!("../data/document/scale-small.yaml");
const MEDIUM: &str = include_str!("../data/document/scale-medium.yaml");
const LARGE: &str = include_str!("../data/document/scale-large.yaml");
const AUTOSCALING: &str = include_str!("../data/document/autoscaling.yaml");
const ZOMBIE_EXAMPLE: &str = include_str!("../data/document/example-zombie-survival.yaml");
const MYSTERY_EXAMPLE: &str = include_str!("../data/document/example-historical-mystery.yaml");
const FITNESS_EXAMPLE: &str = include_str!("../data/document/example-fitness-challenge.yaml");

/// Every block of the document that is part of a config.
pub(crate) const BLOCKS: [&str; 10] = [
    BASE_SERVICES,
    ZOMBIE_SURVIVAL,
    FANTASY_QUEST,
    SMALL,
    MEDIUM,
    LARGE,
    AUTOSCALING,
    ZOMBIE_EXAMPLE,
    MYSTERY_EXAMPLE,
    FITNESS_EXAMPLE,
];

/// The document's games with their blocks put together in one file.
pub(crate) fn merged_games() -> [(&'static str, String); 4] {
    [
        (
            "zombie-survival",
            [ZOMBIE_SURVIVAL, ZOMBIE_EXAMPLE, MEDIUM, AUTOSCALING].concat(),
        ),
        ("fantasy-quest", [FANTASY_QUEST, SMALL].concat()),
        (
            "historical-mystery",
            [BASE_SERVICES, MYSTERY_EXAMPLE, SMALL, AUTOSCALING].concat(),
        ),
        (
            "fitness-challenge",
            [BASE_SERVICES, FITNESS_EXAMPLE, LARGE, AUTOSCALING].concat(),
        ),
    ]
}

fn merged(name: &'static str) -> Checked {
    let (_, config) = merged_games().into_iter().find(|(game, _)| *game == name).unwrap();
    Folder::named(name).file("config.yaml", config).checked()
}

/// Replicas and resources as one line: `gateway 5, chat 10 (2048 MiB, 1000 m), redis 3 clustered`.
fn sizes(checked: &Checked) -> String {
    let game = &checked.game;
    let (gateway, chat) = (game.services[&Service::Gateway], game.services[&Service::Chat]);
    let count = |replicas: gaia_spec::Replicas| {
        let more = if replicas.or_more { "+" } else { "" };
        let clustered = if replicas.is_clustered { " clustered" } else { "" };
        format!("{}{more}{clustered}", replicas.count)
    };
    let (memory, cpu) = (chat.resources.memory_bytes >> 20, chat.resources.cpu_millicores);
    let redis = count(game.stores[&Store::Redis].replicas);
    let (gateway, chat) = (count(gateway.replicas), count(chat.replicas));
    format!("gateway {gateway}, chat {chat} ({memory} MiB, {cpu} m), redis {redis}")
}

#[test]
fn every_block_of_the_document_checks_alone() {
    for block in BLOCKS {
        Folder::with_config(block).checked();
    }
}

#[test]
fn every_game_of_the_document_checks_with_its_blocks_put_together() {
    for (name, config) in merged_games() {
        let checked = Folder::named(name).file("config.yaml", config).checked();
        assert_eq!(checked.game.id.as_str(), name);
    }
}

#[test]
fn the_zombies_are_as_the_document_says() {
    let checked = merged("zombie-survival");
    let game = &checked.game;
    assert_eq!(
        (game.name.as_str(), game.theme.as_str()),
        ("Zombie Survival MMOIRL", "post-apocalyptic")
    );
    let personas: Vec<_> = game.personas.iter().map(|persona| persona.id.as_str()).collect();
    assert_eq!(personas, ["survivor_guide", "zombie_expert", "medical_advisor"]);
    let servers: Vec<_> = game
        .tool_servers
        .iter()
        .map(|server| (server.name.as_str(), server.is_available))
        .collect();
    assert_eq!(
        servers,
        [
            ("weather_api", true),
            ("location_service", true),
            ("news_scraper", false)
        ]
    );
    assert_eq!((game.response_time_target_ms, game.context_window), (500, 5));
    assert_eq!(game.personality.as_deref(), Some("urgent, survival-focused"));
    assert_eq!(
        (game.size, game.regions.join(" ")),
        (Size::Medium, "us-east us-west eu-west".to_owned())
    );
    let autoscaler = Autoscaler {
        min_replicas: 1,
        max_replicas: 50,
        target_cpu_percent: 70,
    };
    assert_eq!(game.autoscaler, Some(autoscaler));
    assert_eq!(
        sizes(&checked),
        "gateway 5, chat 10 (2048 MiB, 1000 m), redis 3 clustered"
    );
    assert!(game.features.values().all(|is_on| *is_on) && game.features.len() == 3);
}

#[test]
fn a_size_stands_for_what_the_document_says() {
    let of_size =
        |size: &str| sizes(&Folder::with_config(&format!("infrastructure: {{cluster_size: {size}}}")).checked());
    for (size, block) in [("small", SMALL), ("medium", MEDIUM), ("large", LARGE)] {
        assert_eq!(of_size(size), sizes(&Folder::with_config(block).checked()), "{size}");
    }
    assert_eq!(
        of_size("large"),
        "gateway 10+, chat 20+ (4096 MiB, 2000 m), redis 5+ clustered"
    );
}

#[test]
fn replicas_win_over_the_size() {
    let config = format!("infrastructure: {{cluster_size: small}}\n{LARGE}");
    let checked = Folder::with_config(&config).checked();
    assert_eq!(
        sizes(&checked),
        "gateway 10+, chat 20+ (4096 MiB, 2000 m), redis 5+ clustered"
    );
}

#[test]
fn what_is_not_built_is_told_and_not_refused() {
    insta::assert_snapshot!(Folder::named("fantasy-quest").file("config.yaml", FANTASY_QUEST).faults(), @r#"
    games/fantasy-quest/config.yaml:7:9: warning: `wise_wizard` has no file, so a built-in starter speaks for it
      help: write personas/wise_wizard.md
    games/fantasy-quest/config.yaml:8:9: warning: `quest_giver` has no file, so a built-in starter speaks for it
      help: write personas/quest_giver.md
    games/fantasy-quest/config.yaml:9:9: warning: `merchant` has no file, so a built-in starter speaks for it
      help: write personas/merchant.md
    games/fantasy-quest/config.yaml:11:9: warning: `image_recognition` is not built yet; it will show as unavailable
    games/fantasy-quest/config.yaml:12:9: warning: `social_media` is not built yet; it will show as unavailable
    games/fantasy-quest/config.yaml:13:9: warning: `payment_gateway` is not built yet; it will show as unavailable
    "#);
}

#[test]
fn the_list_of_services_may_say_more_about_chat() {
    let config = BASE_SERVICES.replace("- chat  ", "- chat: {personas: [mara]}  ");
    let checked = Folder::with_config(&config).checked();
    assert_eq!(checked.game.personas[0].name, "Mara");
}

#[test]
fn both_forms_of_services_in_one_file_are_told_apart_clearly() {
    insta::assert_snapshot!(Folder::with_config(&[BASE_SERVICES, ZOMBIE_SURVIVAL].concat()).errors(), @r#"
    games/lost-bell/config.yaml:11:1: error: `services` stands here for the second time; the first is in line 1
      help: keep one of them
    "#);
}
