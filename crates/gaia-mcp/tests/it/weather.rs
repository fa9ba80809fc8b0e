//! `weather`: against a stand-in that keeps Open-Meteo's rules.

use gaia_mcp::weather::{self, Settings};
use gaia_names::Secret;
use gaia_testkit::{FakeOpenMeteo, eventually};
use serde_json::{Value, json};

use crate::client::TestClient;

async fn started() -> (FakeOpenMeteo, TestClient) {
    with_key(None).await
}

async fn with_key(key: Option<Secret>) -> (FakeOpenMeteo, TestClient) {
    let fake = FakeOpenMeteo::start().await;
    let settings = Settings {
        forecast: fake.url().parse().unwrap(),
        geocoding: fake.url().parse().unwrap(),
        key,
    };
    let client = TestClient::of(weather::server(&settings).unwrap()).await;
    (fake, client)
}

fn names(list: &Value, name: &str) -> Vec<Value> {
    list.as_array().unwrap().iter().map(|one| one[name].clone()).collect()
}

#[tokio::test]
async fn the_weather_now_is_told_in_the_units_that_are_wanted() {
    let (fake, client) = started().await;
    fake.set("temperature_2m", 12.5);
    fake.set("weather_code", 63.0);
    let now = client.call("now", json!({ "place": "Munich" })).await;
    assert_eq!((&now["temperature"], &now["condition"]), (&json!(12.5), &json!("rain")));
    assert_eq!(
        (&now["wind_from"], &now["units"]["speed"]),
        (&json!("west"), &json!("km/h"))
    );
    assert!(now["time"].as_str().unwrap().ends_with("+02:00"), "{now}");
    assert!(now["source"]["attribution"].as_str().unwrap().contains("Open-Meteo"));
    let text = client.text("now", json!({ "place": "Munich" })).await;
    assert!(
        text.starts_with("Munich, Bavaria, Germany now: rain, 12.5 °C"),
        "{text}"
    );
    let now = client
        .call("now", json!({ "place": "Munich", "units": "imperial" }))
        .await;
    assert_eq!(now["units"]["temperature"], "°F");
    let asked = fake.asked();
    assert_eq!(asked.len(), 2, "the second question was answered from the cache");
    assert_eq!(
        (asked[0]["latitude"].as_str(), asked[0]["longitude"].as_str()),
        ("48.14", "11.58")
    );
    assert_eq!(asked[1]["temperature_unit"], "fahrenheit");
}

#[tokio::test]
async fn the_forecast_begins_today_and_now() {
    let (fake, client) = started().await;
    let ahead = client
        .call("forecast", json!({ "place": "Berlin", "days": 2, "hours": 5 }))
        .await;
    let today = (chrono::Utc::now() + chrono::Duration::hours(2))
        .format("%Y-%m-%d")
        .to_string();
    assert_eq!(names(&ahead["days"], "date")[0], json!(today));
    assert_eq!(
        (
            ahead["days"].as_array().unwrap().len(),
            ahead["hours"].as_array().unwrap().len()
        ),
        (2, 5)
    );
    assert_eq!(ahead["days"][0]["highest"], json!(23.0));
    assert!(
        ahead["days"][0].get("uv_index").is_none(),
        "what the model lacks is absent"
    );
    client
        .call("forecast", json!({ "place": "Berlin", "days": 14, "hours": 48 }))
        .await;
    assert_eq!(fake.asked().len(), 1, "one answer serves all questions about a place");
    for (arguments, words) in [
        (json!({ "place": "Berlin", "days": 15 }), "from 1 to 14"),
        (json!({ "place": "Berlin", "hours": 49 }), "from 0 to 48"),
        (json!({ "place": "Berlin", "days": -1 }), "`days`"),
    ] {
        let refusal = client.refusal("forecast", arguments).await;
        assert!(refusal.contains(words), "{refusal}");
    }
}

#[tokio::test]
async fn warnings_are_derived_and_say_so() {
    let (fake, client) = started().await;
    let calm = client.text("alerts", json!({ "place": "Hamburg" })).await;
    assert!(
        calm.contains("nothing dangerous") && calm.contains("not an official warning"),
        "{calm}"
    );
    fake.set("wind_gusts_10m", 95.0);
    fake.set("weather_code", 95.0);
    let alerts = client.call("alerts", json!({ "place": "Kiel", "hours": 12 })).await;
    assert_eq!(alerts["is_official"], false);
    assert_eq!(
        names(&alerts["alerts"], "kind"),
        [json!("storm"), json!("thunderstorm")]
    );
    assert_eq!(names(&alerts["alerts"], "level"), [json!("severe"), json!("moderate")]);
    assert_eq!(alerts["alerts"][0]["because"], "gusts of 95 km/h");
}

#[tokio::test]
async fn hamlets_are_found_by_the_search_and_cities_without_it() {
    let (fake, client) = started().await;
    let now = client
        .call("now", json!({ "place": "Hinterpfuiteufel, Bavaria" }))
        .await;
    assert_eq!(
        (&now["place"]["name"], &now["place"]["country"]),
        (&json!("Hinterpfuiteufel"), &json!("Germany"))
    );
    client.call("now", json!({ "place": "Munich" })).await;
    client.call("now", json!({ "place": "48.5,13.0" })).await;
    let searches = fake.asked().iter().filter(|asked| asked.contains_key("name")).count();
    assert_eq!(searches, 1);
    let refusal = client
        .refusal("now", json!({ "place": "Hinterpfuiteufel, Texas" }))
        .await;
    assert!(refusal.contains("No place is known"), "{refusal}");
}

#[tokio::test]
async fn who_asks_for_the_same_at_once_shares_one_question() {
    let (fake, client) = started().await;
    fake.hold();
    let asking = futures::future::join_all((0..20).map(|_| client.call("now", json!({ "place": "Oslo" }))));
    let releasing = async {
        eventually("the question", async || (!fake.asked().is_empty()).then_some(())).await;
        fake.release();
    };
    let (answers, ()) = futures::join!(asking, releasing);
    assert_eq!(answers.len(), 20);
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn refusals_say_what_is_wrong_and_what_to_do() {
    let (fake, client) = started().await;
    let limit = r#"{"error":true,"reason":"Minutely API request limit exceeded. Please try again in one minute."}"#;
    let wrong = r#"{"error":true,"reason":"Latitude must be in range of -90 to 90°. Given: 95.0."}"#;
    let huge = "x".repeat(600 * 1024);
    for (number, (status, body, words)) in [
        (429, limit, "Minutely API request limit exceeded"),
        (400, wrong, "refused the question"),
        (502, "<html>bad gateway</html>", "status 502"),
        (200, "{\"latitude\":", "cannot be read"),
        (200, huge.as_str(), "larger than 512 KiB"),
    ]
    .into_iter()
    .enumerate()
    {
        fake.refuse(status, body);
        let refusal = client.refusal("now", json!({ "place": format!("{number},0") })).await;
        assert!(refusal.contains(words) && refusal.len() < 500, "{status}: {refusal}");
    }
    fake.recover();
    client.call("now", json!({ "place": "Oslo" })).await;
}

#[tokio::test]
async fn a_key_goes_to_open_meteo_and_nowhere_else() {
    let (fake, client) = with_key(Some(Secret::new("s3cr3t-key"))).await;
    client.call("now", json!({ "place": "Oslo" })).await;
    assert_eq!(fake.asked()[0]["apikey"], "s3cr3t-key");
    let nowhere = Settings {
        forecast: "http://127.0.0.1:9/".parse().unwrap(),
        geocoding: "http://127.0.0.1:9/".parse().unwrap(),
        key: Some(Secret::new("s3cr3t-key")),
    };
    assert!(!format!("{nowhere:?}").contains("s3cr3t"));
    let client = TestClient::of(weather::server(&nowhere).unwrap()).await;
    let refusal = client.refusal("now", json!({ "place": "Oslo" })).await;
    assert!(
        refusal.contains("cannot be reached") && !refusal.contains("s3cr3t"),
        "{refusal}"
    );
}
