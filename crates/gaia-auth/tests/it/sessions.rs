//! Sessions: prolonged, checked and ended.

use futures::future::join_all;
use gaia_names::{Secret, SessionId};
use gaia_protocol::{
    ErrorCode,
    auth::{RefreshSession, Role, SetRole, SignOut},
    keys,
};
use gaia_service::Tasks;
use gaia_testkit::eventually;

use crate::house::{House, as_guest, device, refresh};

#[tokio::test]
async fn a_refresh_gives_the_next_pair_in_the_same_session() {
    let house = House::open().await;
    let first = house.guest().await;
    let second = house.ask(refresh(&first)).await.unwrap();
    let third = house.ask(refresh(&second)).await.unwrap();
    assert_eq!(third.player, first.player);
    assert_eq!(house.claims(&third).await.sid, house.claims(&first).await.sid);
    assert!(first.refresh_token != second.refresh_token && second.refresh_token != third.refresh_token);
}

#[tokio::test]
async fn a_role_is_in_the_next_access_token() {
    let house = House::open().await;
    let guest = house.guest().await;
    let player = guest.player.id;
    let changed = house
        .ask(SetRole {
            player,
            role: Role::Moderator,
        })
        .await
        .unwrap();
    assert_eq!(changed.role, Role::Moderator);
    let next = house.ask(refresh(&guest)).await.unwrap();
    assert_eq!(next.player.role, Role::Moderator);
    assert_eq!(house.claims(&next).await.role, Role::Moderator);
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_the_session() {
    let house = House::open().await;
    let first = house.guest().await;
    let session = house.claims(&first).await.sid;
    let second = house.ask(refresh(&first)).await.unwrap();
    assert_eq!(house.refusal(refresh(&first)).await, ErrorCode::RefreshReused);
    assert_eq!(house.refusal(refresh(&second)).await, ErrorCode::SessionEnded);
    assert!(!house.is_open(session).await);
    assert_eq!(house.is_revoked(session).await, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_refreshes_at_once_with_one_token_exactly_one_wins() {
    let house = House::open().await;
    gaia_auth::start(house.game.auth_settings(), &Tasks::default())
        .await
        .unwrap();
    for _ in 0..10 {
        let guest = house.guest().await;
        let answers = join_all((0..4).map(|_| house.ask(refresh(&guest)))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for lost in lost {
            assert_eq!(lost.unwrap_err().code, ErrorCode::RefreshReused);
        }
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_never_given_is_refused() {
    let house = House::open().await;
    house.guest().await;
    for bad in ["", "💥", "AAAA", &"A".repeat(43), &"A".repeat(100_000)] {
        let refresh_token = Secret::new(bad);
        let refused = house.ask(RefreshSession { refresh_token }).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::TokenInvalid);
        assert!(refused.retry_after_ms.is_none());
    }
}

#[tokio::test]
async fn a_sign_out_holds_at_once_and_only_for_that_session() {
    let house = House::open().await;
    let device = device();
    let here = house.ask(as_guest(&device)).await.unwrap();
    let there = house.ask(as_guest(&device)).await.unwrap();
    let (caller, other) = (house.caller(&here).await, house.caller(&there).await);
    for _ in 0..2 {
        house
            .ask(SignOut {
                caller,
                everywhere: false,
            })
            .await
            .unwrap();
        assert_eq!(house.is_revoked(caller.session).await, Some(true));
        assert!(!house.is_open(caller.session).await);
        assert_eq!(house.refusal(refresh(&here)).await, ErrorCode::SessionEnded);
    }
    assert!(house.is_open(other.session).await);
    assert_eq!(house.is_revoked(other.session).await, Some(false));
    house.ask(refresh(&there)).await.unwrap();
}

#[tokio::test]
async fn a_revocation_stays_as_long_as_an_access_token_lasts() {
    let house = House::open().await;
    let caller = house.caller(&house.guest().await).await;
    house
        .ask(SignOut {
            caller,
            everywhere: false,
        })
        .await
        .unwrap();
    let redis = house.game.redis();
    let key = redis.key(keys::revoked(caller.session));
    let ttl: i64 = redis
        .ask(|mut connection| async move { redis::cmd("TTL").arg(key).query_async(&mut connection).await })
        .await
        .unwrap();
    assert!((16 * 60..=17 * 60).contains(&ttl), "{ttl} s");
}

#[tokio::test]
async fn a_sign_out_everywhere_ends_every_session_of_that_player_alone() {
    let house = House::open().await;
    let device = device();
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(house.caller(&house.ask(as_guest(&device)).await.unwrap()).await);
    }
    let stranger = house.caller(&house.guest().await).await;
    house
        .ask(SignOut {
            caller: callers[1],
            everywhere: true,
        })
        .await
        .unwrap();
    for caller in callers {
        assert_eq!(house.is_revoked(caller.session).await, Some(true));
        assert!(!house.is_open(caller.session).await);
    }
    assert!(house.is_open(stranger.session).await);
}

#[tokio::test]
async fn the_oldest_of_more_than_twenty_sessions_ends() {
    let house = House::open().await;
    let device = device();
    let oldest = house.caller(&house.ask(as_guest(&device)).await.unwrap()).await;
    let second = house.caller(&house.ask(as_guest(&device)).await.unwrap()).await;
    for _ in 0..19 {
        house.ask(as_guest(&device)).await.unwrap();
    }
    assert!(!house.is_open(oldest.session).await);
    assert_eq!(house.is_revoked(oldest.session).await, Some(true));
    assert!(house.is_open(second.session).await);
}

#[tokio::test]
async fn a_session_that_nobody_refreshed_for_thirty_days_is_over() {
    let house = House::open().await;
    let guest = house.guest().await;
    let session = house.claims(&guest).await.sid;
    house
        .change("UPDATE auth.sessions SET expires_at = now() - interval '1 second' WHERE game_id = $1")
        .await;
    assert!(!house.is_open(session).await);
    assert_eq!(house.refusal(refresh(&guest)).await, ErrorCode::SessionEnded);
    assert!(!house.is_open(SessionId::fresh()).await, "a session that never was");
}

#[tokio::test]
async fn old_sessions_and_tokens_are_cleaned_up_and_others_are_not() {
    let house = House::open().await;
    let old = house.guest().await;
    house.ask(refresh(&old)).await.unwrap();
    house
        .change("UPDATE auth.sessions SET expires_at = now() - interval '2 days' WHERE game_id = $1")
        .await;
    let kept = house.guest().await;
    let kept = house.ask(refresh(&kept)).await.unwrap();
    // Another instance cleans when it starts.
    gaia_auth::start(house.game.auth_settings(), &Tasks::default())
        .await
        .unwrap();
    eventually("the old session is gone", async || {
        (house.count("SELECT count(*) FROM auth.sessions").await == 1).then_some(())
    })
    .await;
    assert_eq!(house.count("SELECT count(*) FROM auth.refresh_tokens").await, 2);
    house.ask(refresh(&kept)).await.unwrap();
}
