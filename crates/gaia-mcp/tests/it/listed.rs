//! What every server says about itself and its tools.

use gaia_mcp::{ToolServer, location, news, weather};
use serde_json::json;

use crate::client::TestClient;

fn all() -> Vec<(ToolServer, &'static [&'static str], bool)> {
    let nowhere: url::Url = "http://127.0.0.1:9/".parse().unwrap();
    let weather = weather::Settings {
        forecast: nowhere.clone(),
        geocoding: nowhere.clone(),
        key: None,
    };
    let news = news::Settings { feeds: vec![nowhere] };
    vec![
        (weather::server(&weather).unwrap(), &["now", "forecast", "alerts"], true),
        (
            location::server(),
            &["find_place", "distance", "nearby", "sun", "inside"],
            false,
        ),
        (news::server(&news).unwrap(), &["latest", "search"], true),
    ]
}

#[tokio::test]
async fn every_tool_says_what_it_is_and_the_order_stays() {
    for (server, expected, is_open_world) in all() {
        let client = TestClient::of(server).await;
        for _ in 0..3 {
            let tools = client.tools().await;
            let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
            assert_eq!(names, expected);
        }
        for tool in client.tools().await {
            let hints = tool.annotations.clone().unwrap();
            assert_eq!(hints.read_only_hint, Some(true), "{}", tool.name);
            assert_eq!(hints.open_world_hint, Some(is_open_world), "{}", tool.name);
            assert!(
                tool.title.as_ref().is_some_and(|title| title.len() > 3),
                "{}",
                tool.name
            );
            assert!(
                tool.description.as_ref().is_some_and(|text| text.len() > 60),
                "{}",
                tool.name
            );
            assert_eq!(tool.input_schema["type"], "object");
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            assert_eq!(tool.output_schema.as_ref().unwrap()["type"], "object");
        }
    }
}

#[tokio::test]
async fn wrong_arguments_are_told_to_the_model_and_unknown_tools_to_the_client() {
    let client = TestClient::of(location::server()).await;
    let refusal = client.refusal("find_place", json!({ "name": 7 })).await;
    assert!(refusal.contains("`name`") && refusal.contains("string"), "{refusal}");
    let refusal = client.refusal("find_place", json!({ "nmae": "Paris" })).await;
    assert!(refusal.contains("nmae") && refusal.contains("name"), "{refusal}");
    let refusal = client.refusal("find_place", json!({})).await;
    assert!(refusal.contains("name"), "{refusal}");
    let refusal = client.refusal("find_place", json!({ "name": "x".repeat(5_000) })).await;
    assert!(refusal.len() < 300, "{refusal}");
    let fault = client.fault("launch_missiles").await;
    assert!(fault.contains("find_place, distance, nearby, sun, inside"), "{fault}");
}
