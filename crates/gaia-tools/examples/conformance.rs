//! Our host as a client under MCP's conformance suite, which appends the address of its server: lists the tools and
//! calls each, as the suite's context says or else with whatever its schema wants.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use gaia_names::Secret;
use gaia_protocol::bundle::{ToolOauth, ToolServer, ToolTransport};
use gaia_service::Tasks;
use gaia_tools::{
    AskPlayer, CallFault, HostSettings, OfferedTool, PinsInMemory, Question, Reply, SignInTo, SignInsInMemory,
    ToolCall, ToolHost, ToolOutcome, Wanted, sign_in,
};
use serde_json::{Map, Value, json};

/// A player who takes what a form proposes.
struct Agreeable;

impl AskPlayer for Agreeable {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        let values = match question.wants {
            Wanted::Form(schema) => Some(proposed(&schema)),
            Wanted::Visit(_) => None,
        };
        std::future::ready(Reply::Accept(values)).boxed()
    }
}

/// The defaults of a schema's fields, and something that fits for those that are required.
fn proposed(schema: &Value) -> Value {
    let required: Vec<_> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let value = |(name, field): (&String, &Value)| {
        let wanted = match field["type"].as_str() {
            Some("integer" | "number") => json!(5),
            Some("boolean") => json!(true),
            Some("object") => json!({}),
            Some("array") => json!([]),
            _ => field["enum"].get(0).cloned().unwrap_or_else(|| json!("text")),
        };
        let default = field.get("default").cloned();
        default
            .or_else(|| required.contains(&name.as_str()).then_some(wanted))
            .map(|value| (name.clone(), value))
    };
    Value::Object(fields.filter_map(value).collect())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let variables: BTreeMap<_, _> = env::vars().collect();
    let context = variables
        .get("MCP_CONFORMANCE_CONTEXT")
        .map(String::as_str)
        .unwrap_or("{}");
    let context: Value = serde_json::from_str(context)?;
    let url = env::args().next_back().ok_or("the suite appends an address")?;
    let scenario = variables.get("MCP_CONFORMANCE_SCENARIO").map_or("", String::as_str);
    let (mut scopes, mut why) = (Vec::new(), String::new());
    for _ in 0..MOST_SIGN_INS {
        let (oauth, secrets) = tokens(scenario, &context, &url, &scopes).await?;
        let signs_in = secrets.contains_key("sign_in");
        match call_all(server(url.clone(), oauth), secrets, &context).await? {
            Told::Nothing => return Ok(()),
            Told::Wants(wanted) if signs_in => (scopes, why) = (wanted, "its scopes did not suffice".to_owned()),
            Told::Failed(reason) if signs_in => why = reason,
            Told::Wants(_) => return Err("its scopes do not suffice".into()),
            Told::Failed(reason) => return Err(reason.into()),
        }
    }
    Err(why.into())
}

/// How often whoever runs the game does what it tells them, and signs in.
const MOST_SIGN_INS: usize = 3;

/// What the host told whoever runs the game.
enum Told {
    Nothing,
    Wants(Vec<String>),
    Failed(String),
}

async fn call_all(
    server: ToolServer,
    secrets: BTreeMap<String, Secret>,
    context: &Value,
) -> Result<Told, Box<dyn Error>> {
    let tasks = Tasks::default();
    let settings = HostSettings {
        game: "conformance".parse()?,
        secrets,
        sign_ins: Arc::new(SignInsInMemory::default()),
        program: env::current_exe()?,
        scratch: env::temp_dir().join("gaia-conformance"),
    };
    let pins = Arc::new(PinsInMemory::default());
    let host = ToolHost::start(settings, &[server], pins, &tasks);
    host.settle(Duration::from_secs(20)).await;
    let allowed = ["suite".to_owned()];
    let offered = host.offered(&allowed);
    let mut told = Told::Nothing;
    for (wire_name, arguments) in calls(&offered, context) {
        let call = ToolCall {
            wire_name: &wire_name,
            allowed: &allowed,
            arguments,
            deadline: Instant::now() + Duration::from_secs(20),
            is_tainted: false,
            has_consent: true,
            progress: None,
            player: Some(Arc::new(Agreeable)),
        };
        if let ToolOutcome::Done(answer) = host.call(call).await {
            tracing::info!("{}: {}", answer.tool, answer.text);
            if let Some(CallFault::WantsScopes(scopes)) = answer.fault {
                told = Told::Wants(scopes);
            }
        }
    }
    if let Some(failed) = host.unavailable(&allowed).first() {
        told = Told::Failed(failed.reason.clone());
    }
    drop(host);
    tasks.drain(Duration::from_secs(3)).await;
    Ok(told)
}

/// The page that the suite knows as a client.
const DESCRIBED_CLIENT: &str = "https://conformance-test.local/client-metadata.json";

/// How a scenario that is about tokens has them come, and the secrets for that.
async fn tokens(
    scenario: &str,
    context: &Value,
    url: &str,
    scopes: &[String],
) -> Result<(Option<ToolOauth>, BTreeMap<String, Secret>), Box<dyn Error>> {
    let mut secrets = BTreeMap::new();
    if !scenario.starts_with("auth/") {
        return Ok((None, secrets));
    }
    let described = (scenario == "auth/basic-cimd").then_some(DESCRIBED_CLIENT);
    let client = context["client_id"].as_str().or(described);
    let key = context["private_key_pem"].as_str().map(Secret::new);
    let secret = context["client_secret"].as_str().map(Secret::new);
    let signs_in = !scenario.starts_with("auth/client-credentials");
    if signs_in {
        let to = SignInTo {
            url,
            client_id: client,
            client_secret: secret.as_ref(),
            scopes,
            client_name: "Gaia",
        };
        secrets.insert("sign_in".to_owned(), sign_in(to, somebody_agrees).await?);
    }
    let oauth = ToolOauth {
        client_id: client.map(str::to_owned),
        client_secret: secret.is_some().then(|| "secret".to_owned()),
        client_key: key.is_some().then(|| "key".to_owned()),
        sign_in: signs_in.then(|| "sign_in".to_owned()),
        scopes: Vec::new(),
    };
    secrets.extend(secret.map(|secret| ("secret".to_owned(), secret)));
    secrets.extend(key.map(|key| ("key".to_owned(), key)));
    Ok((Some(oauth), secrets))
}

/// The suite's page agrees by itself.
async fn somebody_agrees(address: &str) {
    if let Err(fault) = reqwest::get(address).await {
        tracing::error!("{fault}");
    }
}

fn server(url: String, oauth: Option<ToolOauth>) -> ToolServer {
    ToolServer {
        timeout_ms: 10_000,
        ..ToolServer::new("suite", ToolTransport::Http { url, key: None, oauth })
    }
}

/// What to call with what: what the context says, else every tool.
fn calls(offered: &[OfferedTool], context: &Value) -> Vec<(String, Value)> {
    if let Some(calls) = context["toolCalls"].as_array() {
        let named = |call: &Value| {
            let name = call["name"].as_str().unwrap_or_default();
            (format!("suite__{name}"), call["arguments"].clone())
        };
        return calls.iter().map(named).collect();
    }
    let call = |tool: &OfferedTool| {
        let mut arguments = proposed(&tool.input_schema);
        if let (Some(schema), Some(first)) = (arguments.get_mut("schema"), offered.first()) {
            let other = offered
                .iter()
                .find(|other| other.wire_name != tool.wire_name)
                .unwrap_or(first);
            *schema = other.input_schema.clone();
        }
        (
            tool.wire_name.clone(),
            if arguments.is_object() {
                arguments
            } else {
                Value::Object(Map::new())
            },
        )
    };
    offered.iter().map(call).collect()
}
