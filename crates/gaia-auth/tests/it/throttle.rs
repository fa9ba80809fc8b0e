//! Guessing passwords.

use gaia_names::Store;
use gaia_protocol::ErrorCode;

use crate::house::{House, PASSWORD, sign_in};

#[tokio::test]
async fn after_ten_wrong_passwords_even_the_right_one_has_to_wait() {
    let house = House::open().await;
    let (_, email) = house.member().await;
    let (_, other) = house.member().await;
    for _ in 0..10 {
        assert_eq!(
            house.refusal(sign_in(&email, "wrong horse")).await,
            ErrorCode::WrongCredentials
        );
    }
    let refused = house.ask(sign_in(&email.to_uppercase(), PASSWORD)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after_ms.unwrap();
    assert!((590_000..=600_000).contains(&wait), "{wait} ms");
    house
        .ask(sign_in(&other, PASSWORD))
        .await
        .expect("nobody else has to wait");
}

#[tokio::test]
async fn an_email_that_nobody_has_is_limited_alike() {
    let house = House::open().await;
    for _ in 0..10 {
        assert_eq!(
            house.refusal(sign_in("nobody@example.org", PASSWORD)).await,
            ErrorCode::WrongCredentials
        );
    }
    assert_eq!(
        house.refusal(sign_in("nobody@example.org", PASSWORD)).await,
        ErrorCode::RateLimited
    );
}

#[tokio::test]
async fn a_right_password_forgets_the_wrong_ones_before() {
    let house = House::open().await;
    let (_, email) = house.member().await;
    for _ in 0..2 {
        for _ in 0..9 {
            assert_eq!(
                house.refusal(sign_in(&email, "wrong horse")).await,
                ErrorCode::WrongCredentials
            );
        }
        house.ask(sign_in(&email, PASSWORD)).await.unwrap();
    }
}

#[tokio::test]
async fn without_redis_players_sign_in_all_the_same() {
    let house = House::open_alone().await;
    let (_, email) = house.member().await;
    house.game.kill(Store::Redis).await;
    for _ in 0..11 {
        assert_eq!(
            house.refusal(sign_in(&email, "wrong horse")).await,
            ErrorCode::WrongCredentials
        );
    }
    house.ask(sign_in(&email, PASSWORD)).await.unwrap();
}
