//! `gaia tools`: a game's tools, tried on this machine.

mod sign_in;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Args, Subcommand};
use gaia_service::Tasks;
use gaia_spec::Checked;
use gaia_tools::{
    HostSettings, PinsInMemory, ServerReport, SignInsAsTheyAre, Standing, ToolCall, ToolHost, ToolOutcome,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    commands::{HomeFolderArgument, JsonArgument},
    environment,
    failure::{Failure, Outcome},
    game_folders,
    output::{Output, Table},
};

/// How long servers may take to start, and how long a call may take in all.
const START: Duration = Duration::from_secs(40);
const CALL: Duration = Duration::from_secs(300);
const LOCK: &str = "tools.lock";

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game's folder: games/zombie-survival
    folder: PathBuf,
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    home: HomeFolderArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Call a tool and show what a character would get
    Call {
        /// Which: server.tool
        tool: String,
        /// What it is handed: a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
    },
    /// Trust a tool as it presents itself now; a server's name means all of its tools
    Accept {
        /// Which: server.tool, or server
        tool: String,
    },
    /// Sign in to a server that wants somebody's yes in a browser
    ///
    /// Shows a page to open on this machine, waits until somebody comes back from it, and writes the file that the
    /// config names under `oauth: {sign_in: ...}`.
    SignIn {
        /// Which server
        server: String,
    },
}

#[derive(Serialize)]
struct ServerShown {
    server: String,
    state: &'static str,
    reason: Option<String>,
    revision: Option<String>,
    confinement: Option<String>,
    notes: Vec<String>,
    tools: Vec<ToolShown>,
}

#[derive(Serialize)]
struct ToolShown {
    tool: String,
    kind: &'static str,
    standing: String,
    fingerprint: String,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let tasks = Tasks::default();
    let checked = game_folders::check(&arguments.folder)?;
    if let Some(Action::SignIn { server }) = &arguments.action {
        return sign_in::run(&checked, server, output).await;
    }
    let host = host(&checked, &arguments.home, output, &tasks).await?;
    let done = match &arguments.action {
        None | Some(Action::SignIn { .. }) => list(&host, output),
        Some(Action::Call { tool, arguments }) => call(&host, tool, arguments, output).await,
        Some(Action::Accept { tool }) => accept(&host, tool, &arguments.folder, output),
    };
    drop(host);
    tasks.drain(Duration::from_secs(5)).await;
    done
}

async fn host(checked: &Checked, home: &HomeFolderArgument, output: Output, tasks: &Tasks) -> anyhow::Result<ToolHost> {
    let mut warnings = Vec::new();
    let home = environment::home_folder(home)?;
    let settings = HostSettings {
        game: checked.game.id.clone(),
        secrets: game_folders::tool_secrets(&checked.tool_secret_references(), &mut warnings),
        sign_ins: Arc::new(SignInsAsTheyAre),
        program: env::current_exe().context("failed to find this program's own file")?,
        scratch: home.path().join("tools"),
    };
    for warning in warnings {
        output.warn(warning);
    }
    let servers = checked.bundle().tool_servers;
    let host = ToolHost::start(settings, &servers, Arc::new(PinsInMemory::default()), tasks);
    host.settle(START).await;
    Ok(host)
}

fn list(host: &ToolHost, output: Output) -> anyhow::Result<Outcome> {
    let reports = host.report();
    if reports.is_empty() {
        output.say("The game has no tool servers.");
        output.say("Next: add some to `services.chat.mcp_servers` in its config.yaml; `gaia explain config` shows how");
    }
    let mut table = Table::new(&["tool", "kind", "standing"]);
    for report in &reports {
        let about = report.reason.clone().or(report.confinement.clone()).unwrap_or_default();
        let revision = report
            .revision
            .as_deref()
            .map_or(String::new(), |revision| format!(", MCP {revision}"));
        output.say(format_args!("{}: {}{revision}: {about}", report.server, report.state));
        for note in &report.notes {
            output.warn(note);
        }
        for tool in &report.tools {
            table.row([
                tool.name.clone(),
                tool.kind.as_str().to_owned(),
                tool.standing.to_string(),
            ]);
        }
    }
    if reports.iter().any(|report| !report.tools.is_empty()) {
        output.say(table);
    }
    let has_failed = reports.iter().any(|report| report.state == "failed");
    output.document(&reports.into_iter().map(shown).collect::<Vec<_>>());
    Ok(if has_failed { Outcome::Failed } else { Outcome::Done })
}

fn shown(report: ServerReport) -> ServerShown {
    let tools = report.tools.into_iter().map(|tool| ToolShown {
        tool: tool.name,
        kind: tool.kind.as_str(),
        standing: tool.standing.to_string(),
        fingerprint: tool.fingerprint,
    });
    ServerShown {
        tools: tools.collect(),
        server: report.server,
        state: report.state,
        reason: report.reason,
        revision: report.revision,
        confinement: report.confinement,
        notes: report.notes,
    }
}

async fn call(host: &ToolHost, tool: &str, arguments: &str, output: Output) -> anyhow::Result<Outcome> {
    let arguments: Value = serde_json::from_str(arguments).map_err(|cause| {
        let failure = Failure::new("the arguments are no JSON").bad_input().because(cause);
        failure.help("write an object, in quotes for the shell: '{\"place\": \"Leeds\"}'")
    })?;
    let allowed = [tool.to_owned()];
    let Some(offered) = host.offered(&allowed).into_iter().next() else {
        return Err(not_offered(host, tool).into());
    };
    let call = ToolCall {
        wire_name: &offered.wire_name,
        allowed: &allowed,
        arguments,
        deadline: Instant::now() + CALL,
        is_tainted: false,
        has_consent: true,
        progress: None,
        player: None,
    };
    let ToolOutcome::Done(answer) = host.call(call).await else {
        return Err(Failure::new(format!("`{tool}` wants somebody's yes")).into());
    };
    let took_ms = answer.took.as_secs_f64() * 1000.0;
    output.say(&answer.text);
    output.note(format_args!("{tool} took {took_ms:.1} ms"));
    output.document(&json!({
        "tool": answer.tool, "text": answer.text, "is_error": answer.is_error, "is_untrusted": answer.is_untrusted,
        "was_truncated": answer.was_truncated, "took_ms": took_ms,
        "fault": answer.fault.as_ref().map(gaia_tools::CallFault::code),
    }));
    Ok(if answer.is_error {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

fn not_offered(host: &ToolHost, tool: &str) -> Failure {
    let reports = host.report();
    let found = reports
        .iter()
        .flat_map(|report| &report.tools)
        .find(|known| known.name == tool);
    if let Some(known) = found {
        let failure = Failure::new(format!("`{tool}` is {}", known.standing));
        return match known.standing {
            Standing::Changed => {
                failure.help("look at what it says now, then run `gaia tools <folder> accept` with it")
            }
            _ => failure,
        };
    }
    let missing = host.unavailable(&[tool.to_owned()]);
    match missing.first() {
        Some(missing) => Failure::new(format!("`{}` cannot be called: {}", missing.server, missing.reason)),
        None => Failure::new(format!("there is no tool `{tool}`"))
            .bad_input()
            .help("give server.tool; `gaia tools <folder>` lists them"),
    }
}

fn accept(host: &ToolHost, tool: &str, folder: &Path, output: Output) -> anyhow::Result<Outcome> {
    let path = folder.join(LOCK);
    let mut lock: BTreeMap<String, BTreeMap<String, String>> = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?,
        Err(_) => BTreeMap::new(),
    };
    let mut accepted = Vec::new();
    for report in host.report() {
        for known in report
            .tools
            .iter()
            .filter(|known| known.name == tool || report.server == tool)
        {
            if matches!(known.standing, Standing::Refused(_)) {
                output.warn(format_args!(
                    "`{}` is {} and cannot be accepted",
                    known.name, known.standing
                ));
                continue;
            }
            let (_, name) = known.name.split_once('.').unwrap_or_default();
            lock.entry(report.server.clone())
                .or_default()
                .insert(name.to_owned(), known.fingerprint.clone());
            accepted.push(known.name.clone());
        }
    }
    if accepted.is_empty() {
        return Err(not_offered(host, tool).into());
    }
    let text = serde_json::to_string_pretty(&lock).context("a lock is JSON")?;
    fs::write(&path, text + "\n").with_context(|| format!("failed to write {}", path.display()))?;
    output.say(format_args!("{}: accepted {}", path.display(), accepted.join(", ")));
    output.say("Next: `gaia up` takes it to the game");
    output.document(&json!({ "accepted": accepted, "lock": path }));
    Ok(Outcome::Done)
}
