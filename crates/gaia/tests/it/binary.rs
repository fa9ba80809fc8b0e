//! The real binary in a home of its own.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::engine::Engine;

/// A home in a temporary folder, and the binary that uses it.
pub(crate) struct Gaia {
    folder: TempDir,
    /// Homes of different tests do not know of each other's ports, so each looks in a range of its own.
    first_port: String,
    engine: Option<&'static Engine>,
    kubeconfig: Option<PathBuf>,
}

/// What the binary answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Gaia {
    /// A fresh home that is removed at the end. Its path is short, as Unix sockets want it, and the stores' user may
    /// pass through it.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("gaia-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        static HOMES: AtomicU16 = AtomicU16::new(0);
        let home = HOMES.fetch_add(1, Ordering::Relaxed);
        let first_port = (20_000 + home % 100 * 64).to_string();
        Self {
            folder,
            first_port,
            engine: None,
            kubeconfig: None,
        }
    }

    /// The same, where games run in containers of an engine.
    pub(crate) fn in_containers(engine: &'static Engine) -> Self {
        Self {
            engine: Some(engine),
            ..Self::new()
        }
    }

    /// The same, where games run on Kubernetes.
    pub(crate) fn on_kubernetes(kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: Some(kubeconfig.to_owned()),
            ..Self::new()
        }
    }

    /// Whom it is to Kubernetes from now on.
    pub(crate) fn set_kubeconfig(&mut self, kubeconfig: PathBuf) {
        self.kubeconfig = Some(kubeconfig);
    }

    /// Whether games run from images.
    pub(crate) fn needs_images(&self) -> bool {
        self.engine.is_some() || self.kubeconfig.is_some()
    }

    pub(crate) fn engine(&self) -> Option<&'static Engine> {
        self.engine
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder in which commands run.
    pub(crate) fn work(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of a game: `kos/config.yaml`.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let file = self.work().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.engine {
            Some(engine) => {
                let mut command = engine.command(env!("CARGO_BIN_EXE_gaia"));
                command.env("GAIA_TARGET", "compose");
                command
            }
            None => Command::new(env!("CARGO_BIN_EXE_gaia")),
        };
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig).env("GAIA_TARGET", "kubernetes");
        }
        command
            .args(arguments)
            .current_dir(self.work())
            .env("GAIA_HOME", self.home())
            .env("GAIA_FIRST_PORT", &self.first_port);
        command
            .env_remove("GAIA_MODELS")
            .env_remove("GAIA_LOG")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command to its end with something on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        let mut child = self.start(arguments);
        // Whoever does not read to the end closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Answer::of(child.wait_with_output().unwrap())
    }

    /// Starts a command with pipes.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as the one JSON document that it should be.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    /// Itself, if it ended with this code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}
