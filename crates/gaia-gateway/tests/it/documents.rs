//! What the API says of itself.

use gaia_testkit::TestCluster;
use reqwest::Method;

#[tokio::test]
async fn the_documents_are_served_to_everybody() {
    let cluster = TestCluster::start().await;
    let stranger = cluster.stranger();
    assert_eq!(stranger.get("/openapi.json").await.ok(), gaia_gateway::openapi());
    assert_eq!(stranger.get("/asyncapi.json").await.ok(), gaia_gateway::asyncapi());
    assert_eq!(gaia_gateway::openapi()["openapi"], "3.1.0");
    let page = stranger
        .request(Method::GET, "/docs")
        .header("accept", "text/html,*/*;q=0.8")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    assert!(
        page.text()
            .await
            .unwrap()
            .contains("/v1/conversations/{conversation}/turns")
    );
}

#[tokio::test]
async fn the_public_keys_are_public_and_hold_nothing_private() {
    let cluster = TestCluster::start().await;
    let keys = cluster.stranger().get("/.well-known/jwks.json").await.ok();
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["crv"]), (&"OKP".into(), &"Ed25519".into()));
    assert!(
        key["kid"].is_string() && key["x"].is_string() && key["d"].is_null(),
        "{keys}"
    );
}
