//! Fifty random deaths under load, and not one acknowledged turn lost or doubled.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gaia_testkit::{Script, ScriptedLlm, Visitor};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use reqwest::Method;
use serde_json::{Value, json};

use crate::journey::{Journey, kill};

const KILLS: usize = 50;
pub(crate) const CLIENTS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client was told: by turn id, what it said and the reply that was acknowledged as kept.
pub(crate) type Ledger = BTreeMap<String, (String, String)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_random_deaths_under_load_lose_and_double_no_acknowledged_turn() {
    let llm = ScriptedLlm::start(Script::says("The last train leaves at dawn.").every(Duration::from_millis(2))).await;
    let journey = Journey::begin();
    let config = format!(
        "name: Night Train\nlimits: {{requests_per_minute: 1000000, sign_ins_per_minute: 1000000}}\nai_configuration:\n  \
         routes: [{{name: scripted, provider: openai, model: scripted, base_url: \"{}\"}}]\n",
        llm.openai_url()
    );
    journey.gaia.write("games/night-train/config.yaml", &config);
    journey.gaia.run(&["up", "games/night-train"]).exits(0);
    let gateway = journey.status("night-train")["gateway_url"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();

    let over = AtomicBool::new(false);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let visitor = Visitor::enter(&gateway).await;
        let conversation = visitor.start_conversation("guide").await;
        clients.push(talk(visitor, conversation, &over, &acknowledged));
    }
    let seed = rand::rng().random();
    eprintln!("seed {seed}");
    let deaths = async {
        let acknowledged = Arc::clone(&acknowledged);
        let killing = tokio::task::spawn_blocking(move || {
            kill_at_random(&journey, seed, &acknowledged);
            journey
        });
        let ended = killing.await;
        over.store(true, Ordering::SeqCst);
        ended.unwrap()
    };
    let (clients, journey) = tokio::join!(futures::future::join_all(clients), deaths);
    let mut turns = 0;
    for (visitor, conversation, ledger) in clients {
        turns += ledger.len();
        compare(&visitor, &conversation, &ledger).await;
    }
    eprintln!("{turns} turns were acknowledged during {KILLS} deaths");
    tokio::task::spawn_blocking(move || journey.gaia.run(&["destroy", "night-train", "--yes"]).exits(0))
        .await
        .unwrap();
}

/// Kills a random process, waits until turns are acknowledged again, and so on. A dead supervisor stays dead until the
/// operator runs `up` again, which happens before the next death.
fn kill_at_random(journey: &Journey, seed: u64, acknowledged: &AtomicUsize) {
    let mut random = StdRng::seed_from_u64(seed);
    for number in 0..KILLS {
        let pids: Vec<(String, i32)> = journey.pids("night-train").into_iter().collect();
        let (name, pid) = pids.choose(&mut random).expect("something runs").clone();
        // Sometimes a second one dies with it.
        let second = pids.choose(&mut random).filter(|_| random.random_bool(0.2)).cloned();
        let before = acknowledged.load(Ordering::SeqCst);
        kill(pid);
        if let Some((_, pid)) = &second {
            kill(*pid);
        }
        let second = second.map(|(name, _)| name).unwrap_or_default();
        eprintln!("death {number}: {name} {second}");
        if name == "supervisor" || second == "supervisor" {
            journey.gaia.run(&["up", "games/night-train"]).exits(0);
        }
        let since = Instant::now();
        while acknowledged.load(Ordering::SeqCst) < before + CLIENTS {
            assert!(
                since.elapsed() < PATIENCE,
                "no turn went on after the death of {name} {second} (seed {seed})"
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Talks until told to stop. A turn that was not acknowledged is sent again with the same id and the same words.
pub(crate) async fn talk(
    mut visitor: Visitor,
    conversation: String,
    over: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> (Visitor, String, Ledger) {
    let path = format!("/v1/conversations/{conversation}/turns");
    let mut ledger = Ledger::new();
    while !over.load(Ordering::SeqCst) {
        let turn = uuid::Uuid::now_v7().to_string();
        let text = format!("When does train {} leave?", ledger.len());
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the turn `{text}` is not taken");
            let request = visitor
                .request(Method::POST, &path)
                .json(&json!({ "turn": turn, "text": text }));
            // A broken connection and a refusal are the same to a client that will try again.
            let Ok(answer) = request.timeout(Duration::from_secs(15)).send().await else {
                pause().await;
                continue;
            };
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap_or_default();
            match status {
                200 | 201 => {
                    let reply = body["reply"]["text"]
                        .as_str()
                        .expect("a whole turn has a reply")
                        .to_owned();
                    ledger.insert(turn, (text, reply));
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                401 => visitor = refreshed(visitor).await,
                409 | 429 | 502..=504 => pause().await,
                _ => panic!("{status}: {body}"),
            }
        }
    }
    (visitor, conversation, ledger)
}

async fn refreshed(mut visitor: Visitor) -> Visitor {
    let token = visitor.refresh_token.clone();
    let answer = visitor
        .post("/v1/sessions/refresh", json!({ "refresh_token": token }))
        .await;
    visitor.take_tokens(&answer.ok());
    visitor
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// What the game has kept, against what the client was told.
pub(crate) async fn compare(visitor: &Visitor, conversation: &str, ledger: &Ledger) {
    let mut kept: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut sequences = Vec::new();
    let mut before = String::new();
    loop {
        let page = visitor
            .get(&format!("/v1/conversations/{conversation}/turns?limit=100{before}"))
            .await
            .ok();
        for turn in page["items"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let one = (text(&turn["text"]), text(&turn["reply"]["text"]));
            assert!(
                kept.insert(text(&turn["id"]), one).is_none(),
                "a turn is listed twice: {turn}"
            );
            sequences.push(turn["sequence"].as_i64().unwrap());
        }
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    for (turn, told) in ledger {
        assert_eq!(
            kept.get(turn),
            Some(told),
            "turn {turn} is not kept as it was acknowledged"
        );
    }
    let said: std::collections::BTreeSet<_> = kept.values().map(|(text, _)| text).collect();
    assert_eq!(said.len(), kept.len(), "something that was said once is kept twice");
    sequences.reverse();
    let expected: Vec<i64> = (1..).take(sequences.len()).collect();
    assert_eq!(sequences, expected, "the turns' numbers have gaps or doubles");
}
