//! Tokens that are not what they claim to be.

use gaia_names::Secret;
use gaia_service::Tasks;
use gaia_testkit::{TestCluster, Visitor, signing_key};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The header's key name and the claims of a token.
fn read(token: &str) -> (String, Value) {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims;
    (header.kid.unwrap(), claims)
}

fn signed(claims: &Value, name: Option<&str>, key: &Secret) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = name.map(str::to_owned);
    let key = EncodingKey::from_ed_pem(key.expose().as_bytes()).unwrap();
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

async fn code(visitor: &Visitor, token: &str) -> String {
    let mut visitor = visitor.clone();
    visitor.access_token = Some(token.to_owned());
    let answer = visitor.get("/v1/players/me").await;
    if answer.status == 200 {
        "taken".to_owned()
    } else {
        answer.code().to_owned()
    }
}

fn with(claims: &Value, key: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[key] = value;
    claims
}

#[tokio::test]
async fn only_an_unexpired_token_of_this_game_signed_by_its_key_is_taken() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let token = player.access_token.clone().unwrap();
    let (name, claims) = read(&token);
    let ours = cluster.game.auth_settings().games.remove(0).signing_key;
    let foreign = signing_key();
    let now = claims["iat"].as_i64().unwrap();

    assert_eq!(code(&player, &token).await, "taken");
    assert_eq!(code(&player, &signed(&claims, Some(&name), &ours)).await, "taken");
    for (what, token) in [
        ("another key under our name", signed(&claims, Some(&name), &foreign)),
        (
            "another key under its own name",
            signed(&claims, Some("other"), &foreign),
        ),
        ("no key name", signed(&claims, None, &ours)),
        (
            "another game",
            signed(&with(&claims, "aud", json!("another-game")), Some(&name), &ours),
        ),
        (
            "a day of life",
            signed(&with(&claims, "exp", json!(now + 86_400)), Some(&name), &ours),
        ),
        (
            "another issuer",
            signed(&with(&claims, "iss", json!("evil")), Some(&name), &ours),
        ),
        (
            "no player",
            signed(&with(&claims, "sub", json!("admin")), Some(&name), &ours),
        ),
        (
            "an unknown role",
            signed(&with(&claims, "role", json!("owner")), Some(&name), &ours),
        ),
        (
            "no expiry",
            signed(&with(&claims, "exp", Value::Null), Some(&name), &ours),
        ),
        ("nonsense", "nonsense".to_owned()),
        ("dots", "..".to_owned()),
        ("length", "a".repeat(5_000)),
        ("another signature", format!("{}AAAA", &token[..token.len() - 4])),
    ] {
        assert_eq!(code(&player, &token).await, "token_invalid", "{what}");
    }
    let expired = signed(&with(&claims, "exp", json!(now - 1)), Some(&name), &ours);
    assert_eq!(code(&player, &expired).await, "token_expired");
}

#[tokio::test]
async fn other_algorithms_are_no_algorithms() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    let token = player.access_token.clone().unwrap();
    let (name, claims) = read(&token);
    let [_, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("a token has three parts");
    };
    // {"alg":"none","typ":"JWT"} and {"alg":"None"}
    for head in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOb25lIn0"] {
        assert_eq!(code(&player, &format!("{head}.{payload}.")).await, "token_invalid");
        assert_eq!(
            code(&player, &format!("{head}.{payload}.{signature}")).await,
            "token_invalid"
        );
    }
    // The public key, taken for the secret of a symmetric algorithm.
    let keys = player.get("/.well-known/jwks.json").await.ok();
    let public = keys["keys"][0]["x"].as_str().unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(name);
    let confused = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    assert_eq!(code(&player, &confused).await, "token_invalid");
}

#[tokio::test]
async fn a_token_of_a_session_that_ended_is_refused_even_if_it_was_just_taken() {
    let cluster = TestCluster::start().await;
    let player = cluster.visitor().await;
    for _ in 0..3 {
        assert_eq!(player.get("/v1/players/me").await.status, 200);
    }
    assert_eq!(player.delete("/v1/sessions/current").await.status, 204);
    assert_eq!(player.get("/v1/players/me").await.code(), "session_ended");
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_session() {
    let cluster = TestCluster::start().await;
    let mut player = cluster.visitor().await;
    let refresh = json!({ "refresh_token": player.refresh_token });
    let next = player.post("/v1/sessions/refresh", refresh.clone()).await.ok();
    player.take_tokens(&next);
    assert_eq!(player.get("/v1/players/me").await.status, 200);
    assert_eq!(
        player.post("/v1/sessions/refresh", refresh).await.code(),
        "refresh_reused"
    );
    assert_eq!(player.get("/v1/players/me").await.code(), "session_ended");
}

#[tokio::test]
async fn a_token_of_a_key_that_was_just_made_is_taken_at_once() {
    let cluster = TestCluster::start().await;
    let before = cluster.visitor().await;
    assert_eq!(before.get("/v1/players/me").await.status, 200);
    let (former, _) = read(before.access_token.as_ref().unwrap());
    let mut settings = cluster.game.auth_settings();
    settings.games[0].signing_key = signing_key();
    gaia_auth::start(settings, &Tasks::default()).await.unwrap();
    // The gateway asked for the keys a moment ago, and any of the two lets the next one in.
    for _ in 0..1_000 {
        let newcomer = cluster.visitor().await;
        let token = newcomer.access_token.as_ref().unwrap();
        assert_eq!(code(&newcomer, token).await, "taken");
        if read(token).0 != former {
            return;
        }
    }
    panic!("only one of two instances is asked");
}
