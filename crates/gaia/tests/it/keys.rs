//! A key from its making to its end, by the program that makes it and a client that uses it.

use gaia_testkit::Visitor;
use serde_json::json;

use crate::journey::Journey;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_created_opens_the_game_until_it_is_revoked() {
    let journey = Journey::begin();
    let gaia = &journey.gaia;
    gaia.run(&["new", "night-train"]).exits(0);
    gaia.run(&["up", "games/night-train"]).exits(0);
    assert_eq!(
        gaia.run(&["keys", "night-train", "list", "--json"]).exits(0).json(),
        json!([])
    );

    let created = gaia.run(&["keys", "night-train", "create", "website"]).exits(0);
    let key = created.out.trim();
    assert!(
        key.starts_with("gaia_night-train_") && !created.err.contains(key),
        "{created:?}"
    );
    let gateway = journey.status("night-train")["gateway_url"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut site = Visitor::new(gateway.trim_end_matches('/'));
    site.access_token = Some(key.to_owned());
    let model = site.get("/openai/v1/models").await.ok()["data"][0]["id"].clone();
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello!" }] });
    let reply = site.post("/openai/v1/chat/completions", body).await.ok();
    assert_eq!(reply["system_fingerprint"], "authored/barks", "{reply}");

    let listed = gaia.run(&["keys", "night-train", "list", "--json"]).exits(0).json();
    assert!(!listed.to_string().contains(key), "{listed}");
    let id = listed[0]["id"].as_str().unwrap();
    let table = gaia.run(&["keys", "night-train", "list"]).exits(0).out;
    assert!(
        table.contains(id) && table.contains("website") && table.contains("holds"),
        "{table}"
    );
    gaia.run(&["keys", "night-train", "revoke", id]).exits(0);
    assert_eq!(
        site.get("/openai/v1/models").await.body["error"]["code"],
        "invalid_api_key"
    );
    let again = gaia
        .run(&["keys", "night-train", "create", "", "--json"])
        .exits(1)
        .json();
    assert!(again["error"].as_str().unwrap().contains("`name`"), "{again}");

    tokio::task::spawn_blocking(move || journey.gaia.run(&["destroy", "night-train", "--yes"]).exits(0))
        .await
        .unwrap();
}

#[test]
fn keys_of_a_game_that_does_not_run_are_refused_with_what_to_type_next() {
    let answer = Journey::begin().gaia.run(&["keys", "night-train", "list"]).exits(64);
    assert!(answer.err.contains("there is no cluster `night-train`"), "{answer:?}");
}
