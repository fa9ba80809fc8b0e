//! Two games in one `auth` never see each other.

use gaia_names::Service;
use gaia_protocol::{
    ErrorCode,
    auth::{DeletePlayer, ReadPlayer, RenamePlayer, Role, SetRole, SignOut},
};
use gaia_testkit::TestGame;

use crate::house::{House, PASSWORD, as_guest, device, refresh, sign_in, sign_up};

async fn two_games() -> (House, House) {
    let game = TestGame::start().await;
    let neighbour = game.neighbour().await;
    let mut settings = game.auth_settings();
    settings.games.extend(neighbour.auth_settings().games);
    let here = House::with(game, settings).await;
    let there = here.next_door(neighbour).await;
    (here, there)
}

#[tokio::test]
async fn one_device_and_one_email_are_different_players_in_different_games() {
    let (here, there) = two_games().await;
    let device = device();
    let guest = here.ask(as_guest(&device)).await.unwrap();
    assert_ne!(there.ask(as_guest(&device)).await.unwrap().player.id, guest.player.id);
    let member = here.ask(sign_up("ada@example.org", PASSWORD)).await.unwrap();
    let refused = there.refusal(sign_in("ada@example.org", PASSWORD)).await;
    assert_eq!(refused, ErrorCode::WrongCredentials);
    let other = there.ask(sign_up("ada@example.org", "another password")).await.unwrap();
    assert_ne!(other.player.id, member.player.id);
    here.ask(sign_in("ada@example.org", PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn the_ids_and_tokens_of_one_game_are_nothing_in_another() {
    let (here, there) = two_games().await;
    let guest = here.guest().await;
    let caller = here.caller(&guest).await;
    assert!(!there.is_open(caller.session).await);
    assert_eq!(there.refusal(refresh(&guest)).await, ErrorCode::TokenInvalid);
    assert_eq!(there.refusal(ReadPlayer { caller }).await, ErrorCode::SessionEnded);
    let rename = RenamePlayer {
        caller,
        display_name: "Mallory".to_owned(),
    };
    assert_eq!(there.refusal(rename).await, ErrorCode::SessionEnded);
    let promote = SetRole {
        player: caller.player,
        role: Role::Admin,
    };
    assert_eq!(there.refusal(promote).await, ErrorCode::NotFound);
    // These two are harmless to repeat, so they answer "done" to whom there is nothing to do for.
    there
        .ask(SignOut {
            caller,
            everywhere: true,
        })
        .await
        .unwrap();
    there.ask(DeletePlayer { caller }).await.unwrap();

    assert!(here.is_open(caller.session).await);
    assert_eq!(here.is_revoked(caller.session).await, Some(false));
    assert_eq!(here.ask(ReadPlayer { caller }).await.unwrap(), guest.player);
    here.ask(refresh(&guest))
        .await
        .expect("the token was not used up in the other game");
}

#[tokio::test]
async fn rows_are_found_by_keys_that_begin_with_the_game() {
    let house = House::open().await;
    let postgres = house.game.postgres(Service::Auth, &house.tasks);
    let client = postgres.client().await.unwrap();
    // The tables are too small for an index to pay, so the planner is told to want one: what it cannot use shows.
    client
        .batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        .await
        .unwrap();
    for (table, column, value) in [
        ("players", "id", "'01890000-0000-7000-8000-000000000000'"),
        ("players", "email_key", "'ada@example.org'"),
        ("devices", "device_hash", "'\\x00'"),
        ("sessions", "id", "'01890000-0000-7000-8000-000000000000'"),
        ("sessions", "player_id", "'01890000-0000-7000-8000-000000000000'"),
        ("refresh_tokens", "token_hash", "'\\x00'"),
    ] {
        let statement = format!("EXPLAIN SELECT FROM auth.{table} WHERE {column} = {value}");
        let plan: Vec<String> = client
            .query(&statement, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        let condition = plan
            .iter()
            .find(|line| line.contains("Index Cond"))
            .unwrap_or_else(|| panic!("{plan:#?}"));
        assert!(condition.contains("game_id") && condition.contains(column), "{plan:#?}");
    }
}
