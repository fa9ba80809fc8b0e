//! A Docker engine of the tests' own, with the images of everything.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use crate::binary::{Answer, Gaia};

/// What in a config has a game use the images that are built here.
pub(crate) const IMAGES: &str = "infrastructure:\n  images: {gaia: \"gaia.test/gaia:0.1.0\", postgres: \"gaia.test/postgres:15\", \
     redis: \"gaia.test/redis:7.0\", nats: \"gaia.test/nats:2.9\"}\n";

/// An engine that runs, in a network of its own.
#[derive(Debug)]
pub(crate) struct Engine {
    folder: PathBuf,
}

impl Engine {
    /// The one that the tests of this process share. Where this machine cannot have one, the script has said why, and the
    /// test has nothing to do. It goes on running for the next time; `scripts/docker stop target/docker` ends it.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Engine>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        // Where the programs are: target/release/gaia.
        let target = Path::new(env!("CARGO_BIN_EXE_gaia")).ancestors().nth(2).unwrap();
        let folder = target.join("docker");
        fs::create_dir_all(&folder).unwrap();
        let started = script("docker").arg("start").arg(&folder).status().unwrap();
        if started.code() == Some(69) {
            return None;
        }
        assert!(started.success(), "the engine does not start");
        let engine = Self { folder };
        engine.build(&["stores"], target);
        let models = crate::journey::models_folder(&Gaia::new());
        engine.build(&["gaia", env!("CARGO_BIN_EXE_gaia"), models.to_str().unwrap()], target);
        Some(engine)
    }

    /// Not beside the engine: from there, Debian's packages cannot be reached.
    fn build(&self, arguments: &[&str], target: &Path) {
        let built = script("images")
            .env("DOCKER_HOST", format!("unix://{}/docker.sock", self.folder.display()))
            .env("DOCKER_CONFIG", self.folder.join("config"))
            .args(arguments)
            .current_dir(repository())
            .env("CARGO_TARGET_DIR", target)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(built.success(), "the images cannot be built");
    }

    /// A program that runs beside the engine: in its network, with its `docker`.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = script("docker");
        command.arg("run").arg(&self.folder).arg(program);
        command
    }

    /// What `docker` prints.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.command("docker").args(arguments).output().unwrap();
        Answer::of(output).exits(0).out
    }

    /// The first process of each running container of a cluster, by the name that `gaia status` has for it.
    pub(crate) fn pids(&self, cluster: &str) -> BTreeMap<String, i32> {
        let filter = format!("label=com.docker.compose.project=gaia-{cluster}");
        let ids = self.docker(&["ps", "--quiet", "--no-trunc", "--filter", &filter]);
        if ids.trim().is_empty() {
            return BTreeMap::new();
        }
        let inspect: Vec<&str> = ["inspect"].into_iter().chain(ids.lines()).collect();
        let containers: Value = serde_json::from_str(&self.docker(&inspect)).unwrap();
        let of_container = |container: &Value| {
            let name = container["Config"]["Labels"]["com.docker.compose.service"]
                .as_str()?
                .to_owned();
            Some((name, first_process(container["Id"].as_str()?)?))
        };
        containers.as_array().unwrap().iter().filter_map(of_container).collect()
    }

    /// Everything that is labelled as a cluster's.
    pub(crate) fn left_over(&self, cluster: &str) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project=gaia-{cluster}");
        let of_kind = |kind: &[&str]| {
            let arguments = [kind, &["ls", "--quiet", "--filter", &filter]].concat();
            self.docker(&arguments).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let containers = self.docker(&["container", "ls", "--all", "--quiet", "--filter", &filter]);
        let mut left: Vec<String> = containers.lines().map(str::to_owned).collect();
        left.extend(of_kind(&["volume"]));
        left.extend(of_kind(&["network"]));
        left
    }
}

/// The first process of a container, as this machine numbers it: the engine numbers its own.
fn first_process(container: &str) -> Option<i32> {
    let processes = fs::read_dir("/proc").unwrap();
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let is_first = || {
            let status = read("status");
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.is_some_and(|numbers| numbers.split_whitespace().count() > 1 && numbers.ends_with("\t1"))
        };
        read("cgroup").contains(container) && is_first()
    })
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn script(name: &str) -> Command {
    Command::new(repository().join("scripts").join(name))
}
