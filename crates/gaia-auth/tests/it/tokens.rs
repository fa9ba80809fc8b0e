//! Access tokens and the keys that check them.

use gaia_protocol::auth::{ReadKeys, Role};
use gaia_testkit::TestGame;

use crate::house::{House, verify};

#[tokio::test]
async fn an_access_token_says_who_and_until_when() {
    let house = House::open().await;
    let guest = house.guest().await;
    let claims = house.claims(&guest).await;
    assert_eq!((claims.sub, claims.role), (guest.player.id, Role::Player));
    assert_eq!((&*claims.iss, &*claims.aud), ("gaia", house.game.id.as_str()));
    assert_eq!(claims.exp - claims.iat, 15 * 60);
    assert!(house.is_open(claims.sid).await);
}

#[tokio::test]
async fn the_keys_are_public_halves_named_by_their_thumbprint() {
    let house = House::open().await;
    let keys = house.ask(ReadKeys {}).await.unwrap();
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&"OKP".into(), &"Ed25519".into(), &"EdDSA".into(), &"sig".into())
    );
    assert!(key.get("d").is_none(), "the private half is shown");
    // RFC 7638: the members in this order, without spaces.
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":{}}}"#, key["x"]);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.as_bytes());
    let thumbprint = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, hash);
    assert_eq!(key["kid"], thumbprint);
}

#[tokio::test]
async fn a_token_that_was_changed_or_is_another_games_is_not_valid() {
    let house = House::open().await;
    let keys = house.ask(ReadKeys {}).await.unwrap();
    let guest = house.guest().await;
    let token = guest.access_token.expose();
    assert!(verify(token, &keys, &house.game.id).is_ok());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    assert!(verify(&format!("{head}.{flipped}{}", &signature[1..]), &keys, &house.game.id).is_err());

    let other = House::around(TestGame::start().await).await;
    let foreign = other.guest().await;
    assert!(verify(foreign.access_token.expose(), &keys, &house.game.id).is_err());
    assert!(
        verify(token, &keys, &other.game.id).is_err(),
        "the audience is another game"
    );
}

#[tokio::test]
async fn a_signing_key_that_is_none_keeps_auth_from_starting_and_is_not_shown() {
    let game = TestGame::start().await;
    let mut settings = game.auth_settings();
    settings.games[0].signing_key =
        gaia_names::Secret::new("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    let fault = gaia_auth::start(settings, &gaia_service::Tasks::default())
        .await
        .unwrap_err();
    let text = gaia_service::telemetry::chain(&*fault);
    assert!(text.contains(game.id.as_str()) && text.contains("Ed25519"), "{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
}

#[tokio::test]
async fn while_the_signing_key_is_replaced_every_instance_shows_both() {
    let before = House::open().await;
    let former = before.guest().await;
    let mut settings = before.game.auth_settings();
    settings.games[0].signing_key = gaia_testkit::signing_key();
    let tasks = gaia_service::Tasks::default();
    gaia_auth::start(settings, &tasks).await.unwrap();
    // Any of the two answers; each signs with its own.
    let mut signed_with = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let guest = before.guest().await;
        let header = jsonwebtoken::decode_header(guest.access_token.expose()).unwrap();
        signed_with.insert(header.kid.unwrap());
        for token in [&guest, &former] {
            before.claims(token).await;
        }
        if signed_with.len() == 2 {
            break;
        }
    }
    assert_eq!(signed_with.len(), 2, "only one of two instances is asked");
    before
        .change("UPDATE auth.signing_keys SET shown_until = now() WHERE game_id = $1")
        .await;
    let keys = before.ask(ReadKeys {}).await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
}
