//! What the program says about itself, and how it refuses what it cannot use.

use insta::assert_snapshot;

use crate::binary::{Answer, Gaia};

const VERBS: [&str; 20] = [
    "new", "check", "explain", "plan", "render", "up", "scale", "status", "costs", "list", "logs", "restart", "down",
    "destroy", "doctor", "model", "keys", "play", "health", "serve",
];

#[test]
fn help_is_a_first_page_of_a_manual() {
    let answer = Gaia::new().run(&["--help"]).exits(0);
    assert_snapshot!(answer.out, @r"
    Runs games whose AI characters live in the real world.

    A game is one folder with a config.yaml and its personas. `gaia up` makes it a running cluster of its own, with gateway,
    auth and chat and a private Postgres, Redis and NATS: as processes on this machine, in containers by Docker Compose, or in
    a namespace of Kubernetes.

    Usage: gaia <VERB>

    Verbs:
      new      Make a game's folder, ready to be changed
      check    Say everything that is wrong with games' folders
      explain  Show what can be written: a commented config or persona, the schema, or every command
      plan     Show what `gaia up` would do; exits 2 if that is something
      render   Write what `gaia up` would apply as plain files
      up       Bring a game up, or change it to what its folder says now
      scale    Run more or fewer instances of a game's services
      status   Say how a game is, or all games
      costs    Say what a game's models cost, and what is left of its budget
      list     List the clusters on this machine
      logs     Show what a game's processes wrote
      restart  Restart a game's processes
      down     Stop a game and keep its data
      destroy  Remove a game with all its data
      doctor   Say what this machine lacks, and the command that brings it
      model    Install or list models
      keys     Make, list or revoke the keys of a game's own programs
      secrets  Replace the secrets with which a game's own parts come to each other
      tools    List a game's tools, call one, accept one that changed, or sign in to a server
      mcp      Run a tool server that comes with Gaia: weather, location or news
      play     Talk to a game's characters
      health   Ask a service whether it is ready
      serve    Run one part of a cluster; `gaia up` does this by itself
      help     Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    A first game:
      gaia new my-game                         make games/my-game
      gaia check games/my-game                 see what is wrong with it
      gaia up games/my-game                    bring it up
      gaia play my-game                        talk to its characters

    Exit codes:
      0   nothing to do, or done
      1   it failed
      2   there are changes to make (gaia plan)
      64  what was typed or written cannot be used

    Environment:
      GAIA_HOME        where Gaia keeps everything on this machine; default: /var/lib/gaia for root, else
                       $XDG_STATE_HOME/gaia or ~/.local/state/gaia
      GAIA_TARGET      where games run that run nowhere yet: local, compose or kubernetes; default: local
      GAIA_MODELS      where models lie; default: models in home
      GAIA_PRICE_BOOK  what cores, memory and volumes cost (a file); default: prices.yaml in home
      GAIA_LOG         what `gaia serve` logs, such as info or gaia_chat=debug,warn
      NO_COLOR         no colour
    ");
}

#[test]
fn each_verb_explains_itself() {
    let gaia = Gaia::new();
    for verb in VERBS {
        let answer = gaia.run(&[verb, "--help"]).exits(0);
        let about = answer.out.split("Usage:").next().unwrap_or_default();
        assert!(about.len() > 80, "`gaia {verb} --help` begins with {about:?}");
        assert!(answer.out.contains(&format!("Usage: gaia {verb}")), "{}", answer.out);
    }
}

#[test]
fn the_help_of_up_says_what_it_does() {
    let answer = Gaia::new().run(&["up", "--help"]).exits(0);
    assert_snapshot!(answer.out, @r"
    Bring a game up, or change it to what its folder says now

    Checks the folder, makes the plan and carries it out: stores, migrations, services, the game's content. Only what
    differs is touched, so running it again changes nothing, and after any interruption it goes on from where it
    stopped. Several folders with --cluster share one cluster.

    Keys of routes to LLM providers are taken from the variables or files that the config names. Without any, the
    characters answer with what their files say, chosen by a small model on this machine (see `gaia model`).

    Usage: gaia up [OPTIONS] <FOLDER>...

    Arguments:
      <FOLDER>...
              The game's folder: games/zombie-survival. Several with --cluster share one cluster

    Options:
          --cluster <NAME>
              The name of a cluster that several games share [default: a cluster of its own, called like the game]

          --replicas <SERVICE=N>
              How many instances of a service to run: chat=2, or chat=usual (may be given for each service) [default: what was asked for before, else as many as usual]

          --home <FOLDER>
              Where Gaia keeps everything on this machine [default: $GAIA_HOME, else see `gaia help`]

          --target <TARGET>
              Where the game runs: local, compose or kubernetes [default: where it runs, else $GAIA_TARGET, else local]

          --context <CONTEXT>
              The context of the kubeconfig, on Kubernetes [default: where the game runs, else the current one]

          --json
              Print one JSON document on standard output and nothing else there

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn a_plan_costs_what_the_operators_own_price_book_says() {
    let gaia = Gaia::new();
    gaia.run(&["new", "kos"]).exits(0);
    let plan = ["plan", "games/kos"];
    let free = gaia.run(&plan).exits(2);
    assert!(!free.out.contains("a month"), "{}", free.out);
    let book =
        "currency: EUR\nprices: [{target: local, vcpu_hour: 0.01, memory_gib_hour: 0.002, volume_gib_month: 0.1}]\n";
    let file = gaia.write("own.yaml", book);
    let named = gaia
        .run(&[&plan[..], &["--price-book", file.to_str().unwrap()]].concat())
        .exits(2);
    let last = named.out.lines().last().unwrap();
    assert!(
        last.starts_with("about ") && last.contains(" EUR a month (+"),
        "{}",
        named.out
    );
    let by_variable = gaia.command(&plan).env("GAIA_PRICE_BOOK", &file).output().unwrap();
    assert_eq!(Answer::of(by_variable).out, named.out);
    gaia.write("home/prices.yaml", book);
    assert_eq!(gaia.run(&plan).exits(2).out, named.out);
    let cost = gaia.run(&[&plan[..], &["--json"]].concat()).exits(2).json()["plan"]["cost"].clone();
    assert_eq!((&cost["currency"], &cost["before"]), (&"EUR".into(), &0.into()));
    gaia.write("own.yaml", "prices: [{target: nowhere}]\n");
    let bad = gaia
        .run(&[&plan[..], &["--price-book", file.to_str().unwrap()]].concat())
        .exits(64);
    assert!(
        bad.err.contains("own.yaml:1:19: error: `nowhere` is not known"),
        "{}",
        bad.err
    );
    assert_eq!(gaia.run(&["explain", "prices"]).exits(0).err, "");
}

#[test]
fn every_command_is_on_the_page_of_commands() {
    let answer = Gaia::new().run(&["explain", "commands"]).exits(0);
    for verb in VERBS {
        assert!(
            answer.out.contains(&format!("## `gaia {verb}`\n")),
            "no {verb} in {}",
            answer.out
        );
    }
    assert!(answer.out.contains("## `gaia serve supervisor`\n"), "{}", answer.out);
}

#[test]
fn wrong_usage_exits_64_and_says_what_is_right() {
    let gaia = Gaia::new();
    for wrong in [
        &["upp"][..],
        &["up"],
        &["up", "games/kos", "--replicas", "chat"],
        &["up", "games/kos", "--replicas", "world=2"],
        &["up", "games/kos", "--cluster", "Not A Name"],
        &["status", "--nonsense"],
        &["explain", "everything"],
        &["play", "NOT-A-GAME"],
        &["serve"],
        &["serve", "gateway"],
        &[],
    ] {
        let answer = gaia.run(wrong).exits(64);
        assert!(answer.out.is_empty() && !answer.err.is_empty(), "{wrong:?}: {answer:?}");
    }
    let answer = gaia.run(&["up", "games/kos", "--replicas", "world=2"]);
    assert_snapshot!(answer.err, @r"
    error: invalid value 'world=2' for '--replicas <SERVICE=N>': `world` is not one of gateway, auth, chat

    For more information, try '--help'.
    ");
}

#[test]
fn a_name_that_no_cluster_has_is_refused_with_what_to_type_next() {
    let gaia = Gaia::new();
    for verb in ["status", "logs", "restart", "down", "play"] {
        let answer = gaia.run(&[verb, "kos"]).exits(64);
        let is_told = answer.err.starts_with("error: there is no cluster `kos`") && answer.err.contains("\nhelp: ");
        assert!(is_told && answer.err.contains("gaia list"), "{verb}: {}", answer.err);
    }
    let answer = gaia.run(&["status", "games/kos"]).exits(64);
    assert!(
        answer.err.contains("give the game's name, not its folder"),
        "{}",
        answer.err
    );
}

#[test]
fn a_failure_as_json_is_one_document() {
    let answer = Gaia::new().run(&["status", "kos", "--json"]).exits(64);
    let told = answer.json();
    assert!(
        told["error"].as_str().unwrap().contains("there is no cluster `kos`"),
        "{told}"
    );
    assert!(told["help"].as_str().unwrap().contains("gaia list"), "{told}");
    assert!(answer.err.is_empty(), "{}", answer.err);
}

#[test]
fn destroying_what_is_not_there_is_nothing_to_do() {
    let answer = Gaia::new().run(&["destroy", "kos", "--yes", "--json"]).exits(0);
    assert_eq!(answer.json()["changed"], false);
}

#[test]
fn an_empty_home_has_no_cluster() {
    let gaia = Gaia::new();
    assert_eq!(gaia.run(&["list", "--json"]).exits(0).json(), serde_json::json!([]));
    assert_eq!(gaia.run(&["status", "--json"]).exits(0).json(), serde_json::json!([]));
    assert!(gaia.run(&["list"]).exits(0).out.contains("Next: `gaia up "));
    assert!(!gaia.home().exists(), "listing must not make a home");
}

#[test]
fn the_doctor_names_the_model_and_the_command_that_brings_it() {
    let answer = Gaia::new().run(&["doctor", "--json"]);
    let report = answer.json();
    let findings = report["findings"].as_array().unwrap();
    let model = findings.iter().find(|finding| finding["what"] == "model").unwrap();
    assert_eq!(model["state"], "poor");
    assert_eq!(model["fix"], "gaia model pull all-minilm-l6-v2");
    assert!(findings.iter().any(|finding| finding["what"] == "postgres"), "{report}");
    assert_eq!(answer.code == 0, report["is_fit"] == true);
}

#[test]
fn models_are_listed_with_their_licence_and_an_unknown_one_is_refused() {
    let gaia = Gaia::new();
    let models = gaia.run(&["model", "list", "--json"]).exits(0).json();
    assert_eq!(models[0]["name"], "all-minilm-l6-v2");
    assert_eq!(models[0]["licence"], "Apache-2.0");
    assert_eq!(models[0]["state"], "absent");
    let answer = gaia.run(&["model", "pull", "gpt-9"]).exits(64);
    assert!(answer.err.contains("known: all-minilm-l6-v2"), "{}", answer.err);
}

#[test]
fn a_service_without_good_settings_exits_64() {
    let gaia = Gaia::new();
    let file = gaia.write("settings.json", "{}");
    for service in ["gateway", "auth", "chat"] {
        let answer = gaia
            .run(&["serve", service, "--settings", file.to_str().unwrap()])
            .exits(64);
        assert!(answer.err.starts_with("error: "), "{}", answer.err);
    }
}

#[test]
fn health_tells_ready_from_not_ready_and_from_gone() {
    let gaia = Gaia::new();
    let gateway = crate::scripted_gateway::Gateway::start();
    gaia.run(&["health", &gateway.url("/health/live")]).exits(0);
    let answer = gaia.run(&["health", &gateway.url("/")]).exits(1);
    assert!(answer.err.contains("kos/postgres"), "{}", answer.err);
    let gone = gateway.url("/");
    drop(gateway);
    let answer = gaia.run(&["health", &gone]).exits(1);
    assert!(answer.err.contains("cannot be reached"), "{}", answer.err);
}
