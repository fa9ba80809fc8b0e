//! Keys of a game's own programs, and the players that they speak for.

use aws_lc_rs::digest::{SHA256, digest};
use gaia_names::{KeyId, PlayerId, Secret, SessionId};
use gaia_protocol::{
    ErrorCode,
    api_keys::{
        CreateKey, FindNamedPlayer, KeyScope, KnownKey, LONGEST_PLAYER_NAME, ListKeys, NewApiKey, RevokeKey, VerifyKey,
    },
    auth::EnterAsGuest,
};
use gaia_testkit::{TestGame, eventually};

use crate::house::House;

fn key(name: &str) -> CreateKey {
    CreateKey {
        name: name.to_owned(),
        scopes: vec![KeyScope::Chat],
        requests_per_minute: 60,
    }
}

fn hash(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("32 bytes")
}

fn known(made: &NewApiKey) -> VerifyKey {
    VerifyKey {
        hash: hash(made.secret.expose()),
    }
}

fn named(key: KeyId, name: &str) -> FindNamedPlayer {
    let name = Some(name.to_owned());
    FindNamedPlayer { key, name }
}

impl House {
    async fn key(&self, name: &str) -> NewApiKey {
        self.ask(key(name)).await.expect("a key is made")
    }

    async fn player(&self, question: FindNamedPlayer) -> PlayerId {
        self.ask(question).await.expect("the player is found")
    }
}

#[tokio::test]
async fn a_key_is_known_by_its_hash_and_its_text_is_kept_nowhere() {
    let house = House::open().await;
    let made = house.key(" website ").await;
    let text = made.secret.expose();
    assert!(text.starts_with(&format!("gaia_{}_", house.game.id)), "{text}");
    assert_eq!(made.key.name, "website");
    let found = house.ask(known(&made)).await.unwrap();
    let expected = KnownKey {
        id: made.key.id,
        scopes: vec![KeyScope::Chat],
        requests_per_minute: 60,
    };
    assert_eq!(found, expected);
    let listed = house.ask(ListKeys {}).await.unwrap();
    assert!(listed[0].last_used_at.is_some() && made.key.last_used_at.is_none());
    let random = text.rsplit_once('_').unwrap().1;
    let kept = format!("SELECT count(*) FROM auth.api_keys AS k WHERE k::text LIKE '%{random}%'");
    assert_eq!(house.count(&kept).await, 0);

    let other = House::around(TestGame::start().await).await;
    assert_eq!(other.refusal(known(&made)).await, ErrorCode::TokenInvalid);
    assert_eq!(other.ask(ListKeys {}).await.unwrap(), []);
    let foreign = RevokeKey { key: made.key.id };
    assert_eq!(other.refusal(foreign).await, ErrorCode::NotFound);
    assert!(house.ask(known(&made)).await.is_ok());
}

#[tokio::test]
async fn a_revoked_key_is_no_key_any_more_and_redis_says_so() {
    let house = House::open().await;
    let (made, stays) = (house.key("one").await, house.key("two").await);
    let (session, question) = (SessionId(made.key.id.0), RevokeKey { key: made.key.id });
    assert!(house.is_open(session).await);
    let revoked = house.ask(question.clone()).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(house.ask(question).await.unwrap(), revoked);
    assert_eq!(house.refusal(known(&made)).await, ErrorCode::TokenInvalid);
    assert!(!house.is_open(session).await);
    assert_eq!(house.is_revoked(session).await, Some(true));
    assert!(house.is_open(SessionId(stays.key.id.0)).await);
    let listed = house.ask(ListKeys {}).await.unwrap();
    let names: Vec<_> = listed.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["two", "one"], "what holds comes first");
    let nobody = KeyId::fresh();
    assert_eq!(house.refusal(RevokeKey { key: nobody }).await, ErrorCode::NotFound);
    assert_eq!(house.is_revoked(SessionId(nobody.0)).await, Some(false));
}

#[tokio::test]
async fn emptied_redis_gets_the_revocations_of_keys_back() {
    let house = House::open_alone().await;
    let made = house.key("one").await;
    house.ask(RevokeKey { key: made.key.id }).await.unwrap();
    house.game.kill(gaia_names::Store::Redis).await;
    house.game.start_again(gaia_names::Store::Redis).await;
    eventually("the marker is there again", async || {
        house.is_complete().await.filter(|there| *there)
    })
    .await;
    assert_eq!(house.is_revoked(SessionId(made.key.id.0)).await, Some(true));
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_refused() {
    let house = House::open().await;
    for bad in [
        key(""),
        key(" \t "),
        key(&"a".repeat(61)),
        key("a\u{1b}[2J"),
        CreateKey {
            scopes: Vec::new(),
            ..key("no scope")
        },
        CreateKey {
            requests_per_minute: 0,
            ..key("never")
        },
        CreateKey {
            requests_per_minute: u32::MAX,
            ..key("always")
        },
    ] {
        assert_eq!(house.refusal(bad.clone()).await, ErrorCode::InvalidInput, "{bad:?}");
    }
    assert_eq!(house.count("SELECT count(*) FROM auth.api_keys").await, 0);
}

#[tokio::test]
async fn a_game_has_at_most_a_hundred_keys_that_hold() {
    let house = House::open().await;
    let first = house.key("first").await;
    for number in 1..100 {
        house.key(&number.to_string()).await;
    }
    assert_eq!(house.refusal(key("one too many")).await, ErrorCode::InvalidInput);
    house.ask(RevokeKey { key: first.key.id }).await.unwrap();
    house.key("now there is room").await;
}

#[tokio::test]
async fn a_named_player_is_one_player_whoever_names_them_and_however_often_at_once() {
    let house = House::open().await;
    let (one, two) = (house.key("one").await.key.id, house.key("two").await.key.id);
    let many = (0..16).map(|number| house.player(named(if number % 2 == 0 { one } else { two }, "ada")));
    let mut players = futures::future::join_all(many).await;
    players.dedup();
    assert_eq!(players.len(), 1);
    let ada = players[0];
    assert_ne!(house.player(named(one, "Ada")).await, ada);
    let own = |key| FindNamedPlayer { key, name: None };
    let (of_one, of_two) = (house.player(own(one)).await, house.player(own(two)).await);
    assert_eq!(of_one, house.player(own(one)).await);
    assert!(of_one != of_two && of_one != ada);
    assert_eq!(house.count("SELECT count(*) FROM auth.players").await, 4);
    for bad in [String::new(), "a".repeat(LONGEST_PLAYER_NAME + 1)] {
        assert_eq!(house.refusal(named(one, &bad)).await, ErrorCode::InvalidInput);
    }
    let other = House::around(TestGame::start().await).await;
    assert_ne!(other.player(named(one, "ada")).await, ada);
}

#[tokio::test]
async fn no_name_leads_to_a_player_who_came_in_by_themselves_or_the_other_way_round() {
    let house = House::open().await;
    let key = house.key("one").await.key.id;
    let device = "a-device-that-is-long-enough";
    let guest = |device: &str| EnterAsGuest {
        device_id: Secret::new(device),
        display_name: None,
    };
    let (came, email) = (house.ask(guest(device)).await.unwrap().player.id, house.member().await);
    let named_so = house.player(named(key, device)).await;
    assert_ne!(named_so, came);
    for name in [came.to_string(), email.0.player.id.to_string(), email.1] {
        let player = house.player(named(key, &name)).await;
        assert!(player != came && player != email.0.player.id, "{name}");
    }
    let name = "another-name-that-is-long";
    let player = house.player(named(key, name)).await;
    assert_ne!(house.ask(guest(name)).await.unwrap().player.id, player);
}
