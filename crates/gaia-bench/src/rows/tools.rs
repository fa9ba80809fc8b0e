//! What the host of tools adds to a call.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use gaia_protocol::bundle::{ToolServer, ToolTransport};
use gaia_service::Tasks;
use gaia_tools::{HostSettings, PinsInMemory, SignInsAsTheyAre, ToolCall, ToolHost, ToolOutcome};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    cluster,
    table::{self, Measured},
};

const CALLS: u32 = 3_000;
const WARM_UP: u32 = 300;

/// One call after the other of `location.distance`: written by hand to the server's standard input, and through the host
/// with its confinement, checks, bounds and frames.
pub(crate) async fn through_the_host() -> Result<Measured> {
    let direct = direct().await?;
    let hosted = hosted().await?;
    let (p50, p99) = (
        table::at(&hosted, 0.5) - table::at(&direct, 0.5),
        table::at(&hosted, 0.99) - table::at(&direct, 0.99),
    );
    Ok(Measured {
        target: "-",
        seen: format!(
            "p50 {:.2} ms (direct {:.2}), p99 {:.2} ms (direct {:.2}): adds {p50:.2} and {p99:.2} ms",
            table::at(&hosted, 0.5),
            table::at(&direct, 0.5),
            table::at(&hosted, 0.99),
            table::at(&direct, 0.99),
        ),
        reached: None,
    })
}

fn arguments() -> Value {
    json!({ "from": "Leeds", "to": "Munich" })
}

async fn hosted() -> Result<Histogram<u64>> {
    let settings = HostSettings {
        sign_ins: Arc::new(SignInsAsTheyAre),
        game: "bench-game".parse()?,
        secrets: BTreeMap::new(),
        program: cluster::program(),
        scratch: gaia_testkit::scratch_folder(),
    };
    let transport = ToolTransport::Shipped {
        name: "location".to_owned(),
        arguments: Vec::new(),
    };
    let server = ToolServer::new("location_service", transport);
    let tasks = Tasks::default();
    let host = ToolHost::start(settings, &[server], Arc::new(PinsInMemory::default()), &tasks);
    host.settle(Duration::from_secs(30)).await;
    let allowed = ["location_service".to_owned()];
    let mut times = table::histogram();
    for number in 0..CALLS + WARM_UP {
        let began = Instant::now();
        let call = ToolCall {
            wire_name: "location_service__distance",
            allowed: &allowed,
            arguments: arguments(),
            deadline: began + Duration::from_secs(10),
            is_tainted: false,
            has_consent: false,
            progress: None,
            player: None,
        };
        let outcome = host.call(call).await;
        let took = began.elapsed();
        let ToolOutcome::Done(answer) = outcome else {
            anyhow::bail!("the call wants a yes");
        };
        ensure!(!answer.is_error, "{}", answer.text);
        note(&mut times, number, took)?;
    }
    drop(host);
    tasks.drain(Duration::from_secs(5)).await;
    Ok(times)
}

async fn direct() -> Result<Histogram<u64>> {
    let mut pipe = Pipe::open()?;
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } });
    pipe.ask(0, "initialize", &hello).await?;
    pipe.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
        .await?;
    let call = json!({ "name": "distance", "arguments": arguments() });
    let mut times = table::histogram();
    for number in 0..CALLS + WARM_UP {
        let began = Instant::now();
        let answer = pipe.ask(number + 1, "tools/call", &call).await?;
        let took = began.elapsed();
        ensure!(answer["result"]["isError"] != true, "{answer}");
        note(&mut times, number, took)?;
    }
    Ok(times)
}

fn note(times: &mut Histogram<u64>, number: u32, took: Duration) -> Result<()> {
    if number >= WARM_UP {
        times.record(u64::try_from(took.as_micros())?.max(1))?;
    }
    Ok(())
}

/// A server's standard input and output.
struct Pipe {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Ends when dropped.
    _server: Child,
}

impl Pipe {
    fn open() -> Result<Self> {
        let mut server = Command::new(cluster::program())
            .args(["mcp", "location"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let input = server.stdin.take().context("no standard input")?;
        let output = server.stdout.take().context("no standard output")?;
        Ok(Self {
            input,
            output: BufReader::new(output).lines(),
            _server: server,
        })
    }

    async fn write(&mut self, message: &Value) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        Ok(self.input.write_all(&line).await?)
    }

    async fn ask(&mut self, id: u32, method: &str, parameters: &Value) -> Result<Value> {
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }))
            .await?;
        loop {
            let line = self.output.next_line().await?.context("the server is gone")?;
            let message: Value = serde_json::from_str(&line)?;
            if message["id"] == id {
                return Ok(message);
            }
        }
    }
}
