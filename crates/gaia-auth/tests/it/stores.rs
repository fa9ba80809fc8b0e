//! Stores that are lost, emptied and back.

use std::collections::BTreeMap;

use gaia_names::Store;
use gaia_protocol::{
    ErrorCode,
    auth::{CheckSession, DeletePlayer, ReadKeys, ReadPlayer, SessionState, SignOut},
};
use gaia_testkit::eventually;

use crate::house::{House, PASSWORD, as_guest, device, refresh, sign_in, sign_up};

impl House {
    /// What readiness says is missing.
    async fn missing(&self) -> BTreeMap<String, String> {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client
            .get(format!("http://{}/health/ready", self.ops))
            .send()
            .await
            .expect("it answers");
        let is_ready = answer.status().is_success();
        let body: serde_json::Value = answer.json().await.expect("it answers");
        let missing = serde_json::from_value(body["missing"].clone()).unwrap_or_default();
        assert_eq!(is_ready, BTreeMap::is_empty(&missing), "{body}");
        missing
    }
}

#[tokio::test]
async fn the_revocations_are_complete_soon_after_the_start() {
    let house = House::open().await;
    eventually("the marker is there", async || {
        house.is_complete().await.filter(|there| *there)
    })
    .await;
}

#[tokio::test]
async fn emptied_redis_gets_its_revocations_back() {
    let house = House::open_alone().await;
    let caller = house.caller(&house.guest().await).await;
    let open = house.caller(&house.guest().await).await;
    let deleted = house.caller(&house.guest().await).await;
    house
        .ask(SignOut {
            caller,
            everywhere: false,
        })
        .await
        .unwrap();
    house.ask(DeletePlayer { caller: deleted }).await.unwrap();
    eventually("the marker is there", async || {
        house.is_complete().await.filter(|there| *there)
    })
    .await;
    house.game.empty_redis().await;
    // The gateway sees no marker and asks.
    assert!(!house.is_open(caller.session).await);
    eventually("the marker is there again", async || {
        house.is_complete().await.filter(|there| *there)
    })
    .await;
    assert_eq!(house.is_revoked(caller.session).await, Some(true));
    assert_eq!(house.is_revoked(deleted.session).await, Some(true));
    assert_eq!(house.is_revoked(open.session).await, Some(false));
}

#[tokio::test]
async fn a_session_that_ended_long_ago_is_not_written_again() {
    let house = House::open_alone().await;
    let caller = house.caller(&house.guest().await).await;
    house
        .ask(SignOut {
            caller,
            everywhere: false,
        })
        .await
        .unwrap();
    house
        .change("UPDATE auth.sessions SET ended_at = now() - interval '18 minutes' WHERE game_id = $1")
        .await;
    house.game.empty_redis().await;
    eventually("the marker is there again", async || {
        house.is_complete().await.filter(|there| *there)
    })
    .await;
    assert_eq!(house.is_revoked(caller.session).await, Some(false));
}

#[tokio::test]
async fn without_redis_a_sign_out_asks_for_patience_and_holds_all_the_same() {
    let house = House::open_alone().await;
    let guest = house.guest().await;
    let caller = house.caller(&guest).await;
    house.game.kill(Store::Redis).await;
    let refused = house
        .ask(SignOut {
            caller,
            everywhere: false,
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    assert!(refused.retry_after_ms.is_some());
    assert!(!house.is_open(caller.session).await, "the row stays");
    assert_eq!(house.refusal(refresh(&guest)).await, ErrorCode::SessionEnded);
    assert!(house.missing().await.is_empty(), "auth does its work without redis");

    house.game.start_again(Store::Redis).await;
    // Nobody asks again, and yet the revocation gets there.
    eventually("the revocation is written", async || {
        house.is_revoked(caller.session).await.filter(|there| *there)
    })
    .await;
    eventually("the marker is there", async || {
        house.is_complete().await.filter(|there| *there)
    })
    .await;
    house
        .ask(SignOut {
            caller,
            everywhere: false,
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn without_redis_players_come_in_and_go_on() {
    let house = House::open_alone().await;
    let (member, email) = house.member().await;
    house.game.kill(Store::Redis).await;
    house.guest().await;
    let member = house.ask(refresh(&member)).await.unwrap();
    house.ask(sign_in(&email, PASSWORD)).await.unwrap();
    let caller = house.caller(&member).await;
    house.ask(ReadPlayer { caller }).await.unwrap();
    assert!(house.is_open(caller.session).await);
}

#[tokio::test]
async fn without_postgres_every_question_is_refused_cleanly_until_it_is_back() {
    let house = House::open_alone().await;
    let (member, email) = house.member().await;
    let caller = house.caller(&member).await;
    assert!(house.missing().await.is_empty());
    house.game.kill(Store::Postgres).await;

    assert_eq!(house.refusal(as_guest(&device())).await, ErrorCode::Unavailable);
    assert_eq!(
        house.refusal(sign_up("eve@example.org", PASSWORD)).await,
        ErrorCode::Unavailable
    );
    assert_eq!(house.refusal(sign_in(&email, PASSWORD)).await, ErrorCode::Unavailable);
    assert_eq!(house.refusal(refresh(&member)).await, ErrorCode::Unavailable);
    assert_eq!(house.refusal(ReadPlayer { caller }).await, ErrorCode::Unavailable);
    assert_eq!(house.refusal(DeletePlayer { caller }).await, ErrorCode::Unavailable);
    let check = CheckSession {
        session: caller.session,
    };
    assert_eq!(house.refusal(check).await, ErrorCode::Unavailable);
    house.ask(ReadKeys {}).await.expect("the keys need no database");
    let missing = house.missing().await;
    assert_eq!(
        missing.keys().collect::<Vec<_>>(),
        [&format!("{}/postgres", house.game.id)]
    );

    house.game.start_again(Store::Postgres).await;
    let state = eventually("auth answers again", async || {
        house
            .ask(CheckSession {
                session: caller.session,
            })
            .await
            .ok()
    });
    assert_eq!(state.await, SessionState::Open);
    house
        .ask(refresh(&member))
        .await
        .expect("the token was not used up by the refusal");
    assert!(house.missing().await.is_empty());
}

#[tokio::test]
async fn without_nats_readiness_says_so() {
    let house = House::open_alone().await;
    house.game.kill(Store::Nats).await;
    let missing = eventually("readiness names what is missing", async || {
        Some(house.missing().await).filter(|missing| !missing.is_empty())
    });
    assert_eq!(
        missing.await.keys().collect::<Vec<_>>(),
        [&format!("{}/nats", house.game.id)]
    );
    house.game.start_again(Store::Nats).await;
    eventually("auth answers again", async || house.ask(ReadKeys {}).await.ok()).await;
}
