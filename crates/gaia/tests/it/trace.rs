//! What services trace, as a real receiver has it.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use gaia_testkit::{Script, ScriptedLlm, Visitor, eventually_within};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    binary::Answer,
    collector::{Collector, Span},
    journey::Journey,
};

const REPLY: &str = "The last train leaves at dawn.";
const KEY: &str = "sk-routes-own-key-0123456789";
const PASSWORD: &str = "correct horse battery staple";
const DEVICE: &str = "device-0123456789abcdef0123";
/// Longer than a batch waits, on a slow machine.
const ARRIVES: Duration = Duration::from_secs(30);

/// A game whose one route is scripted, in a home of its own.
struct Traced {
    journey: Journey,
    llm: ScriptedLlm,
    receiver: String,
}

impl Traced {
    async fn up(receiver: &str, more: &[(&str, &str)]) -> Self {
        Self::up_in(Journey::begin(), receiver, more).await
    }

    async fn up_in(journey: Journey, receiver: &str, more: &[(&str, &str)]) -> Self {
        let llm = ScriptedLlm::start(Script::says(REPLY)).await;
        let config = json!({
            "name": "Night Train",
            "ai_configuration": { "routes": [{ "name": "scripted", "provider": "openai", "model": "some",
                "base_url": llm.openai_url(), "api_key": "env:TRACED_KEY" }] },
        });
        journey.gaia.write("games/night-train/config.yaml", &config.to_string());
        let traced = Self {
            journey,
            llm,
            receiver: receiver.to_owned(),
        };
        traced.bring_up(more);
        traced
    }

    /// `gaia up` with a receiver of traces.
    fn bring_up(&self, more: &[(&str, &str)]) {
        let mut up = self.journey.gaia.command(&["up", "games/night-train"]);
        up.env("TRACED_KEY", KEY)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.receiver)
            .envs(more.iter().copied());
        Answer::of(up.output().unwrap()).exits(0);
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.journey.gaia.run(arguments).exits(0)
    }

    fn visitor(&self) -> Visitor {
        let status = self.journey.status("night-train");
        Visitor::new(status["gateway_url"].as_str().unwrap().trim_end_matches('/'))
    }

    async fn guest(&self) -> Visitor {
        let mut visitor = self.visitor();
        let signed_in = visitor
            .post("/v1/players/guest", json!({ "device_id": DEVICE }))
            .await
            .ok();
        visitor.take_tokens(&signed_in);
        visitor
    }

    /// The `traceparent` of the newest call that the model received.
    fn traceparent_of_call(&self) -> [String; 4] {
        let calls = self.llm.received();
        let header = calls.last().unwrap().headers["traceparent"].to_str().unwrap();
        let parts: Vec<_> = header.split('-').map(str::to_owned).collect();
        parts.try_into().unwrap()
    }

    fn down(self) {
        self.run(&["destroy", "night-train", "--yes"]);
    }
}

/// Says something as part of a client's own trace.
async fn say(visitor: &Visitor, conversation: &str, text: &str, traceparent: Option<&str>) -> Value {
    let path = format!("/v1/conversations/{conversation}/turns");
    let request = visitor.request(Method::POST, &path).json(&json!({ "text": text }));
    let request = match traceparent {
        Some(traceparent) => request.header("traceparent", traceparent),
        None => request,
    };
    visitor.send(request).await.ok()
}

/// Waits for a trace with this many spans.
async fn whole_trace(collector: &Collector, id: &str, spans: usize) -> Vec<Span> {
    let what = format!("trace {id} has {spans} spans");
    let found = eventually_within(ARRIVES, &what, async || {
        Some(collector.trace(id)).filter(|found| found.len() >= spans)
    })
    .await;
    assert_eq!(found.len(), spans, "{found:#?}");
    found
}

fn one<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    let found: Vec<_> = spans
        .iter()
        .filter(|span| span.service == service && span.name == name)
        .collect();
    assert_eq!(found.len(), 1, "{service} {name}: {spans:#?}");
    found[0]
}

/// The trace of a turn: from the client's span, if it has one, to the model's call.
fn leads_to_the_call(spans: &[Span], client: &str, call: &str) {
    let request = one(spans, "gaia-gateway", "POST /v1/conversations/{conversation}/turns");
    let turn = one(spans, "gaia-chat", "answer");
    let model = one(spans, "gaia-chat", "call_model");
    assert_eq!(
        [&*request.parent, &*turn.parent, &*model.parent],
        [client, &*request.id, &*turn.id]
    );
    assert_eq!(model.id, call, "what the model was told");
    for span in [request, turn] {
        assert_eq!(span.attribute("game.name"), "night-train");
        assert_eq!(span.attribute("request"), request.attribute("request"));
    }
    assert_eq!(request.attribute("http.response.status_code"), "201");
    assert_eq!(
        (model.attribute("route"), model.attribute("model")),
        ("scripted".into(), "some".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_leads_from_the_gateway_to_the_model_and_holds_no_secret_and_no_word() {
    let journey = Journey::begin();
    let collector = Collector::start(journey.gaia.work());
    let often = [("OTEL_BSP_SCHEDULE_DELAY", "200")];
    let traced = Traced::up_in(journey, collector.address(), &often).await;
    let guest = traced.guest().await;
    let conversation = guest.start_conversation("guide").await;

    // The client's own trace, also where the client says that it does not keep it.
    for (trace, flags) in [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "01"),
        ("5bf92f3577b34da6a3ce929d0e0e4736", "00"),
    ] {
        let parent = format!("00-{trace}-00f067aa0ba902b7-{flags}");
        say(
            &guest,
            &conversation,
            "Where is my grandmother's brooch?",
            Some(&parent),
        )
        .await;
        let [_, of_call, call, kept] = traced.traceparent_of_call();
        assert_eq!((&*of_call, &*kept), (trace, "01"));
        leads_to_the_call(&whole_trace(&collector, trace, 3).await, "00f067aa0ba902b7", &call);
    }
    // And one that begins here.
    say(&guest, &conversation, "Where is my grandmother's brooch?", None).await;
    let [_, trace, call, _] = traced.traceparent_of_call();
    leads_to_the_call(&whole_trace(&collector, &trace, 3).await, "", &call);

    a_failing_route_is_in_the_trace_and_in_the_log(&traced, &collector, &guest, &conversation).await;
    signing_in_is_traced(&traced, &collector).await;
    nothing_private_is_in(&collector.text(), &traced, &guest);
    the_last_spans_leave_with_the_process(&traced, &collector).await;
    traced.down();
}

async fn a_failing_route_is_in_the_trace_and_in_the_log(
    traced: &Traced,
    collector: &Collector,
    guest: &Visitor,
    conversation: &str,
) {
    const TRACE: &str = "6bf92f3577b34da6a3ce929d0e0e4736";
    traced.llm.next(Script::refuses(500));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    say(guest, conversation, "Is anybody there?", Some(&parent)).await;
    let spans = whole_trace(collector, TRACE, 3).await;
    assert_eq!(
        one(&spans, "gaia-chat", "call_model").attribute("error.type"),
        "refused"
    );
    let logs = traced.run(&["logs", "night-train", "chat", "-n", "1000"]).out;
    let line = logs.lines().find(|line| line.contains("route `scripted` fails"));
    assert!(
        line.is_some_and(|line| line.contains(&format!("\"trace_id\":\"{TRACE}\""))),
        "{logs}"
    );
}

async fn signing_in_is_traced(traced: &Traced, collector: &Collector) {
    const TRACE: &str = "7bf92f3577b34da6a3ce929d0e0e4736";
    let visitor = traced.visitor();
    let player = json!({ "email": "ada@example.com", "password": PASSWORD, "display_name": "Ada of the Trains" });
    let request = visitor
        .request(Method::POST, "/v1/players")
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&player);
    assert!(visitor.send(request).await.ok()["access_token"].is_string());
    let spans = whole_trace(collector, TRACE, 2).await;
    let request = one(&spans, "gaia-gateway", "POST /v1/players");
    assert_eq!(one(&spans, "gaia-auth", "answer").parent, request.id);
}

fn nothing_private_is_in(received: &str, traced: &Traced, guest: &Visitor) {
    let cluster = traced.journey.gaia.home().join("clusters/night-train");
    let secrets: Value = serde_json::from_slice(&fs::read(cluster.join("secrets.json")).unwrap()).unwrap();
    let mut private = Vec::new();
    texts_in(&secrets, &mut private);
    assert!(private.len() >= 8, "the cluster has secrets of its own");
    let tokens = [&guest.access_token, &guest.refresh_token].map(|token| token.as_deref().unwrap());
    private.extend(tokens.map(str::to_owned));
    private.extend(
        [
            "brooch",
            "dawn",
            "anybody there",
            "ada@",
            "Ada of",
            KEY,
            PASSWORD,
            DEVICE,
        ]
        .map(str::to_owned),
    );
    let told: Vec<_> = private.iter().filter(|text| received.contains(text.as_str())).collect();
    assert!(told.is_empty(), "the receiver was told {told:?}");
}

fn texts_in(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Object(fields) => fields.values().for_each(|value| texts_in(value, texts)),
        _ => {}
    }
}

async fn the_last_spans_leave_with_the_process(traced: &Traced, collector: &Collector) {
    const TRACE: &str = "8bf92f3577b34da6a3ce929d0e0e4736";
    traced.run(&["down", "night-train"]);
    traced.bring_up(&[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    let guest = traced.guest().await;
    let conversation = guest.start_conversation("guide").await;
    say(
        &guest,
        &conversation,
        "Hello!",
        Some(&format!("00-{TRACE}-00f067aa0ba902b7-01")),
    )
    .await;
    assert_eq!(collector.trace(TRACE).len(), 0, "a batch waits for an hour");
    traced.run(&["down", "night-train"]);
    whole_trace(collector, TRACE, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_never_answers_costs_nothing_and_is_told_of_once() {
    // Connections are taken in by the system, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let impatient = [
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
    ];
    let traced = Traced::up(&address, &impatient).await;
    let guest = traced.guest().await;
    let conversation = guest.start_conversation("guide").await;
    // Several times what the queue holds.
    for number in 0..40 {
        let began = Instant::now();
        let turn = say(&guest, &conversation, &format!("Hello {number}"), None).await;
        assert_eq!(turn["reply"]["text"], REPLY);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "turn {number} waited for the receiver"
        );
    }
    let told = || {
        let logs = traced.run(&["logs", "night-train", "chat", "-n", "1000"]).out;
        logs.matches("traces do not arrive").count()
    };
    traced.journey.until("the log says so", |_| told() > 0);
    let began = Instant::now();
    traced.run(&["restart", "night-train", "chat"]);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "the process waited for the receiver"
    );
    assert_eq!(told(), 1);
    say(&guest, &conversation, "Still there?", None).await;
    traced.down();
}
