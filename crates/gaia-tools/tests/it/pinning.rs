//! A tool is what it was when it was first seen.

use std::collections::BTreeMap;

use gaia_protocol::bundle::ToolServer;
use gaia_testkit::eventually;
use gaia_tools::{CallFault, Pin, PinStore, PinsInMemory, Standing};

use crate::support::{House, hostile};

async fn changed() -> House {
    let house = House::of(&[hostile("changes")]).await;
    assert_eq!(house.names("changes"), ["changes.look", "changes.still"]);
    assert!(!house.say("changes.look", "x").await.is_error);
    let is_changed = async || (house.names("changes") == ["changes.still"]).then_some(());
    eventually("the change is seen", is_changed).await;
    house
}

#[tokio::test]
async fn a_tool_that_changes_its_description_is_refused_until_it_is_accepted() {
    let house = changed().await;
    let answer = house.say("changes.look", "x").await;
    assert_eq!(answer.fault, Some(CallFault::Changed));
    let report = house.report("changes");
    assert_eq!(report.notes, ["`changes.look` is changed, and waits to be accepted"]);
    assert_eq!(report.tools[0].standing, Standing::Changed);
    let pin = house.pins.of_server("changes").await.unwrap()["look"].clone();
    assert_eq!(pin.waiting.as_ref(), Some(&report.tools[0].fingerprint));
    assert_ne!(pin.accepted, report.tools[0].fingerprint);

    assert!(house.pins.accept("changes", "look").await.unwrap());
    house.host.look_again("changes");
    eventually("it is offered again", async || {
        (house.names("changes").len() == 2).then_some(())
    })
    .await;
    assert!(!house.say("changes.look", "x").await.is_error);
}

#[tokio::test]
async fn a_restart_does_not_forget_what_a_tool_was() {
    let seen = |print: &str| Pin {
        accepted: print.to_owned(),
        waiting: None,
    };
    let kept = BTreeMap::from([(("good".to_owned(), "look".to_owned()), seen("something else"))]);
    let house = House::with(&[hostile("good")], PinsInMemory::with(kept)).await;
    assert_eq!(house.names("good"), Vec::<String>::new());
    assert_eq!(house.say("good.look", "x").await.fault, Some(CallFault::Changed));
}

#[tokio::test]
async fn what_the_author_accepted_goes_before_what_was_seen_first() {
    let first = House::of(&[hostile("good")]).await;
    let print = first.report("good").tools[0].fingerprint.clone();
    let accepting = |print: &str| ToolServer {
        pins: BTreeMap::from([("look".to_owned(), print.to_owned())]),
        ..hostile("good")
    };
    let pins = PinsInMemory::with(BTreeMap::from([(
        ("good".to_owned(), "look".to_owned()),
        Pin {
            accepted: "something else".to_owned(),
            waiting: None,
        },
    )]));
    assert_eq!(
        House::with(&[accepting(&print)], pins).await.names("good"),
        ["good.look"]
    );
    let house = House::of(&[accepting("something else")]).await;
    assert_eq!(house.names("good"), Vec::<String>::new());
}
