//! What calls of models used, as operators see it and as it is kept.

use gaia_names::TurnId;
use gaia_protocol::ErrorCode;
use gaia_testkit::{Ending, Script, eventually};
use uuid::Uuid;

use crate::chat::Chat;

/// How many tokens of a kind this process has counted for the test's game.
fn counted(chat: &Chat, kind: &str) -> Option<u64> {
    let (game, persona) = (&chat.game.id, chat.persona());
    let labels = [
        format!("game=\"{game}\""),
        format!("persona=\"{persona}\""),
        "route=\"scripted\"".to_owned(),
        format!("model=\"{}\"", chat.bundle.routes[0].model),
        format!("kind=\"{kind}\""),
    ];
    let all = gaia_service::telemetry::metrics().render();
    let line = all
        .lines()
        .find(|line| line.starts_with("gaia_chat_tokens_total{") && labels.iter().all(|label| line.contains(label)))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn tokens_are_counted_by_game_persona_route_and_model() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    assert_eq!(counted(&chat, "input"), None);
    chat.say(conversation, "hello").await;
    chat.say(conversation, "again").await;
    let kinds = ["input", "output", "cache_read", "cache_write"].map(|kind| counted(&chat, kind));
    assert_eq!(kinds, [Some(40), Some(14), Some(0), Some(0)]);
}

#[tokio::test]
async fn a_call_that_was_begun_for_a_refused_turn_is_metered_all_the_same() {
    let chat = Chat::start().await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "hello").await;
    let before = counted(&chat, "input").unwrap();
    chat.llm.always(Script::says("Half a").then(Ending::Stall));
    // Somebody else takes the conversation, and the claim waits for the commit, but the call of the model does not.
    let owner = chat.game.owner().await;
    owner.batch_execute("BEGIN").await.unwrap();
    let hold = "UPDATE chat.conversations SET running_turn = $2, lease = $2, lease_until = now() + interval '1 h'
        WHERE id = $1";
    owner.execute(hold, &[&conversation.0, &Uuid::now_v7()]).await.unwrap();
    let refused = TurnId::fresh();
    let stream = chat.begin(conversation, refused, "and now?").await;
    eventually("the model is called early", async || {
        (chat.llm.calls() == 2).then_some(())
    })
    .await;
    owner.batch_execute("COMMIT").await.unwrap();
    assert_eq!(stream.rest().await.refused(), ErrorCode::TurnInProgress);
    let find = "SELECT player_id, persona, input_tokens, is_estimated FROM chat.usage WHERE turn_id = $1";
    let row = eventually("the call is kept", async || {
        owner.query_opt(find, &[&refused.0]).await.unwrap()
    })
    .await;
    assert_eq!(row.get::<_, Uuid>(0), chat.player.player.0);
    assert_eq!(row.get::<_, String>(1), chat.persona().as_str());
    let input = u64::try_from(row.get::<_, i64>(2)).unwrap();
    assert!(input > 0 && row.get::<_, bool>(3));
    assert_eq!(counted(&chat, "input"), Some(before + input));
    eventually("the call is given up", async || (chat.llm.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_route_that_refuses_costs_nothing_and_one_that_is_too_slow_does() {
    let chat = Chat::start_with(|bundle, _, _| bundle.routes[0].first_token_ms = 200).await;
    let conversation = chat.conversation().await.id;
    let (unpaid, paid) = (Script::refuses(500), Script::says("").then(Ending::Stall));
    let mut turns = Vec::new();
    for script in [unpaid, paid] {
        chat.llm.next(script);
        turns.push(chat.say(conversation, "hello").await.id.0);
    }
    let find = "SELECT turn_id, output_tokens FROM chat.usage WHERE turn_id = any($1)";
    let rows = chat.game.owner().await.query(find, &[&turns]).await.unwrap();
    let rows: Vec<(Uuid, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(turns[1], 0)]);
}
