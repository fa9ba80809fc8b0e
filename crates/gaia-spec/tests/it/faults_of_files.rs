//! What is said of folders and files that are not what they should be, and of YAML that could be a trap.

use std::{fs, os::unix::fs::symlink, time::Instant};

use gaia_spec::check_folder;
use insta::assert_snapshot;

use crate::Folder;

fn errors(config: &str) -> String {
    Folder::with_config(config).errors()
}

#[test]
fn a_folder_that_is_not_there_names_its_neighbour() {
    let folder = Folder::with_config("");
    let faults = check_folder(&folder.parent.path().join("lost-bel"))
        .unwrap_err()
        .to_string();
    assert_snapshot!(faults.replace(&folder.parent.path().display().to_string(), "games"), @r#"
    games/lost-bel:1:1: error: there is no such folder
      help: did you mean `games/lost-bell`?
    "#);
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let folder = Folder::with_config("");
    let faults = check_folder(&folder.path().join("config.yaml"))
        .unwrap_err()
        .to_string();
    assert_snapshot!(faults.replace(&folder.parent.path().display().to_string(), "games"), @r#"
    games/lost-bell/config.yaml:1:1: error: this is not a folder
      help: name the folder that holds config.yaml
    "#);
}

#[test]
fn the_folders_name_must_be_a_game_id() {
    assert_snapshot!(Folder::named("Lost_Bell").file("config.yaml", "name: Lost Bell").errors(), @r#"
    games/Lost_Bell:1:1: error: `Lost_Bell` is not a game id: use 3 to 40 characters: lower-case letters, digits and dashes, a letter first, a letter or digit last
      help: rename the folder: its name is the game's id
    "#);
}

#[test]
fn an_empty_folder_is_a_game_with_defaults() {
    assert_snapshot!(Folder::named("lost-bell").faults(), @r#"
    games/lost-bell/config.yaml:1:1: warning: there is no config.yaml, so defaults hold
      help: `gaia explain config` shows what it may say
    games/lost-bell/config.yaml:1:1: warning: the game has no personas, so a built-in `guide` speaks for it
      help: write personas/guide.md
    "#);
}

#[test]
fn a_config_with_another_ending_is_told() {
    assert_snapshot!(Folder::named("lost-bell").file("config.yml", "name: Lost Bell").errors(), @r#"
    games/lost-bell/config.yml:1:1: error: the config must be called `config.yaml`
      help: rename it
    "#);
}

#[test]
fn anchors_aliases_and_tags_are_refused() {
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nname: !!str Lost\ntheme: *nothing\n";
    assert_snapshot!(errors(bomb), @r#"
    games/lost-bell/config.yaml:1:4: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    games/lost-bell/config.yaml:2:4: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    games/lost-bell/config.yaml:2:8: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    games/lost-bell/config.yaml:2:12: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    games/lost-bell/config.yaml:3:7: error: tags such as `!!str` are not read here
      help: write the value without it
    games/lost-bell/config.yaml:4:8: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    "#);
    assert_snapshot!(errors("name: *bold*"), @r#"
    games/lost-bell/config.yaml:1:7: error: anchors (`&name`) and aliases (`*name`) are not read here
      help: write the value out; a text that begins with `*` or `&` needs quotes
    "#);
}

#[test]
fn a_second_document_is_refused() {
    assert_snapshot!(errors("name: Lost Bell\n---\nname: Found Bell\n"), @r#"
    games/lost-bell/config.yaml:2:1: error: a second document starts here
      help: keep one document in the file, without `---` between its parts
    "#);
}

#[test]
fn tabs_and_control_characters_are_refused() {
    assert_snapshot!(errors("services:\n\tchat:\n\t\tpersonas: [a]\nname: \"\u{1b}[2J\"\n"), @r#"
    games/lost-bell/config.yaml:2:1: error: there is a tab here
      help: use spaces: YAML does not indent with tabs
    games/lost-bell/config.yaml:3:1: error: there is a tab here
      help: use spaces: YAML does not indent with tabs
    games/lost-bell/config.yaml:4:8: error: there is a control character here: \u{1b}
    "#);
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    assert_snapshot!(errors("name: \"Lost Bell\ntheme: dark\n"), @r#"
    games/lost-bell/config.yaml:1:7: error: this is not YAML: invalid indentation in quoted scalar
      help: look at the quotes, brackets, colons and indentation here and in the line above
    "#);
    assert_snapshot!(errors("services: {chat: {personas: [mara}}\n"), @r#"
    games/lost-bell/config.yaml:1:34: error: this is not YAML: while parsing a flow sequence, expected ',' or ']'
      help: look at the quotes, brackets, colons and indentation here and in the line above
    "#);
    assert_snapshot!(errors("name: Lost: Bell\n"), @r#"
    games/lost-bell/config.yaml:1:11: error: this is not YAML: mapping values are not allowed in this context
      help: look at the quotes, brackets, colons and indentation here and in the line above
    "#);
    assert_snapshot!(errors("theme: dark\n  name: Lost Bell\n"), @r#"
    games/lost-bell/config.yaml:2:7: error: this is not YAML: mapping values are not allowed in this context
      help: look at the quotes, brackets, colons and indentation here and in the line above
    "#);
    assert_snapshot!(errors("? [a, b]\n: c\n{}: d\n"), @r#"
    games/lost-bell/config.yaml:1:3: error: a key must be a word
    games/lost-bell/config.yaml:3:1: error: a key must be a word
    "#);
}

#[test]
fn deep_nesting_ends_early() {
    let started = Instant::now();
    assert_snapshot!(errors(&format!("name: {}", "[".repeat(100_000))), @r#"games/lost-bell/config.yaml:1:262: error: lists and maps stand more than 32 deep in each other here"#);
    let deep: String = (0..40).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_snapshot!(errors(&deep), @r#"games/lost-bell/config.yaml:33:33: error: lists and maps stand more than 32 deep in each other here"#);
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn files_have_a_largest_size() {
    assert_snapshot!(errors(&format!("# {}\n", "x".repeat(256 << 10))), @r#"
    games/lost-bell/config.yaml:1:1: error: the file is larger than 256 KiB
      help: make it shorter
    "#);
    assert_snapshot!(Folder::with_persona(&"x".repeat((256 << 10) + 1)).errors(), @r#"
    games/lost-bell/personas/mara.md:1:1: error: the file is larger than 256 KiB
      help: make it shorter
    "#);
}

#[test]
fn personas_have_a_largest_size_together() {
    let long = format!("---\nname: X\n---\nHello.\n<!-- {} -->\n", "x".repeat(250 << 10));
    let many = (0..25).fold(Folder::named("lost-bell"), |folder, number| {
        folder.file(&format!("personas/keeper_{number}.md"), &long)
    });
    let errors = many.errors();
    assert!(
        errors.contains("games/lost-bell/personas:1:1: error: the personas are larger than 6 MiB together"),
        "{errors}"
    );
    fs::remove_file(many.path().join("personas/keeper_0.md")).unwrap();
    assert!(!many.faults().contains("together"));
}

#[test]
fn files_are_utf8() {
    assert_snapshot!(Folder::named("lost-bell").file("config.yaml", b"name: Lost\ntheme: k\xf6ln\n").errors(), @r#"
    games/lost-bell/config.yaml:2:9: error: the file is not UTF-8 from here on
      help: save it as UTF-8
    "#);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let folder = Folder::with_config("\u{feff}name: Lost Bell\r\nservices:\r\n  chat:\r\n    personas: [mara]\r\n");
    let folder = folder.file(
        "personas/mara.md",
        "\u{feff}---\r\nname: Mara Voss\r\n---\r\nYou are Mara.\r\nBe kind.\r\n",
    );
    let checked = folder.checked();
    assert_eq!(checked.game.name, "Lost Bell");
    assert_eq!(checked.game.personas[0].name, "Mara Voss");
    assert_eq!(checked.game.personas[0].prompt, "You are Mara.\nBe kind.");
}

#[test]
fn links_may_not_leave_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.md"), "You are a secret.").unwrap();
    let folder = Folder::with_config("services: {chat: {personas: [mara, nora, otto]}}")
        .file("personas/mara.md", "You are Mara.");
    let personas = folder.path().join("personas");
    symlink(personas.join("mara.md"), personas.join("nora.md")).unwrap();
    symlink(outside.path().join("secret.md"), personas.join("otto.md")).unwrap();
    assert_snapshot!(folder.faults(), @r#"
    games/lost-bell/personas/otto.md:1:1: error: this link leads out of the game's folder
      help: put the file itself here
    "#);

    fs::remove_dir_all(&personas).unwrap();
    symlink(outside.path(), &personas).unwrap();
    assert_snapshot!(folder.errors(), @r#"
    games/lost-bell/personas:1:1: error: this must be a folder inside the game's folder
      help: put the personas into it
    "#);
}

#[test]
fn folders_and_dead_links_in_place_of_files_are_refused() {
    let folder = Folder::named("lost-bell");
    fs::create_dir(folder.path().join("config.yaml")).unwrap();
    fs::create_dir(folder.path().join("personas")).unwrap();
    symlink("nowhere", folder.path().join("personas/mara.md")).unwrap();
    assert_snapshot!(folder.errors(), @r#"
    games/lost-bell/config.yaml:1:1: error: this is not a file
      help: put a file here
    games/lost-bell/personas/mara.md:1:1: error: the file cannot be read: No such file or directory (os error 2)
      help: look at its link and permissions
    "#);
}

#[test]
fn there_are_at_most_64_personas() {
    let mut folder = Folder::with_config("");
    for number in 0..65 {
        folder = folder.file(&format!("personas/p{number}.md"), "You are one of many.");
    }
    assert_snapshot!(folder.errors(), @r#"
    games/lost-bell/personas:1:1: error: there are more than 64 personas or 1000 files here
      help: keep the others outside the game's folder
    "#);
    let names: Vec<_> = (0..65).map(|number| format!("p{number}")).collect();
    assert_snapshot!(errors(&format!("services: {{chat: {{personas: [{}]}}}}", names.join(", "))), @r#"games/lost-bell/config.yaml:1:29: error: `services.chat.personas` has 65 entries; 64 is the most"#);
}
