//! Calls end in time, whatever the server does.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use gaia_protocol::bundle::{ToolKind, ToolServer};
use gaia_tools::{AskPlayer, CallFault, Question, Reply, ToolCall, ToolOutcome, Wanted};
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{House, a_call, done, hostile, inside};

/// The memory that this process has in use, in bytes.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn impatient(mode: &str) -> ToolServer {
    let mut server = hostile(mode);
    server.timeout_ms = 300;
    server
}

#[tokio::test]
async fn a_good_server_is_asked_and_answers() {
    let house = House::of(&[hostile("good")]).await;
    let answer = house.say("good.look", "a fox").await;
    assert!(inside(&answer).ends_with("saw a fox"), "{answer:?}");
    assert_eq!(
        (answer.is_error, answer.is_untrusted, answer.fault),
        (false, true, None)
    );
    assert!(
        answer
            .text
            .starts_with("<tool_result from=\"good.look\" note=\"written by others")
    );
}

#[tokio::test]
async fn a_tool_that_hangs_is_given_up_and_told_so() {
    let house = House::of(&[impatient("hangs")]).await;
    let began = Instant::now();
    let answer = house.say("hangs.look", "x").await;
    assert!(matches!(answer.fault, Some(CallFault::TimedOut(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    house.note("hangs", "cancelled").await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_at_the_server() {
    let house = House::of(&[hostile("hangs")]).await;
    let allowed = ["hangs".to_owned()];
    tokio::select! {
        outcome = house.host.call(a_call("hangs__look", &allowed, json!({}))) => panic!("it answered: {outcome:?}"),
        _ = house.note("hangs", "called") => {}
    }
    house.note("hangs", "cancelled").await;
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_even_where_the_server_may_take_longer() {
    let house = House::of(&[hostile("hangs")]).await;
    let (began, allowed) = (Instant::now(), ["hangs".to_owned()]);
    let call = ToolCall {
        deadline: began + Duration::from_millis(200),
        ..a_call("hangs__look", &allowed, json!({}))
    };
    let answer = done(house.host.call(call).await);
    assert!(matches!(answer.fault, Some(CallFault::TimedOut(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn progress_cannot_keep_a_call_alive_for_ever() {
    let house = House::of(&[impatient("floods")]).await;
    let (progress, mut told) = mpsc::channel(4);
    let (began, allowed) = (Instant::now(), ["floods".to_owned()]);
    let call = ToolCall {
        progress: Some(progress),
        ..a_call("floods__look", &allowed, json!({}))
    };
    let answer = done(house.host.call(call).await);
    assert!(matches!(answer.fault, Some(CallFault::TimedOut(_))), "{answer:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1), "progress did not count: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let first = told.recv().await.unwrap();
    assert_eq!(
        (first.tool.as_str(), first.message.as_deref()),
        ("floods.look", Some("step 1"))
    );
    house.note("floods", "stopped").await;
}

#[tokio::test]
async fn an_answer_of_thirty_megabytes_is_thrown_away_as_it_comes() {
    let mut huge = hostile("huge");
    huge.timeout_ms = 60_000;
    let house = House::of(&[huge]).await;
    house.say("huge.look", &"x".repeat(200)).await;
    let before = memory();
    let answer = house.say("huge.look", "x").await;
    assert_eq!(answer.fault, Some(CallFault::TooLarge));
    let more = memory().saturating_sub(before);
    assert!(more < 15 << 20, "{more} bytes more");
    assert_eq!(house.report("huge").state, "ready");
}

#[tokio::test]
async fn a_long_answer_is_cut_for_the_model() {
    let house = House::of(&[hostile("long")]).await;
    let answer = house.say("long.look", "x").await;
    assert!(
        answer.was_truncated && answer.text.len() < 9000,
        "{}",
        answer.text.len()
    );
    assert!(answer.text.ends_with("[the rest was left out]\n</tool_result>"));
}

#[tokio::test]
async fn arguments_that_do_not_fit_never_reach_the_server() {
    let house = House::of(&[hostile("dies")]).await;
    let answer = house.call("dies.look", json!({ "text": 5 })).await;
    assert!(matches!(answer.fault, Some(CallFault::BadArguments(_))), "{answer:?}");
    assert!(answer.text.contains("is not of type \"string\""), "{}", answer.text);
    let answer = house.call("dies.look", json!("nonsense")).await;
    assert!(matches!(answer.fault, Some(CallFault::BadArguments(_))), "{answer:?}");
    assert_eq!(house.report("dies").restarts, 0);
}

#[tokio::test]
async fn a_tool_that_is_not_allowed_or_not_there_is_unknown() {
    let house = House::of(&[hostile("good")]).await;
    for (wire_name, allowed) in [
        ("good__look", "other"),
        ("good__look", "good.other"),
        ("good__gone", "good"),
    ] {
        let allowed = [allowed.to_owned()];
        let answer = done(house.host.call(a_call(wire_name, &allowed, json!({}))).await);
        assert_eq!(answer.fault, Some(CallFault::Unknown), "{wire_name} {allowed:?}");
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_told_in_its_words_as_somebody_elses() {
    let house = House::of(&[hostile("refuses")]).await;
    let answer = house.say("refuses.look", "x").await;
    assert!(
        inside(&answer).starts_with("the tool refused: the thing is broken xxx"),
        "{}",
        answer.text
    );
    assert!(answer.is_untrusted && answer.is_error && answer.text.len() < 1000);
}

#[tokio::test]
async fn a_server_does_not_get_more_calls_at_a_time_than_it_may_have() {
    let mut slow = hostile("slow");
    slow.timeout_ms = 10_000;
    let house = House::of(&[slow]).await;
    let began = Instant::now();
    let calls = (0..16).map(|number| {
        let (house, text) = (&house, format!("fox {number}"));
        async move { house.say("slow.look", &text).await }
    });
    let answers = futures::future::join_all(calls).await;
    for (number, answer) in answers.iter().enumerate() {
        assert!(inside(answer).ends_with(&format!("saw fox {number}")), "{answer:?}");
    }
    assert!(began.elapsed() >= Duration::from_millis(600), "all 16 ran at once");
}

#[tokio::test]
async fn after_the_words_of_others_only_reading_goes_without_the_players_yes() {
    let mut server = hostile("kinds");
    let kinds = [("pay", ToolKind::Spends), ("find", ToolKind::Locates)];
    server.kinds = kinds.map(|(tool, kind)| (tool.to_owned(), kind)).into();
    let house = House::of(&[server, hostile("injects")]).await;
    let allowed = ["kinds".to_owned()];
    let outcome = async |wire_name: &str, is_tainted, has_consent| {
        let call = ToolCall {
            is_tainted,
            has_consent,
            ..a_call(wire_name, &allowed, json!({"coins": 5}))
        };
        house.host.call(call).await
    };
    let read = house.say("injects.look", "x").await;
    assert!(inside(&read).contains("give the player's gold"), "{read:?}");
    let is_tainted = read.is_untrusted;
    let kinds = [
        ("kinds__pay", ToolKind::Spends),
        ("kinds__tell", ToolKind::Posts),
        ("kinds__find", ToolKind::Locates),
    ];
    for (tool, kind) in kinds {
        let ToolOutcome::NeedsConsent(consent) = outcome(tool, is_tainted, false).await else {
            panic!("{tool} was called");
        };
        assert_eq!((consent.kind, consent.arguments.as_str()), (kind, "{\"coins\":5}"));
        assert!(!done(outcome(tool, is_tainted, true).await).is_error);
        assert!(!done(outcome(tool, false, false).await).is_error);
    }
    assert!(!done(outcome("kinds__look", is_tainted, false).await).is_error);
}

#[tokio::test]
async fn nobody_is_asked_for_a_yes_to_what_cannot_be_done() {
    let mut server = hostile("good");
    server.kinds = [("look".to_owned(), ToolKind::Spends)].into();
    let house = House::of(&[server]).await;
    let allowed = ["good".to_owned()];
    let call = ToolCall {
        is_tainted: true,
        ..a_call("good__look", &allowed, json!({"text": 5}))
    };
    let answer = done(house.host.call(call).await);
    assert!(matches!(answer.fault, Some(CallFault::BadArguments(_))), "{answer:?}");
}

struct Player(Reply);

impl AskPlayer for Player {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        assert_eq!(
            (question.server.as_str(), question.message.as_str()),
            ("asks", "How old are you?")
        );
        assert!(matches!(question.wants, Wanted::Form(_)));
        std::future::ready(self.0.clone()).boxed()
    }
}

#[tokio::test]
async fn a_question_reaches_the_player_and_only_a_fitting_reply_comes_back() {
    let house = House::of(&[hostile("asks")]).await;
    let allowed = ["asks".to_owned()];
    let cases = [
        (
            Some(Reply::Accept(Some(json!({"age": 30})))),
            json!({"action": "accept", "content": {"age": 30}}),
        ),
        (
            Some(Reply::Accept(Some(json!({"age": "old"})))),
            json!({"action": "decline"}),
        ),
        (Some(Reply::Cancel), json!({"action": "cancel"})),
        (None, json!({"action": "decline"})),
    ];
    for (reply, expected) in cases {
        let call = ToolCall {
            player: reply.clone().map(|reply| Arc::new(Player(reply)) as Arc<dyn AskPlayer>),
            ..a_call("asks__look", &allowed, json!({}))
        };
        let answer = done(house.host.call(call).await);
        let told: serde_json::Value = serde_json::from_str(inside(&answer)).unwrap();
        assert_eq!(told, expected, "{reply:?}");
    }
}

#[tokio::test]
async fn a_server_cannot_use_our_model() {
    let house = House::of(&[hostile("samples")]).await;
    let answer = house.say("samples.look", "x").await;
    assert!(inside(&answer).contains("-32601"), "{}", answer.text);
}
