//! Players: read, renamed, given a role, deleted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use gaia_names::{PlayerId, Service};
use gaia_protocol::{
    ErrorCode, Fault,
    auth::{DeletePlayer, ReadPlayer, RenamePlayer, Role, SetRole},
    chat::ForgetPlayer,
};
use gaia_service::{Tasks, bus::Answers};
use gaia_testkit::{TestGame, eventually};
use tokio::sync::mpsc;

use crate::house::{House, PASSWORD, as_guest, device, refresh, sign_in, sign_up};

#[tokio::test]
async fn a_player_reads_and_renames_themselves() {
    let house = House::open().await;
    let (member, email) = house.member().await;
    let caller = house.caller(&member).await;
    assert_eq!(house.ask(ReadPlayer { caller }).await.unwrap(), member.player);
    let rename = |name: &str| RenamePlayer {
        caller,
        display_name: name.to_owned(),
    };
    let renamed = house.ask(rename(" Ada ")).await.unwrap();
    assert_eq!(
        (&*renamed.display_name, renamed.email.as_deref()),
        ("Ada", Some(&*email))
    );
    assert_eq!(house.ask(ReadPlayer { caller }).await.unwrap(), renamed);
    for bad in ["", "\t", "a\u{7}b", &"x".repeat(41)] {
        assert_eq!(house.refusal(rename(bad)).await, ErrorCode::InvalidInput);
    }
    assert_eq!(house.ask(ReadPlayer { caller }).await.unwrap(), renamed);
}

#[tokio::test]
async fn a_role_is_given_to_players_who_are_there() {
    let house = House::open().await;
    let caller = house.caller(&house.guest().await).await;
    for role in [Role::Admin, Role::Moderator, Role::Player] {
        let player = house
            .ask(SetRole {
                player: caller.player,
                role,
            })
            .await
            .unwrap();
        assert_eq!(player.role, role);
        assert_eq!(house.ask(ReadPlayer { caller }).await.unwrap().role, role);
    }
    let nobody = SetRole {
        player: PlayerId::fresh(),
        role: Role::Admin,
    };
    assert_eq!(house.refusal(nobody).await, ErrorCode::NotFound);
}

/// Stands in for chat: refuses the first few questions, then forgets, and says whom it was asked about.
async fn chat(game: &TestGame, refusals: usize) -> mpsc::UnboundedReceiver<PlayerId> {
    let bus = game.bus(Service::Chat).await;
    let (asked, heard) = mpsc::unbounded_channel();
    let refusals = Arc::new(AtomicUsize::new(refusals));
    let answer = move |_, question: ForgetPlayer| {
        asked.send(question.player).expect("the test listens");
        let is_refused = refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        async move {
            if is_refused {
                Err(Fault::from(ErrorCode::Unavailable))
            } else {
                Ok(())
            }
        }
    };
    let answers = Answers::new(&bus, &Tasks::default(), 8);
    answers
        .to::<ForgetPlayer, _, _>(answer)
        .await
        .expect("nats takes the subscription");
    eventually("nats is there", async || bus.check().ok()).await;
    heard
}

#[tokio::test]
async fn a_deleted_player_leaves_nothing_behind() {
    let house = House::open().await;
    let device = device();
    let guest = house.ask(as_guest(&device)).await.unwrap();
    let elsewhere = house.caller(&house.ask(as_guest(&device)).await.unwrap()).await;
    let caller = house.caller(&guest).await;
    let mut heard = chat(&house.game, 0).await;
    for _ in 0..2 {
        house.ask(DeletePlayer { caller }).await.unwrap();
    }
    assert_eq!(heard.recv().await, Some(caller.player));
    for session in [caller.session, elsewhere.session] {
        assert_eq!(house.is_revoked(session).await, Some(true));
        assert!(!house.is_open(session).await);
    }
    assert_eq!(house.refusal(refresh(&guest)).await, ErrorCode::SessionEnded);
    assert_eq!(house.refusal(ReadPlayer { caller }).await, ErrorCode::SessionEnded);
    let rename = RenamePlayer {
        caller,
        display_name: "Ada".to_owned(),
    };
    assert_eq!(house.refusal(rename).await, ErrorCode::SessionEnded);
    let rows = "SELECT (SELECT count(*) FROM auth.players) + (SELECT count(*) FROM auth.devices)
                     + (SELECT count(*) FROM auth.sessions WHERE player_id IS NOT NULL)";
    assert_eq!(house.count(rows).await, 0);
    eventually("the deletion is done", async || {
        (house.count("SELECT count(*) FROM auth.deletions").await == 0).then_some(())
    })
    .await;
    assert_ne!(house.ask(as_guest(&device)).await.unwrap().player.id, caller.player);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_in_while_being_deleted_is_out_or_somebody_new() {
    let house = House::open().await;
    for _ in 0..5 {
        let device = device();
        let caller = house.caller(&house.ask(as_guest(&device)).await.unwrap()).await;
        let entering = join_all((0..6).map(|_| house.ask(as_guest(&device))));
        let (deleted, entered) = futures::join!(house.ask(DeletePlayer { caller }), entering);
        deleted.unwrap();
        for entered in entered {
            let other = house.caller(&entered.unwrap()).await;
            let is_out = other.player == caller.player;
            assert_eq!(house.is_open(other.session).await, !is_out);
            assert_eq!(house.is_revoked(other.session).await, Some(is_out));
        }
    }
}

#[tokio::test]
async fn the_email_of_a_deleted_player_is_free_again() {
    let house = House::open().await;
    let (member, email) = house.member().await;
    let caller = house.caller(&member).await;
    house.ask(DeletePlayer { caller }).await.unwrap();
    assert_eq!(
        house.refusal(sign_in(&email, PASSWORD)).await,
        ErrorCode::WrongCredentials
    );
    let anew = house.ask(sign_up(&email, PASSWORD)).await.unwrap();
    assert_ne!(anew.player.id, caller.player);
}

#[tokio::test]
async fn chat_is_asked_to_forget_a_player_until_it_has_answered() {
    let house = House::open().await;
    let caller = house.caller(&house.guest().await).await;
    let mut heard = chat(&house.game, 1).await;
    house.ask(DeletePlayer { caller }).await.unwrap();
    assert_eq!(heard.recv().await, Some(caller.player));
    assert_eq!(heard.recv().await, Some(caller.player), "asked again after the refusal");
    eventually("the deletion is done", async || {
        (house.count("SELECT count(*) FROM auth.deletions").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deletion_outlives_the_auth_that_took_it() {
    let house = House::open().await;
    let caller = house.caller(&house.guest().await).await;
    house.ask(DeletePlayer { caller }).await.unwrap();
    assert!(
        house.tasks.drain(std::time::Duration::from_secs(10)).await,
        "auth stops in time"
    );
    assert_eq!(house.count("SELECT count(*) FROM auth.deletions").await, 1);
    // As if nobody had tried yet, so that the test need not wait for the next try.
    house
        .change("UPDATE auth.deletions SET next_try_at = now() WHERE game_id = $1")
        .await;
    let mut heard = chat(&house.game, 0).await;
    let again = House::around(house.game.clone()).await;
    assert_eq!(heard.recv().await, Some(caller.player));
    eventually("the deletion is done", async || {
        (again.count("SELECT count(*) FROM auth.deletions").await == 0).then_some(())
    })
    .await;
}
