//! What models may cost: set aside before a call, settled after it, whatever is lost on the way.

mod losses;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt, future::join_all};
use gaia_chat::{BudgetOptions, Clock};
use gaia_names::{PersonaId, Service, TurnId};
use gaia_protocol::{
    bundle::{Bundle, Provider},
    chat::{ForgetPlayer, PublishBundle, ReadBundle, Turn},
    costs::{BudgetWarning, By, Costs, Period, ReadCosts, Spending},
    money::Price,
    subjects,
};
use gaia_testkit::{Ending, Script, ScriptedLlm, TestGame, eventually, eventually_within, route};
use tokio_postgres::types::ToSql;

use crate::chat::{Chat, REPLY, Stream, reply, route_of, somebody};

/// A dollar a million tokens read and a hundred a million written: what is set aside is mostly for what may be written.
fn price() -> Price {
    Price {
        from: NaiveDate::default(),
        input: 1_000_000,
        output: 100_000_000,
        cache_read: 100_000,
        cache_write: 1_250_000,
    }
}

/// What the scripted model's usual reply costs: 20 tokens read, 7 written.
const ONE_CALL: u64 = 20 + 700;
/// Enough for one call of the persona's 120 tokens at the worst price, and never for two.
const FOR_ONE: u64 = 20_000;
/// Enough for as many as there are.
const PLENTY: u64 = 1_000_000_000;
/// A clock that a test sets.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(now: &str) -> Self {
        let hands = Self::default();
        hands.set(now);
        hands
    }

    fn set(&self, now: &str) {
        let now: DateTime<Utc> = now.parse().unwrap();
        self.0.store(now.timestamp(), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::new(move || DateTime::UNIX_EPOCH + TimeDelta::seconds(hands.0.load(Ordering::SeqCst)))
    }
}

/// A game whose scripted model costs something.
async fn with(change: impl FnOnce(&mut Bundle)) -> Chat {
    with_options(TestGame::start().await, BudgetOptions::default(), change).await
}

async fn with_options(game: TestGame, options: BudgetOptions, change: impl FnOnce(&mut Bundle)) -> Chat {
    Chat::start_keeping(game, options, |bundle, _, _| {
        bundle.routes[0].prices = vec![price()];
        bundle.routes[0].silence_ms = 60_000;
        change(bundle);
    })
    .await
}

async fn with_day(limit: u64) -> Chat {
    with(|bundle| bundle.budget.per_day = Some(limit)).await
}

async fn costs(chat: &Chat, by: By) -> Costs {
    chat.ask(&ReadCosts { since: None, by }).await.unwrap()
}

/// What the ledger has of today.
async fn spent(chat: &Chat) -> u64 {
    costs(chat, By::Day).await.spending[0].spent_micros
}

/// The counters in Redis, of the day and of the month, as soon as they are whole.
async fn counted(chat: &Chat) -> Vec<Spending> {
    eventually("the counters are whole", async || {
        let spending = chat.ask_quickly(&ReadBundle {}).await?.spending;
        (!spending.is_empty()).then_some(spending)
    })
    .await
}

/// Waits until nothing is set aside, and the counters say the same as the ledger.
async fn in_step(chat: &Chat) -> u64 {
    eventually_within(
        Duration::from_secs(25),
        "the counters and the ledger say the same",
        async || {
            let counted = chat.ask_quickly(&ReadBundle {}).await?.spending;
            let ledger = chat
                .ask_quickly(&ReadCosts {
                    since: None,
                    by: By::Day,
                })
                .await?
                .spending;
            (!counted.is_empty() && counted == ledger && ledger[0].reserved_micros == 0)
                .then_some(ledger[0].spent_micros)
        },
    )
    .await
}

/// A number that the owner of the stores is told.
async fn number(chat: &Chat, query: &str) -> i64 {
    let game = chat.game.id.as_str();
    let parameters: [&(dyn ToSql + Sync); 1] = [&game];
    chat.game
        .owner()
        .await
        .query_one(query, &parameters)
        .await
        .unwrap()
        .get(0)
}

async fn greet(chat: &Chat) -> Turn {
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "hello").await
}

#[tokio::test]
async fn a_call_costs_what_its_tokens_cost_with_the_cache_priced_apart() {
    let chat = with(|bundle| {
        bundle.budget.per_month = Some(PLENTY);
        bundle.routes[0].provider = Provider::Anthropic;
        let address = bundle.routes[0].base_url.trim_end_matches("/v1").to_owned();
        bundle.routes[0].base_url = address;
    })
    .await;
    assert_eq!(reply(&greet(&chat).await), REPLY);
    // 20 read, 7 from the cache, 3 into it, 7 written.
    let cost = 20 + 1 + 4 + 700;
    assert_eq!(in_step(&chat).await, cost);
    let total = costs(&chat, By::Persona).await.total;
    assert_eq!((total.calls, total.input_tokens, total.output_tokens), (1, 20, 7));
    assert_eq!(
        (total.cache_read_tokens, total.cache_write_tokens, total.cost_micros),
        (7, 3, cost)
    );
    let rows = costs(&chat, By::Persona).await.rows;
    assert_eq!(
        (rows.len(), rows[0].key.as_str(), rows[0].cost_micros),
        (1, "guide", cost)
    );
    assert_eq!(
        costs(&chat, By::Player).await.rows[0].key,
        chat.player.player.to_string()
    );
    assert_eq!(costs(&chat, By::Model).await.rows[0].key, "scripted");
}

#[tokio::test]
async fn sixty_four_turns_at_once_on_the_last_unit_overspend_by_nothing() {
    let chat = with_day(FOR_ONE).await;
    counted(&chat).await;
    chat.llm.always(Script::says(REPLY).every(Duration::from_millis(100)));
    let mut streams = Vec::new();
    for conversation in join_all((0..64).map(|_| chat.conversation())).await {
        streams.push(chat.begin(conversation.id, TurnId::fresh(), "hello").await);
    }
    let turns: Vec<_> = join_all(streams.into_iter().map(Stream::rest))
        .await
        .iter()
        .map(|told| told.final_turn())
        .collect();
    let by_model = turns.iter().filter(|turn| route_of(turn) == "scripted").count();
    assert_eq!((by_model, chat.llm.calls()), (1, 1), "what there is pays for one");
    assert!(turns.iter().filter(|turn| route_of(turn) == "barks").count() == 63);
    assert_eq!(in_step(&chat).await, ONE_CALL);
}

#[tokio::test]
async fn what_is_spent_goes_to_a_cheaper_route_and_then_to_the_authors_lines() {
    let cheaper = ScriptedLlm::start(Script::says("Cheap words.")).await;
    let mut cheap = route("cheap", Provider::Openai, &cheaper.openai_url());
    cheap.prices = vec![Price {
        output: 1_000_000,
        ..price()
    }];
    let chat = with(|bundle| {
        // After one dear call there is room for cheap ones only: 120 tokens at 100 dollars are 12,000 millionths.
        bundle.budget.per_day = Some(14_000);
        bundle.routes[0].prices[0].input = 0;
        bundle.routes[0].prices[0].cache_read = 0;
        bundle.routes[0].prices[0].cache_write = 0;
        cheap.prices[0].input = 0;
        cheap.prices[0].cache_read = 0;
        cheap.prices[0].cache_write = 0;
        bundle.routes.push(cheap);
    })
    .await;
    counted(&chat).await;
    chat.llm.always(Script::says("Dear words.").claiming(30));
    let mut routes = Vec::new();
    for _ in 0..3 {
        routes.push(route_of(&greet(&chat).await).to_owned());
        in_step(&chat).await;
    }
    assert_eq!(routes, ["scripted", "cheap", "cheap"]);
    cheaper.always(Script::says("Cheap words.").claiming(20_000));
    assert_eq!(route_of(&greet(&chat).await), "cheap");
    in_step(&chat).await;
    assert_eq!(route_of(&greet(&chat).await), "barks");
    assert_eq!(chat.ask(&ReadBundle {}).await.unwrap().answers_by, "barks");
}

#[tokio::test]
async fn a_route_that_costs_nothing_answers_whatever_is_spent() {
    let near = ScriptedLlm::start(Script::says("Near words.")).await;
    let free = route("near", Provider::Openai, &near.openai_url());
    let chat = with(|bundle| {
        bundle.budget.per_month = Some(0);
        bundle.routes.push(free);
    })
    .await;
    counted(&chat).await;
    assert_eq!(route_of(&greet(&chat).await), "near");
    assert_eq!((chat.llm.calls(), near.calls()), (0, 1));
}

#[tokio::test]
async fn a_player_and_a_persona_have_limits_of_their_own() {
    let merchant: PersonaId = "merchant".parse().unwrap();
    let chat = with(|bundle| {
        bundle.budget.per_player_per_day = Some(FOR_ONE);
        bundle.personas[1].limits.budget_per_day = Some(0);
    })
    .await;
    counted(&chat).await;
    chat.llm.always(Script::says(REPLY).claiming(190));
    assert_eq!(route_of(&greet(&chat).await), "scripted");
    in_step(&chat).await;
    assert_eq!(route_of(&greet(&chat).await), "barks", "this player's is spent");
    let other = somebody();
    let conversation = chat.conversation_of(other).await.id;
    let told = chat
        .begin_as(other, conversation, TurnId::fresh(), "hello")
        .await
        .rest()
        .await;
    assert_eq!(route_of(&told.final_turn()), "scripted", "another player's is not");
    let start = gaia_protocol::chat::StartConversation {
        caller: somebody(),
        persona: merchant,
        title: None,
        may_answer_later: false,
    };
    let conversation = chat.ask(&start).await.unwrap().id;
    let told = chat
        .begin_as(start.caller, conversation, TurnId::fresh(), "hello")
        .await
        .rest()
        .await;
    assert_eq!(route_of(&told.final_turn()), "barks", "the merchant may cost nothing");
    let status = chat.ask(&ReadBundle {}).await.unwrap();
    assert_eq!(status.answers_by, "scripted", "the game's route works");
}

#[tokio::test]
async fn a_model_that_costs_more_than_it_said_is_entered_and_not_asked_again() {
    let chat = with_day(FOR_ONE).await;
    counted(&chat).await;
    chat.llm.always(Script::says(REPLY).claiming(5_000));
    let turn = greet(&chat).await;
    assert_eq!((reply(&turn), route_of(&turn)), (REPLY, "scripted"));
    assert_eq!(in_step(&chat).await, 20 + 500_000);
    for _ in 0..3 {
        assert_eq!(route_of(&greet(&chat).await), "barks");
    }
    assert_eq!((chat.llm.calls(), spent(&chat).await), (1, 20 + 500_000));
}

#[tokio::test]
async fn a_call_that_never_reached_a_provider_is_given_back() {
    let chat = with(|bundle| {
        bundle.budget.per_day = Some(FOR_ONE);
        let mut away = bundle.routes[0].clone();
        "away".clone_into(&mut away.name);
        "http://127.0.0.1:9/v1".clone_into(&mut away.base_url);
        bundle.routes.insert(0, away);
    })
    .await;
    counted(&chat).await;
    // Once more, and the route would be left alone for a while.
    for calls in 1..=2 {
        chat.llm.next(Script::refuses(500));
        assert_eq!(route_of(&greet(&chat).await), "barks");
        assert_eq!(chat.llm.calls(), calls, "what was refused did not use the budget up");
    }
    let counted = counted(&chat).await;
    assert_eq!((counted[0].spent_micros, counted[0].reserved_micros), (0, 0));
    assert_eq!(route_of(&greet(&chat).await), "scripted");
    assert_eq!(in_step(&chat).await, ONE_CALL);
}

#[tokio::test]
async fn a_reply_whose_player_is_forgotten_has_its_price_all_the_same() {
    let chat = with_day(PLENTY).await;
    counted(&chat).await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says("The lamps are").then(Ending::Stall));
    let mut stream = chat.begin(conversation, TurnId::fresh(), "hello").await;
    stream.accepted().await;
    eventually("the model speaks", async || (chat.llm.open() == 1).then_some(())).await;
    let player = chat.player.player;
    chat.ask(&ForgetPlayer { player }).await.unwrap();
    stream.rest().await.refused();
    assert!(in_step(&chat).await > 0, "the model was called");
    assert_eq!(
        number(&chat, "SELECT count(*) FROM chat.usage WHERE game_id = $1").await,
        1
    );
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_settled() {
    let chat = with_day(PLENTY).await;
    counted(&chat).await;
    let conversation = chat.conversation().await.id;
    chat.llm.always(Script::says("The lamps are").then(Ending::Stall));
    let turn = TurnId::fresh();
    let mut stream = chat.begin(conversation, turn, "hello").await;
    stream.accepted().await;
    stream.next().await.unwrap();
    assert!(counted(&chat).await[0].reserved_micros > 12_000);
    chat.cancel(turn, chat.player.player, Duration::from_secs(5))
        .await
        .unwrap();
    stream.rest().await.final_turn();
    let spent = in_step(&chat).await;
    assert!(spent > 0, "the provider wants to be paid for what it said");
    let total = costs(&chat, By::Day).await.total;
    assert_eq!((total.estimated_calls, total.estimated_micros), (1, spent));
}

#[tokio::test]
async fn a_call_whose_turn_was_refused_is_entered_once() {
    let mut chat = with_day(PLENTY).await;
    counted(&chat).await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "one").await;
    chat.llm.always(Script::says("The lamps are").then(Ending::Stall));
    let mut running = chat.begin(conversation, TurnId::fresh(), "two").await;
    running.accepted().await;
    running.next().await.unwrap();
    // Another process begins its call before it learns that the conversation is busy.
    let calls = chat.llm.calls();
    chat.start_instance();
    let began = eventually("the other process has called", async || {
        let told = chat.begin(conversation, TurnId::fresh(), "three").await.rest().await;
        assert!(told.fault.is_some(), "{told:?}");
        (chat.llm.calls() > calls).then(|| chat.llm.calls() - calls)
    })
    .await;
    assert!(began >= 1);
    let entered = eventually_within(Duration::from_secs(30), "the calls are in the ledger", async || {
        let total = costs(&chat, By::Day).await.total;
        (total.calls as usize > began).then_some(total)
    })
    .await;
    assert_eq!(
        entered.calls as usize,
        1 + began,
        "the first turn's and each that was given up"
    );
    drop(running);
}

#[tokio::test]
async fn each_warning_is_told_once_whatever_is_forgotten() {
    let game = TestGame::start_alone().await;
    let gateway = game.bus(Service::Gateway).await;
    let mut heard = gateway.hear(subjects::budget_events(&game.id)).await.unwrap();
    let chat = with_options(game, BudgetOptions::default(), |bundle| {
        bundle.budget.per_day = Some(100_000);
        bundle.budget.per_month = Some(1_000_000);
    })
    .await;
    counted(&chat).await;
    let mut told = Vec::new();
    for (tokens, expected) in [(400, None), (200, Some(50)), (250, Some(80)), (140, Some(100))] {
        chat.llm.always(Script::says(REPLY).claiming(tokens));
        greet(&chat).await;
        in_step(&chat).await;
        if expected == Some(100) {
            assert_eq!(route_of(&greet(&chat).await), "barks");
        }
        if let Some(percent) = expected {
            let message = tokio::time::timeout(Duration::from_secs(10), heard.next())
                .await
                .unwrap()
                .unwrap();
            let warning: BudgetWarning = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(
                (warning.percent, warning.period, warning.limit_micros),
                (percent, Period::Day, 100_000)
            );
            told.push(warning);
        }
        chat.game.empty_redis().await;
        in_step(&chat).await;
    }
    assert!(told.is_sorted_by_key(|warning| warning.spent_micros));
    greet(&chat).await;
    let rows = number(
        &chat,
        "SELECT count(*) FROM chat.events WHERE game_id = $1 AND kind = 'budget'",
    )
    .await;
    assert_eq!(rows, 3, "the month has barely begun to be spent");
    let nothing = tokio::time::timeout(Duration::from_millis(300), heard.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test]
async fn a_day_and_a_month_end_at_midnight_in_utc() {
    let hands = Hands::at("2026-01-30T23:59:00Z");
    let options = BudgetOptions {
        clock: hands.clock(),
        ..BudgetOptions::default()
    };
    let chat = with_options(TestGame::start().await, options, |bundle| {
        bundle.budget.per_day = Some(FOR_ONE);
        bundle.budget.per_month = Some(2 * FOR_ONE);
    })
    .await;
    counted(&chat).await;
    chat.llm.always(Script::says(REPLY).claiming(190));
    let mut routes = Vec::new();
    for now in [
        "2026-01-30T23:59:10Z",
        "2026-01-30T23:59:59Z",
        "2026-01-31T00:00:00Z",
        "2026-01-31T23:59:59Z",
        "2026-02-01T00:00:00Z",
    ] {
        hands.set(now);
        routes.push(route_of(&greet(&chat).await).to_owned());
        in_step(&chat).await;
    }
    assert_eq!(routes, ["scripted", "barks", "scripted", "barks", "scripted"]);
    hands.set("2026-02-02T00:00:00Z");
    chat.llm.always(Script::says(REPLY).claiming(390));
    assert_eq!(route_of(&greet(&chat).await), "scripted");
    in_step(&chat).await;
    hands.set("2026-02-03T00:00:00Z");
    assert_eq!(
        route_of(&greet(&chat).await),
        "barks",
        "the month is spent, and the day is not"
    );
    hands.set("2026-03-01T00:00:00Z");
    assert_eq!(route_of(&greet(&chat).await), "scripted");
    let since = ReadCosts {
        since: "2026-01-01".parse().ok(),
        by: By::Day,
    };
    let days: Vec<_> = eventually("all are entered", async || {
        let rows = chat.ask(&since).await.unwrap().rows;
        (rows.len() == 5).then(|| rows.into_iter().map(|row| row.key).collect())
    })
    .await;
    assert_eq!(
        days,
        ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02", "2026-03-01"]
    );
}

#[tokio::test]
async fn a_price_holds_from_its_day_on() {
    let hands = Hands::at("2026-05-31T12:00:00Z");
    let options = BudgetOptions {
        clock: hands.clock(),
        ..BudgetOptions::default()
    };
    let chat = with_options(TestGame::start().await, options, |bundle| {
        bundle.routes[0].prices.push(Price {
            from: "2026-06-01".parse().unwrap(),
            input: 0,
            output: 10_000_000,
            ..price()
        });
    })
    .await;
    greet(&chat).await;
    assert_eq!(spent(&chat).await, ONE_CALL);
    hands.set("2026-06-01T00:00:00Z");
    greet(&chat).await;
    assert_eq!(spent(&chat).await, 70);
}

#[tokio::test]
async fn a_budget_that_comes_later_begins_with_what_was_spent() {
    let chat = with(|_| {}).await;
    chat.llm.always(Script::says(REPLY).claiming(190));
    greet(&chat).await;
    let costs = costs(&chat, By::Route).await;
    assert_eq!(
        (costs.total.cost_micros, costs.spending[0].limit_micros),
        (19_020, None)
    );
    assert!(
        chat.ask(&ReadBundle {}).await.unwrap().spending.is_empty(),
        "there is no budget"
    );
    let mut next = chat.bundle.clone();
    next.generation += 1;
    next.budget.per_day = Some(FOR_ONE);
    let bundle = Box::new(next);
    chat.ask(&PublishBundle { bundle }).await.unwrap();
    assert_eq!(counted(&chat).await[0].spent_micros, 19_020);
    assert_eq!(route_of(&greet(&chat).await), "barks");
}

#[tokio::test]
async fn a_forgotten_player_is_in_no_row_and_what_they_cost_is() {
    let chat = with_day(PLENTY).await;
    counted(&chat).await;
    greet(&chat).await;
    in_step(&chat).await;
    let forget = gaia_protocol::chat::ForgetPlayer {
        player: chat.player.player,
    };
    chat.ask(&forget).await.unwrap();
    let rows = costs(&chat, By::Player).await.rows;
    assert_eq!(
        (rows.len(), rows[0].key.as_str(), rows[0].cost_micros),
        (1, "", ONE_CALL)
    );
}

#[tokio::test]
async fn costs_from_a_day_that_has_not_come_are_refused() {
    let chat = with(|_| {}).await;
    let since = Some(Utc::now().date_naive() + TimeDelta::days(2));
    let fault = chat.ask(&ReadCosts { since, by: By::Day }).await.unwrap_err();
    assert_eq!(fault.code, gaia_protocol::ErrorCode::InvalidInput);
    let costs = costs(&chat, By::Day).await;
    assert_eq!((costs.rows.len(), costs.total.calls, costs.is_cut), (0, 0, false));
}
