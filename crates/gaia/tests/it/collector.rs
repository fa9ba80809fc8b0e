//! A real receiver of traces: the OpenTelemetry Collector, which writes what it is sent to a file.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long the receiver may take to listen.
const LIMIT: Duration = Duration::from_secs(30);

/// The receiver. It ends when dropped.
pub(crate) struct Collector {
    process: Child,
    received: PathBuf,
    address: String,
}

/// One span as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    attributes: Value,
}

impl Collector {
    /// Builds it, if that has not been done, and starts it with its files in a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let program = built();
        let received = folder.join("received.json");
        // Whoever asks for a free port may lose it to somebody else before it is used.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let config = folder.join("collector.json");
            fs::write(&config, config_of(&free.to_string(), &received).to_string()).unwrap();
            let mut process = Command::new(&program)
                .arg("--config")
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let began = Instant::now();
            while process.try_wait().unwrap().is_none() {
                if TcpStream::connect(free).is_ok() {
                    let address = format!("http://{free}");
                    return Self {
                        process,
                        received,
                        address,
                    };
                }
                assert!(began.elapsed() < LIMIT, "the collector does not listen");
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        panic!("the collector does not start")
    }

    /// Where services send their traces.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// All that was received, as it is.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.received).unwrap_or_default()
    }

    /// The spans of a trace so far.
    pub(crate) fn trace(&self, id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace == id);
        spans
    }

    /// All spans so far. A line that is still being written counts later.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let text = self.text();
        let batches = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let resources = batches.flat_map(|batch| array(&batch["resourceSpans"]));
        resources
            .flat_map(|resource| {
                let service = attribute(&resource["resource"]["attributes"], "service.name");
                let spans = array(&resource["scopeSpans"])
                    .into_iter()
                    .flat_map(|scope| array(&scope["spans"]));
                spans.map(|span| Span::read(&service, &span)).collect::<Vec<_>>()
            })
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Span {
    fn read(service: &str, span: &Value) -> Self {
        let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
        Self {
            service: service.to_owned(),
            name: text("name"),
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            attributes: span["attributes"].clone(),
        }
    }

    /// An attribute as text, or nothing.
    pub(crate) fn attribute(&self, name: &str) -> String {
        attribute(&self.attributes, name)
    }
}

fn built() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/tool");
    let output = Command::new(script)
        .arg("otelcol")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the collector cannot be built");
    Path::new(String::from_utf8(output.stdout).unwrap().trim()).join("otelcol")
}

/// JSON is YAML.
fn config_of(address: &str, received: &Path) -> Value {
    json!({
        "receivers": { "otlp": { "protocols": { "http": { "endpoint": address } } } },
        "exporters": { "file": { "path": received, "flush_interval": "100ms" } },
        "service": { "pipelines": { "traces": { "receivers": ["otlp"], "exporters": ["file"] } } },
    })
}

fn array(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn attribute(attributes: &Value, name: &str) -> String {
    let attributes = array(attributes);
    let found = attributes.iter().find(|attribute| attribute["key"] == name);
    let value = found.and_then(|attribute| attribute["value"].as_object()?.values().next());
    value.map_or_else(String::new, |value| {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    })
}
