//! A host in a folder of its own, with servers that misbehave as they are told.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use gaia_names::Secret;
use gaia_protocol::bundle::{ToolServer, ToolSetting, ToolTransport};
use gaia_service::Tasks;
use gaia_testkit::{eventually_within, scratch_folder};
use gaia_tools::{
    HostSettings, PinsInMemory, ServerReport, SignInStore, SignInsInMemory, ToolAnswer, ToolCall, ToolHost, ToolOutcome,
};
use serde_json::{Value, json};

/// A host with what a test needs to look behind it.
pub(crate) struct House {
    pub(crate) host: ToolHost,
    pub(crate) pins: PinsInMemory,
    pub(crate) folder: PathBuf,
}

/// The script that misbehaves.
pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile.py")
}

/// A server that misbehaves in one way; it has the mode's name.
pub(crate) fn hostile(mode: &str) -> ToolServer {
    let script = script().display().to_string();
    program(mode, &["/usr/bin/python3", &script, mode], &[script.as_str()])
}

/// A server that is this program and may read these files.
pub(crate) fn program(name: &str, command: &[&str], files: &[&str]) -> ToolServer {
    let transport = ToolTransport::Command {
        command: command.iter().map(ToString::to_string).collect(),
        environment: BTreeMap::from([("TOKEN".to_owned(), ToolSetting::Secret("token".to_owned()))]),
        files: files.iter().map(PathBuf::from).collect(),
        has_network: false,
    };
    ToolServer::new(name, transport)
}

impl House {
    /// Starts servers, and waits until they can be called or have failed.
    pub(crate) async fn of(servers: &[ToolServer]) -> Self {
        Self::with(servers, PinsInMemory::default()).await
    }

    pub(crate) async fn with(servers: &[ToolServer], pins: PinsInMemory) -> Self {
        Self::keeping(servers, pins, Arc::new(SignInsInMemory::default()), None).await
    }

    /// The same with a sign-in, which is the secret `sign_in`.
    pub(crate) async fn keeping(
        servers: &[ToolServer],
        pins: PinsInMemory,
        sign_ins: Arc<dyn SignInStore>,
        sign_in: Option<&Secret>,
    ) -> Self {
        let folder = scratch_folder();
        let secrets = [
            ("token", "hunter2-token"),
            ("secret", "hunter2-secret"),
            ("key", "hunter2-key"),
        ];
        let settings = HostSettings {
            sign_ins,
            game: "night-train".parse().unwrap(),
            secrets: secrets
                .map(|(name, value)| (name.to_owned(), Secret::new(value)))
                .into_iter()
                .chain(sign_in.map(|sign_in| ("sign_in".to_owned(), sign_in.clone())))
                .collect(),
            program: "/nowhere/gaia".into(),
            scratch: folder.clone(),
        };
        let host = ToolHost::start(settings, servers, Arc::new(pins.clone()), &Tasks::default());
        host.settle(Duration::from_secs(60)).await;
        Self { host, pins, folder }
    }

    /// Waits until a program has left this note in its folder, and reads it.
    pub(crate) async fn note(&self, server: &str, name: &str) -> String {
        let path = self.folder.join("night-train").join(server).join(name);
        eventually_within(Duration::from_secs(20), name, async || {
            std::fs::read_to_string(&path).ok()
        })
        .await
    }

    /// Calls a tool with a text.
    pub(crate) async fn say(&self, tool: &str, text: &str) -> ToolAnswer {
        self.call(tool, json!({ "text": text })).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> ToolAnswer {
        let wire_name = tool.replace('.', "__");
        let allowed = [tool.to_owned()];
        done(self.host.call(a_call(&wire_name, &allowed, arguments)).await)
    }

    pub(crate) fn report(&self, server: &str) -> ServerReport {
        self.host
            .report()
            .into_iter()
            .find(|report| report.server == server)
            .unwrap()
    }

    /// Waits until a server is in this state.
    pub(crate) async fn until(&self, server: &str, state: &str) -> ServerReport {
        let limit = Duration::from_secs(30);
        eventually_within(limit, state, async || {
            Some(self.report(server)).filter(|report| report.state == state)
        })
        .await
    }

    /// The names of what a persona that may use all of this server is offered.
    pub(crate) fn names(&self, server: &str) -> Vec<String> {
        let offered = self.host.offered(&[server.to_owned()]);
        offered.into_iter().map(|tool| tool.name).collect()
    }
}

/// A call with half a minute, no progress, nobody to ask and no taint.
pub(crate) fn a_call<'a>(wire_name: &'a str, allowed: &'a [String], arguments: Value) -> ToolCall<'a> {
    ToolCall {
        wire_name,
        allowed,
        arguments,
        deadline: Instant::now() + Duration::from_secs(30),
        is_tainted: false,
        has_consent: false,
        progress: None,
        player: None,
    }
}

/// The answer; a test fails where the player's yes is wanted.
pub(crate) fn done(outcome: ToolOutcome) -> ToolAnswer {
    match outcome {
        ToolOutcome::Done(answer) => answer,
        ToolOutcome::NeedsConsent(consent) => panic!("{consent:?}"),
    }
}

/// What stands inside the frame.
pub(crate) fn inside(answer: &ToolAnswer) -> &str {
    let (_, rest) = answer.text.split_once(">\n").unwrap();
    rest.strip_suffix("\n</tool_result>").unwrap()
}
