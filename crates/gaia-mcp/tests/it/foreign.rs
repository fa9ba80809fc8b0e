//! The servers over HTTP with a client that is not ours, in both revisions.

use gaia_mcp::{ToolServer, location, news, weather};
use gaia_testkit::{FakeOpenMeteo, FeedServer, MCP_REVISIONS, Page, foreign_mcp};
use serde_json::{Value, json};

use crate::client::listening;

/// Calls the tools in both revisions and hands each of the answers on.
async fn in_both_revisions(server: ToolServer, calls: Value, see: impl Fn(&Value)) {
    let url = listening(server).await;
    for (mode, revision) in MCP_REVISIONS {
        let saw = foreign_mcp(env!("CARGO_TARGET_TMPDIR"), mode, json!(url), calls.clone()).await;
        assert_eq!(saw["protocol"], revision);
        see(&saw);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_finds_places() {
    let calls = json!([["find_place", { "name": "Lima" }], ["sun", { "place": "Lima", "date": "2026-06-21" }], ["distance", {}]]);
    in_both_revisions(location::server(), calls, |saw| {
        assert_eq!(saw["server"], "gaia-location");
        assert_eq!(
            saw["tools"],
            json!(["find_place", "distance", "nearby", "sun", "inside"])
        );
        assert_eq!(saw["answers"][0]["content"]["places"][0]["country"], "Peru");
        assert_eq!(saw["answers"][1]["content"]["kind"], "usual");
        assert_eq!(saw["answers"][2]["is_error"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_asks_for_the_weather() {
    let fake = FakeOpenMeteo::start().await;
    let settings = weather::Settings {
        forecast: fake.url().parse().unwrap(),
        geocoding: fake.url().parse().unwrap(),
        key: None,
    };
    let calls = json!([
        ["now", { "place": "Lima" }],
        ["forecast", { "place": "Lima", "hours": 3 }],
        ["alerts", { "place": "Lima" }]
    ]);
    in_both_revisions(weather::server(&settings).unwrap(), calls, |saw| {
        assert_eq!(saw["answers"][0]["content"]["condition"], "partly cloudy");
        assert_eq!(saw["answers"][1]["content"]["hours"].as_array().unwrap().len(), 3);
        assert_eq!(saw["answers"][2]["content"]["is_official"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_reads_the_news() {
    let feeds = FeedServer::start().await;
    feeds.put("/feed", Page::of(include_str!("feeds/city.rss")));
    let settings = news::Settings {
        feeds: vec![feeds.url("/feed").parse().unwrap()],
    };
    let calls = json!([["latest", {}], ["search", { "words": "bridge" }]]);
    in_both_revisions(news::server(&settings).unwrap(), calls, |saw| {
        assert_eq!(saw["answers"][0]["content"]["articles"].as_array().unwrap().len(), 3);
        assert_eq!(
            saw["answers"][1]["content"]["articles"][0]["title"],
            "Old bridge closed after flood & storm"
        );
    })
    .await;
}
