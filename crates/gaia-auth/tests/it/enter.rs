//! Coming in: as a guest, by signing up, by signing in.

use futures::future::join_all;
use gaia_names::Secret;
use gaia_protocol::{
    ErrorCode,
    auth::{Caller, DeletePlayer, EnterAsGuest, Role, SignUp},
};
use gaia_service::Tasks;

use crate::house::{House, PASSWORD, as_guest, device, email, sign_in, sign_up};

#[tokio::test]
async fn a_guest_is_the_same_player_on_the_same_device() {
    let house = House::open().await;
    let device = device();
    let first = house.ask(as_guest(&device)).await.unwrap();
    let again = house.ask(as_guest(&device)).await.unwrap();
    assert_eq!(first.player, again.player);
    assert!(first.player.is_guest && first.player.email.is_none() && first.player.role == Role::Player);
    assert_eq!((&*first.token_type, first.expires_in), ("Bearer", 900));
    assert_ne!(house.claims(&first).await.sid, house.claims(&again).await.sid);
    assert_ne!(house.guest().await.player.id, first.player.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_who_come_at_once_on_one_device_are_one_player() {
    let house = House::open().await;
    // A second instance, so that nothing inside one process can be what keeps them apart.
    gaia_auth::start(house.game.auth_settings(), &Tasks::default())
        .await
        .unwrap();
    let device = device();
    let guests = join_all((0..16).map(|_| house.ask(as_guest(&device)))).await;
    let players: Vec<_> = guests.into_iter().map(|guest| guest.unwrap().player.id).collect();
    assert!(players.iter().all(|player| *player == players[0]), "{players:?}");
    assert_eq!(house.count("SELECT count(*) FROM auth.players").await, 1);
}

#[tokio::test]
async fn a_guest_chooses_a_name_or_gets_one() {
    let house = House::open().await;
    let named = |name: &str| EnterAsGuest {
        device_id: Secret::new(device()),
        display_name: Some(name.to_owned()),
    };
    let guest = house.ask(named("  Zoë the Brave ")).await.unwrap();
    assert_eq!(guest.player.display_name, "Zoë the Brave");
    assert!(!house.guest().await.player.display_name.is_empty());
    for bad in ["", "  ", "line\nbreak", "\u{202E}evarB eht ëoZ", &"x".repeat(41)] {
        assert_eq!(house.refusal(named(bad)).await, ErrorCode::InvalidInput, "{bad:?}");
    }
}

#[tokio::test]
async fn a_device_id_that_could_be_guessed_is_refused() {
    let house = House::open().await;
    for bad in ["", "short", &"x".repeat(15), &"x".repeat(129)] {
        assert_eq!(house.refusal(as_guest(bad)).await, ErrorCode::InvalidInput, "{bad:?}");
    }
}

#[tokio::test]
async fn nothing_secret_is_kept_as_it_came() {
    let house = House::open().await;
    let device = device();
    let guest = house.ask(as_guest(&device)).await.unwrap();
    house.member().await;
    let owner = house.game.owner().await;
    let tables = ["players", "devices", "sessions", "refresh_tokens"];
    for table in tables {
        let statement = format!("SELECT t::text FROM auth.{table} t WHERE game_id = $1");
        for row in owner.query(&statement, &[&house.game.id.as_str()]).await.unwrap() {
            let row: String = row.get(0);
            for secret in [&*device, guest.refresh_token.expose(), PASSWORD] {
                let as_bytes: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
                assert!(
                    !row.contains(secret) && !row.contains(&as_bytes),
                    "{table} holds a secret"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_player_signs_up_and_signs_in_whatever_the_case_of_the_email() {
    let house = House::open().await;
    let email = email();
    let shown = format!("  {}", email.to_uppercase());
    let signed_up = house.ask(sign_up(&shown, PASSWORD)).await.unwrap();
    assert_eq!(signed_up.player.email.as_deref(), Some(shown.trim()));
    assert!(!signed_up.player.is_guest);
    let signed_in = house.ask(sign_in(&email, PASSWORD)).await.unwrap();
    assert_eq!(signed_in.player, signed_up.player);
    assert_eq!(house.refusal(sign_up(&email, PASSWORD)).await, ErrorCode::EmailTaken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sign_ups_at_once_with_one_email_one_wins() {
    let house = House::open().await;
    gaia_auth::start(house.game.auth_settings(), &Tasks::default())
        .await
        .unwrap();
    let email = email();
    let answers = join_all((0..6).map(|_| house.ask(sign_up(&email, PASSWORD)))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert_eq!(lost.unwrap_err().code, ErrorCode::EmailTaken);
    }
    assert_eq!(house.count("SELECT count(*) FROM auth.players").await, 1);
}

#[tokio::test]
async fn a_guest_who_signs_up_stays_the_same_player() {
    let house = House::open().await;
    let (device, email) = (device(), email());
    let guest = house.ask(as_guest(&device)).await.unwrap();
    let caller = house.caller(&guest).await;
    let ask = |email: &str, display_name: Option<&str>| SignUp {
        caller: Some(caller),
        display_name: display_name.map(str::to_owned),
        ..sign_up(email, PASSWORD)
    };
    let member = house.ask(ask(&email, None)).await.unwrap();
    assert_eq!(member.player.id, guest.player.id);
    assert_eq!(member.player.display_name, guest.player.display_name);
    assert!(!member.player.is_guest);
    assert_eq!(
        house.ask(sign_in(&email, PASSWORD)).await.unwrap().player.id,
        guest.player.id
    );
    // The password is the way in from now on; the device is not.
    assert_ne!(house.ask(as_guest(&device)).await.unwrap().player.id, guest.player.id);
    assert_eq!(
        house.refusal(ask("other@example.org", None)).await,
        ErrorCode::Forbidden
    );
}

#[tokio::test]
async fn a_guest_cannot_sign_up_with_another_players_email_and_stays_a_guest() {
    let house = House::open().await;
    let (_, email) = house.member().await;
    let device = device();
    let guest = house.ask(as_guest(&device)).await.unwrap();
    let caller = Some(house.caller(&guest).await);
    let question = SignUp {
        caller,
        ..sign_up(&email, PASSWORD)
    };
    assert_eq!(house.refusal(question).await, ErrorCode::EmailTaken);
    assert_eq!(house.ask(as_guest(&device)).await.unwrap().player, guest.player);
}

#[tokio::test]
async fn a_guest_who_was_deleted_cannot_sign_up() {
    let house = House::open().await;
    let guest = house.guest().await;
    let caller: Caller = house.caller(&guest).await;
    house.ask(DeletePlayer { caller }).await.unwrap();
    let question = SignUp {
        caller: Some(caller),
        ..sign_up(&email(), PASSWORD)
    };
    assert_eq!(house.refusal(question).await, ErrorCode::SessionEnded);
}

#[tokio::test]
async fn what_cannot_be_an_email_or_should_not_be_a_password_is_refused() {
    let house = House::open().await;
    for bad in [
        "",
        "ada",
        "ada@localhost",
        "a b@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
    ] {
        assert_eq!(
            house.refusal(sign_up(bad, PASSWORD)).await,
            ErrorCode::InvalidInput,
            "{bad:?}"
        );
    }
    for bad in [
        "",
        "too short",
        "password123",
        "Ada.Lovelace@Example.org",
        &"x1y2z3".repeat(30),
    ] {
        let refused = house.ask(sign_up("ada.lovelace@example.org", bad)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidInput, "{bad:?}");
        assert!(
            bad.is_empty() || !refused.detail.contains(bad),
            "the answer shows the password"
        );
    }
}

#[tokio::test]
async fn an_unknown_email_and_a_wrong_password_get_the_same_answer() {
    let house = House::open().await;
    let (_, email) = house.member().await;
    let wrong = house
        .ask(sign_in(&email, "wrong horse battery staple"))
        .await
        .unwrap_err();
    let unknown = house.ask(sign_in("nobody@example.org", PASSWORD)).await.unwrap_err();
    let no_email = house.ask(sign_in("nobody", PASSWORD)).await.unwrap_err();
    let endless = house.ask(sign_in(&email, &"x".repeat(100_000))).await.unwrap_err();
    assert_eq!(wrong.code, ErrorCode::WrongCredentials);
    assert!(wrong == unknown && wrong == no_email && wrong == endless);
}

#[tokio::test]
async fn a_hash_of_yesterday_is_replaced_when_its_player_signs_in() {
    let house = House::open().await;
    let (member, email) = house.member().await;
    // `correct horse battery staple`, hashed with 8 MiB and one pass.
    let yesterday = "$argon2id$v=19$m=8192,t=1,p=1$";
    let weak = argon2::Argon2::from(argon2::Params::new(8192, 1, 1, None).unwrap());
    let weak = argon2::PasswordHasher::hash_password(&weak, PASSWORD.as_bytes())
        .unwrap()
        .to_string();
    assert!(weak.starts_with(yesterday));
    house
        .change(&format!(
            "UPDATE auth.players SET password_hash = '{weak}' WHERE game_id = $1"
        ))
        .await;
    let signed_in = house.ask(sign_in(&email, PASSWORD)).await.unwrap();
    assert_eq!(signed_in.player.id, member.player.id);
    let of_today = "SELECT count(*) FROM auth.players WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!(house.count(of_today).await, 1);
    house.ask(sign_in(&email, PASSWORD)).await.unwrap();
}
