//! The programs of Kubernetes, and where what they need of the test process lives.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::runtime::{Builder, Runtime};

/// The one file that is every program: see `tools/kubernetes`.
pub(crate) fn kubernetes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("kubernetes").join("kubernetes"))
}

/// What enforces network policies: see `tools/felix`.
pub(crate) fn felix() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("felix").join("calico-felix"))
}

/// What has the API server know kinds of the Gateway API and of KEDA, as files: see `tools/definitions`.
///
/// # Panics
///
/// Where they cannot be had.
#[must_use]
pub fn extra_definitions() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(built("definitions")).expect("a folder");
    let files = folder.map(|entry| entry.expect("a file").path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

/// Builds a tool where that has not been done.
fn built(tool: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/tool");
    let output = Command::new(script)
        .arg(tool)
        .stderr(Stdio::inherit())
        .output()
        .expect("scripts/tool runs");
    assert!(output.status.success(), "{tool} cannot be built");
    let folder = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(folder.trim())
}

pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(kubernetes());
    command.arg(name);
    command
}

/// A port that is free, and that the kernel gives to nobody who asks for any: the programs take it a moment later. None
/// is given twice.
pub(crate) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(RandomState::new().hash_one(0) as u16));
    let ports = 16_000..32_000;
    loop {
        let port = ports.start + next.fetch_add(1, Ordering::Relaxed) % (ports.end - ports.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Where loops run that serve all the tests of this process: a test's own runtime ends with the test.
pub(crate) fn background() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made")
    })
}
