//! Characters whose authors' lines tell what a tool answered, without any model.

use std::time::{Duration, Instant};

use gaia_names::TurnId;
use gaia_protocol::{
    bundle::{Intent, IntentCall, ToolKind, ToolServer},
    chat::{PlayerAnswer, ReplySource, ToolState, Turn, TurnCommand, TurnEvent, Verdict, Wants},
    subjects,
};
use gaia_testkit::{eventually, hostile};
use serde_json::json;

use crate::chat::{Chat, Told, call, reply, route_of};

const PLAIN: &str = "The fog hides it.";

/// A game without a model, whose persona looks with this server before it says one of these lines.
async fn with(server: ToolServer, telling: &[&str]) -> Chat {
    let lines = telling.iter().chain([&PLAIN]).map(|line| (*line).to_owned());
    let intent = Intent {
        name: "ask_gate".to_owned(),
        when: vec!["is the north gate open".to_owned()],
        say: lines.collect(),
        meanwhile: vec!["Let me look.".to_owned()],
        call: Some(IntentCall {
            tool: format!("{}.look", server.name),
            arguments: json!({ "text": "the gate" }).as_object().unwrap().clone(),
        }),
    };
    Chat::start_with(|bundle, _, _| {
        bundle.routes.clear();
        bundle.response_time_target_ms = 400;
        bundle.personas[0].tools = vec![server.name.clone()];
        bundle.personas[0].intents.push(intent);
        bundle.tool_servers = vec![server];
    })
    .await
}

async fn hear(chat: &Chat) -> Told {
    let conversation = chat.conversation().await.id;
    let stream = chat
        .begin(conversation, TurnId::fresh(), "Is the north gate open?")
        .await;
    stream.rest().await
}

/// What is said once the server can be called.
async fn hear_the_answer(chat: &Chat) -> Turn {
    let heard = async || {
        let turn = hear(chat).await.final_turn();
        (reply(&turn) != PLAIN).then_some(turn)
    };
    eventually("the tool answers", heard).await
}

#[tokio::test]
async fn a_line_tells_what_the_tool_answers_and_the_player_sees_that_one_is_used() {
    let chat = with(hostile("plain"), &["My glass says: {answer}."]).await;
    let turn = hear_the_answer(&chat).await;
    assert!(reply(&turn).starts_with("My glass says: "), "{turn:?}");
    assert!(reply(&turn).ends_with(" saw the gate."), "{turn:?}");
    assert_eq!(turn.reply.as_ref().unwrap().source, ReplySource::Authored);
    assert_eq!(route_of(&turn), "barks");
    let conversation = turn.conversation;
    let stream = chat
        .begin(conversation, TurnId::fresh(), "is the north gate open")
        .await;
    let told = stream.rest().await;
    assert!(
        reply(&told.final_turn()).contains(" saw the gate."),
        "it is true as often as it is asked"
    );
    let used = told.events.iter().filter_map(|event| match event {
        TurnEvent::Tool(news) => Some((news.tool.as_str(), news.state)),
        _ => None,
    });
    assert_eq!(
        used.collect::<Vec<_>>(),
        [("plain.look", ToolState::Working), ("plain.look", ToolState::Done)]
    );
}

#[tokio::test]
async fn a_line_tells_a_part_of_what_is_answered_and_waits_for_a_part_that_is_there() {
    let chat = with(
        hostile("lies"),
        &["It is {answer.degrees}.", "The wind is {answer.wind.speed}."],
    )
    .await;
    for _ in 0..3 {
        assert_eq!(reply(&hear_the_answer(&chat).await), "It is warm.");
    }
}

#[tokio::test]
async fn a_tool_that_hangs_is_bridged_and_ends_in_a_line_that_does_without_it() {
    let chat = with(hostile("hangs"), &["It says: {answer}."]).await;
    let bridged = async || {
        let began = Instant::now();
        let told = hear(&chat).await;
        let took = began.elapsed();
        let is_interim = |event: &TurnEvent| matches!(event, TurnEvent::Interim { text } if text == "Let me look.");
        assert_eq!(reply(&told.final_turn()), PLAIN);
        assert!(took < Duration::from_secs(8), "{took:?}");
        told.events.iter().any(is_interim).then_some(())
    };
    eventually("the server is there and hangs", bridged).await;
}

#[tokio::test]
async fn a_server_that_cannot_start_leaves_the_line_that_does_without_it() {
    let mut server = hostile("plain");
    if let gaia_protocol::bundle::ToolTransport::Command { command, .. } = &mut server.transport {
        *command = vec!["/nowhere/at/all".to_owned()];
    }
    let chat = with(server, &["It says: {answer}."]).await;
    assert_eq!(reply(&hear(&chat).await.final_turn()), PLAIN);
}

#[tokio::test]
async fn a_likeness_alone_posts_nothing_without_the_players_yes() {
    let mut server = hostile("plain");
    server.kinds = [("look".to_owned(), ToolKind::Posts)].into();
    let chat = with(server, &["It says: {answer}."]).await;
    for verdict in [Verdict::Decline, Verdict::Accept] {
        let answered = async || {
            let (conversation, turn) = (chat.conversation().await.id, TurnId::fresh());
            let mut stream = chat.begin(conversation, turn, "is the north gate open").await;
            loop {
                match stream.next().await.unwrap() {
                    TurnEvent::Ask(question) => {
                        assert!(matches!(
                            question.wants,
                            Wants::Consent {
                                does: ToolKind::Posts,
                                ..
                            }
                        ));
                        let subject = subjects::turn_commands(&chat.game.id, Some(turn));
                        let command = TurnCommand::Answer {
                            player: chat.player.player,
                            number: question.number,
                            answer: PlayerAnswer { verdict, values: None },
                        };
                        assert!(chat.bus.ask_at::<_, bool>(subject, &call(), &command).await.unwrap());
                        return Some(stream.rest().await.final_turn());
                    }
                    // The server is not there yet.
                    event if event.is_last() => return None,
                    _ => {}
                }
            }
        };
        let turn = eventually("the player is asked", answered).await;
        let is_told = reply(&turn).starts_with("It says: ");
        assert_eq!(is_told, verdict == Verdict::Accept, "{turn:?}");
    }
}
