//! `location`: what it knows.

use gaia_mcp::location;
use serde_json::{Value, json};

use crate::client::TestClient;

async fn client() -> TestClient {
    TestClient::of(location::server()).await
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[tokio::test]
async fn places_are_found_by_names_in_many_languages() {
    let client = client().await;
    for name in [
        "Munich",
        "münchen",
        "MUENCHEN",
        "Monaco di Baviera",
        "Мюнхен",
        "ミュンヘン",
        "Munich, Germany",
        "Munich, DE",
    ] {
        let found = client.call("find_place", json!({ "name": name, "limit": 1 })).await;
        let place = &found["places"][0];
        assert_eq!(place["name"], "Munich", "{name}");
        assert_eq!(place["country_code"], "DE");
        assert_eq!(place["time_zone"], "Europe/Berlin");
        assert!(
            (number(&place["latitude"]) - 48.137).abs() < 0.01 && number(&place["population"]) > 1e6,
            "{place}"
        );
    }
    let text = client
        .text(
            "find_place",
            json!({ "name": "Springfield", "country": "US", "limit": 3 }),
        )
        .await;
    assert!(
        text.contains("Springfield, Missouri, United States") && text.lines().count() == 3,
        "{text}"
    );
    let found = client.call("find_place", json!({ "name": "Kenya" })).await;
    assert_eq!(found["country"]["capital"], "Nairobi");
    assert!(found["attribution"].as_str().unwrap().contains("GeoNames"));
}

#[tokio::test]
async fn what_is_not_known_is_said_with_what_may_be_meant() {
    let client = client().await;
    let refusal = client.refusal("find_place", json!({ "name": "Barcelonna" })).await;
    assert!(refusal.contains("Barcelona"), "{refusal}");
    let refusal = client
        .refusal("find_place", json!({ "name": "Paris", "country": "Atlantis" }))
        .await;
    assert!(refusal.contains("Atlantis") && refusal.contains("ISO"), "{refusal}");
    let refusal = client
        .refusal("distance", json!({ "from": "Xqzwv", "to": "Paris" }))
        .await;
    assert!(refusal.contains("coordinates"), "{refusal}");
    let refusal = client
        .refusal("find_place", json!({ "name": "Paris", "limit": 0 }))
        .await;
    assert!(refusal.contains("from 1 to 20"), "{refusal}");
    let refusal = client
        .refusal("distance", json!({ "from": "95,10", "to": "Paris" }))
        .await;
    assert!(refusal.contains("95,10"), "{refusal}");
}

#[tokio::test]
async fn distances_are_those_of_the_globe() {
    let client = client().await;
    let between = client
        .call("distance", json!({ "from": "Paris", "to": "New York City" }))
        .await;
    assert!(
        (5_820.0..5_850.0).contains(&number(&between["kilometres"])),
        "{between}"
    );
    assert_eq!(between["direction"], "west");
    let text = client
        .text("distance", json!({ "from": "48.137,11.575", "to": "Augsburg" }))
        .await;
    assert!(
        text.contains("north-west of near Munich") || text.contains("west of near Munich"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_near_comes_nearest_first_and_bounded() {
    let client = client().await;
    let near = client
        .call(
            "nearby",
            json!({ "place": "Heidelberg", "radius_kilometres": 25, "limit": 50 }),
        )
        .await;
    let places = near["places"].as_array().unwrap();
    let distances: Vec<_> = places.iter().map(|place| number(&place["kilometres"])).collect();
    assert!(
        distances.is_sorted() && distances.iter().all(|distance| *distance <= 25.0),
        "{distances:?}"
    );
    assert!(
        places.len() == 50 && places.iter().any(|place| place["name"] == "Leimen"),
        "{near}"
    );
    let cities = json!({ "place": "Heidelberg", "radius_kilometres": 100, "least_population": 500_000 });
    let near = client.call("nearby", cities).await;
    let names: Vec<_> = near["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| place["name"].clone())
        .collect();
    assert!(names.contains(&json!("Stuttgart")) && names.len() < 5, "{names:?}");
    let text = client.text("nearby", json!({ "place": "30,-40" })).await;
    assert!(text.contains("larger radius"), "{text}");
}

#[tokio::test]
async fn inside_knows_borders_circles_and_how_sure_it_is() {
    let client = client().await;
    let inside = async |arguments: Value| client.call("inside", arguments).await;
    let answer = inside(json!({ "place": "48.137,11.575", "area": "Germany" })).await;
    assert_eq!(
        (&answer["is_inside"], &answer["kind"], &answer["certainty"]),
        (&json!(true), &json!("country"), &json!("certain"))
    );
    let answer = inside(json!({ "place": "Salzburg", "area": "DE" })).await;
    assert_eq!(answer["is_inside"], false);
    let answer = inside(json!({ "place": "Kehl", "area": "Germany" })).await;
    assert_eq!(
        (&answer["is_inside"], &answer["certainty"]),
        (&json!(true), &json!("near_border")),
        "{answer}"
    );
    let answer = inside(json!({ "place": "52.52,13.40", "area": "Berlin" })).await;
    assert_eq!(
        (&answer["is_inside"], &answer["certainty"]),
        (&json!(true), &json!("estimated_radius"))
    );
    let answer = inside(json!({ "place": "Potsdam", "area": "Berlin", "radius_kilometres": 20 })).await;
    assert_eq!(
        (&answer["is_inside"], &answer["radius_kilometres"]),
        (&json!(false), &json!(20.0)),
        "{answer}"
    );
    let answer = inside(json!({ "place": "0,0", "area": "Ghana" })).await;
    assert_eq!(answer["is_inside"], false);
    let refusal = client
        .refusal("inside", json!({ "place": "Paris", "area": "0,0" }))
        .await;
    assert!(refusal.contains("radius_kilometres"), "{refusal}");
}

#[tokio::test]
async fn the_sun_rises_as_the_almanac_says() {
    let client = client().await;
    let sun = client
        .call("sun", json!({ "place": "London", "date": "2026-06-21" }))
        .await;
    // The almanac says 04:43 and 21:21 local time.
    assert!(sun["sunrise"].as_str().unwrap().starts_with("2026-06-21T04:4"), "{sun}");
    assert!(sun["sunset"].as_str().unwrap().starts_with("2026-06-21T21:2"), "{sun}");
    assert!(sun["sunset"].as_str().unwrap().ends_with("+01:00"), "{sun}");
    assert!(
        sun["astronomical_twilight"].get("begins").is_none(),
        "it does not get wholly dark: {sun}"
    );
    let sun = client
        .call("sun", json!({ "place": "Tromsø", "date": "2026-12-21" }))
        .await;
    assert_eq!(
        (&sun["kind"], &sun["day_length_minutes"]),
        (&json!("polar_night"), &json!(0))
    );
    let text = client
        .text("sun", json!({ "place": "Longyearbyen", "date": "2026-06-21" }))
        .await;
    assert!(text.contains("does not set"), "{text}");
    assert!(client.call("sun", json!({ "place": "Quito" })).await["is_up_now"].is_boolean());
    for date in ["tomorrow", "2026-02-30", "1492-10-12"] {
        let refusal = client.refusal("sun", json!({ "place": "London", "date": date })).await;
        assert!(refusal.contains("2026-06-21"), "{date}: {refusal}");
    }
}
