//! More and fewer instances by name, remembered until somebody asks for others.

use serde_json::{Value, json};

use crate::journey::Journey;

#[test]
fn a_number_of_instances_holds_until_another_one_is_asked_for() {
    whole(&Journey::begin());
}

#[test]
fn a_number_of_instances_in_containers_holds_until_another_one_is_asked_for() {
    if let Some(journey) = Journey::begin_in_containers() {
        whole(&journey);
        journey.gaia.run(&["destroy", "night-fleet", "--yes"]).exits(0);
    }
}

fn chats(journey: &Journey) -> Vec<String> {
    let names = journey.pids("night-fleet").into_keys();
    names.filter(|name| name.starts_with("chat-")).collect()
}

fn whole(journey: &Journey) {
    let gaia = &journey.gaia;
    let folder = &*journey.new_game("night-fleet");
    let refused = gaia.run(&["scale", "night-fleet", "chat=2"]);
    assert!(refused.code == 64 && refused.err.contains("gaia up"), "{refused:#?}");
    gaia.run(&["up", folder]).exits(0);
    let before = journey.pids("night-fleet");

    let scaled = gaia.run(&["scale", "night-fleet", "chat=2"]).exits(0);
    assert!(scaled.out.contains("service:chat-2"), "{}", scaled.out);
    assert_eq!(chats(journey), ["chat-1", "chat-2"]);
    for (name, pid) in &before {
        assert_eq!(journey.pids("night-fleet").get(name), Some(pid), "{name} was touched");
    }
    // Neither a plan nor an up takes it back, and both say that there is nothing to do.
    gaia.run(&["plan", folder]).exits(0);
    let up = gaia.run(&["up", folder, "--json"]).exits(0).json();
    assert_eq!(up["changed"], false, "{up}");
    assert_eq!(chats(journey), ["chat-1", "chat-2"]);
    let again = gaia.run(&["scale", "night-fleet", "chat=2", "--json"]).exits(0).json();
    assert_eq!(
        (&again["changed"], &again["asked"]),
        (&false.into(), &json!({ "chat": 2 }))
    );
    journey.talks("night-fleet");

    for nonsense in ["chat=0", "chat=-1", "chat=many", "chat=33", "world=2", "chat"] {
        gaia.run(&["scale", "night-fleet", nonsense]).exits(64);
    }
    let back = gaia
        .run(&["scale", "night-fleet", "chat=usual", "--json"])
        .exits(0)
        .json();
    assert_eq!(
        (&back["asked"], &back["replicas"]["chat"]),
        (&json!({}), &Value::from(1))
    );
    assert_eq!(chats(journey), ["chat-1"]);
    gaia.run(&["plan", folder]).exits(0);

    // What `up` was asked for holds as well, also when it is the usual number.
    gaia.run(&["up", folder, "--replicas", "chat=1"]).exits(0);
    let asked = gaia
        .run(&["scale", "night-fleet", "auth=usual", "--json"])
        .exits(0)
        .json();
    assert_eq!(asked["asked"], json!({ "chat": 1 }));

    if gaia.engine().is_some() {
        let refused = gaia.run(&["scale", "night-fleet", "gateway=2"]).exits(64);
        assert!(refused.err.contains("one gateway has it"), "{}", refused.err);
    }
    gaia.run(&["down", "night-fleet"]).exits(0);
    let stopped = gaia.run(&["scale", "night-fleet", "chat=2"]).exits(64);
    assert!(stopped.err.contains("does not run"), "{}", stopped.err);
    if gaia.engine().is_none() {
        gaia.run(&["destroy", "night-fleet", "--yes"]).exits(0);
    }
}
