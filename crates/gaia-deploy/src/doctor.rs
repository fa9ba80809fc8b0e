//! What this machine lacks, and the command that brings it.

use std::path::PathBuf;

use gaia_kubernetes::{Kind, Kubernetes};
use gaia_names::Target;
use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};
use serde::{Deserialize, Serialize};

use crate::{
    DeployError, Home,
    error::with_cause,
    targets::{
        compose::engine::Engine,
        kubernetes::observing::MADE_OF,
        local::{nats, place::OsUser, postgres, processes::version_of, redis},
    },
};

/// With less room, in bytes, no cluster starts: Postgres alone begins with 40 MiB and its log of writes.
const LEAST_DISK: u64 = 256 << 20;
/// With less room, in bytes, a cluster does not run for long.
const GOOD_DISK: u64 = 1 << 30;
/// How many open files a process should be allowed.
const GOOD_FILES: u64 = 4096;

/// How a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// As it should be.
    Good,
    /// Gaia works, but not as well as it could.
    Poor,
    /// Gaia cannot run a cluster.
    Missing,
}

/// One thing that Gaia needs of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What: `postgres`, `disk`.
    pub what: String,
    /// How it is.
    pub state: FindingState,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// Looks at the machine. Findings of its own, such as the model's, are added by the caller.
#[must_use]
pub fn doctor(home: &Home) -> Vec<Finding> {
    let is_root = rustix::process::geteuid().is_root();
    let mut findings = vec![
        program(
            "postgres",
            postgres::program("postgres"),
            (15, 0),
            "postgresql",
            is_root,
        ),
        program("redis", redis::program(), (7, 0), "redis-server", is_root),
        program("nats", nats::program(), (2, 9), "nats-server", is_root),
    ];
    if is_root {
        findings.push(store_user(OsUser::for_stores().as_ref()));
    }
    findings.push(disk(home));
    findings.push(files(getrlimit(Resource::Nofile).current));
    findings
}

/// Looks at what a target needs that runs clusters in containers.
pub async fn doctor_of_target(home: &Home, target: Target) -> Vec<Finding> {
    match target {
        Target::Local => Vec::new(),
        Target::Compose => {
            let mut findings = engine(Engine::find().await).await;
            findings.push(disk(home));
            findings
        }
        Target::Kubernetes => match home.kubernetes().await {
            Ok(kubernetes) => reach_and_rights(&kubernetes).await,
            Err(fault) => vec![unfit("kubernetes", with_cause(&fault), KUBECONFIG)],
        },
    }
}

const KUBECONFIG: &str = "kubectl config get-contexts   # then name one with --context";

async fn engine(found: Result<Engine, DeployError>) -> Vec<Finding> {
    let versions = match found {
        Ok(engine) => engine.versions().await,
        Err(fault) => Err(fault),
    };
    match versions {
        Err(fault) => vec![unfit(
            "docker",
            with_cause(&fault),
            "apt-get install docker.io docker-compose-v2",
        )],
        Ok((engine, compose)) => vec![
            version("docker engine", &engine, (20, 10), "apt-get install docker.io"),
            version("docker compose", &compose, (2, 0), "apt-get install docker-compose-v2"),
        ],
    }
}

/// Whether a version that a program says is not too old.
fn version(what: &str, said: &str, oldest: (u32, u32), fix: &str) -> Finding {
    let mut numbers = said
        .trim_start_matches('v')
        .split(['.', '-', '+'])
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= oldest => good(what, said.to_owned()),
        (Some(Ok(_)), Some(Ok(_))) => {
            let found = format!("{said}; {}.{} is the oldest that works", oldest.0, oldest.1);
            unfit(what, found, fix)
        }
        _ => unfit(what, format!("its version cannot be read: {said}"), fix),
    }
}

/// Whether the API server answers, and whether it lets us make all that a cluster is made of.
async fn reach_and_rights(kubernetes: &Kubernetes) -> Vec<Finding> {
    let context = &kubernetes.context;
    let mut findings = match kubernetes.version().await {
        Ok(version) => vec![good("kubernetes", format!("{version} at the context `{context}`"))],
        Err(fault) => return vec![unfit("kubernetes", fault.to_string(), KUBECONFIG)],
    };
    let mut refused = Vec::new();
    for kind in [Kind::NAMESPACE, Kind::LEASE].into_iter().chain(MADE_OF) {
        for verb in ["create", "patch", "delete"] {
            match kubernetes.may(verb, kind, "").await {
                Ok(true) => {}
                Ok(false) => refused.push(format!("{verb} {}", kind.plural)),
                Err(fault) => return vec![unfit("kubernetes", fault.to_string(), KUBECONFIG)],
            }
        }
    }
    findings.push(match refused.is_empty() {
        true => good("rights", "all that a cluster needs".to_owned()),
        false => unfit(
            "rights",
            format!("this user may not in all namespaces: {}", refused.join(", ")),
            "ask whoever runs the cluster for them; within one namespace they may be enough",
        ),
    });
    findings
}

fn unfit(what: &str, found: String, fix: &str) -> Finding {
    Finding {
        what: what.to_owned(),
        state: FindingState::Missing,
        found,
        fix: Some(fix.to_owned()),
    }
}

/// The command that brings a Debian package.
fn apt_get(package: &str, is_root: bool) -> String {
    let sudo = if is_root { "" } else { "sudo " };
    format!("{sudo}apt-get install {package}")
}

fn program(
    what: &str,
    found: Result<PathBuf, DeployError>,
    oldest: (u32, u32),
    package: &str,
    is_root: bool,
) -> Finding {
    let fix = Some(apt_get(package, is_root));
    let missing = |found: String| Finding {
        what: what.to_owned(),
        state: FindingState::Missing,
        found,
        fix: fix.clone(),
    };
    let Ok(path) = found else {
        return missing("not found in PATH".to_owned());
    };
    let version = version_of(&path);
    // Valkey took up Redis' work at 7.2; its first release of its own is 8.
    let oldest = if path.file_name().is_some_and(|name| name == "valkey-server") {
        (8, 0)
    } else {
        oldest
    };
    match version {
        Err(fault) => missing(format!("{}: {fault}", path.display())),
        Ok(version) if version < oldest => {
            let (found, needed) = (
                format!("{}.{}", version.0, version.1),
                format!("{}.{}", oldest.0, oldest.1),
            );
            missing(format!(
                "{} is {found}; {needed} is the oldest that works",
                path.display()
            ))
        }
        Ok(version) => good(what, format!("{} {}.{}", path.display(), version.0, version.1)),
    }
}

fn store_user(user: Option<&OsUser>) -> Finding {
    match user {
        Some(user) => good("store user", format!("as root, the stores run as `{}`", user.name)),
        None => Finding {
            what: "store user".to_owned(),
            state: FindingState::Missing,
            found: "Postgres refuses to run as root, and there is no user `postgres` or `nobody`".to_owned(),
            fix: Some("useradd --system --no-create-home --shell /usr/sbin/nologin postgres".to_owned()),
        },
    }
}

fn disk(home: &Home) -> Finding {
    let there = home
        .path()
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(home.path());
    let free = statvfs(there).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    match free {
        Err(fault) => Finding {
            what: "disk".to_owned(),
            state: FindingState::Missing,
            found: format!("{} cannot be looked at: {fault}", there.display()),
            fix: Some("set GAIA_HOME to a folder on a disk with room".to_owned()),
        },
        Ok(bytes) => judge_disk(&there.display().to_string(), bytes),
    }
}

fn judge_disk(folder: &str, bytes: u64) -> Finding {
    let found = format!("{} MiB free in {folder}", bytes >> 20);
    let state = match bytes {
        bytes if bytes < LEAST_DISK => FindingState::Missing,
        bytes if bytes < GOOD_DISK => FindingState::Poor,
        _ => return good("disk", found),
    };
    let fix = Some(format!(
        "free {} MiB, or set GAIA_HOME to a folder on another disk",
        GOOD_DISK >> 20
    ));
    Finding {
        what: "disk".to_owned(),
        state,
        found,
        fix,
    }
}

fn files(limit: Option<u64>) -> Finding {
    match limit {
        Some(limit) if limit < GOOD_FILES => Finding {
            what: "file limit".to_owned(),
            state: FindingState::Poor,
            found: format!("{limit} open files for a process; each player's connection takes one"),
            fix: Some(format!("ulimit -n {GOOD_FILES}")),
        },
        Some(limit) => good("file limit", format!("{limit} open files for a process")),
        None => good("file limit", "none".to_owned()),
    }
}

fn good(what: &str, found: String) -> Finding {
    Finding {
        what: what.to_owned(),
        state: FindingState::Good,
        found,
        fix: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_too_old_comes_with_the_command_that_brings_it() {
        let absent = Err(DeployError::Missing {
            what: "x".into(),
            fix: "y".into(),
        });
        let finding = program("nats", absent, (2, 9), "nats-server", false);
        assert_eq!(finding.state, FindingState::Missing);
        assert_eq!(finding.fix.as_deref(), Some("sudo apt-get install nats-server"));
        let old = program("nats", nats::program(), (99, 0), "nats-server", true);
        assert_eq!(old.state, FindingState::Missing);
        assert!(old.found.contains("99.0 is the oldest that works"), "{}", old.found);
        assert_eq!(old.fix.as_deref(), Some("apt-get install nats-server"));
    }

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        for (said, is_good) in [
            ("20.10.24+dfsg1", true),
            ("27.0.1", true),
            ("20.9.1", false),
            ("v2.24.5", false),
            ("19.03.1", false),
            ("unknown", false),
        ] {
            let finding = version("docker engine", said, (20, 10), "apt-get install docker.io");
            assert_eq!(finding.state == FindingState::Good, is_good, "{said}");
        }
        assert_eq!(
            version("docker compose", "v5.6.1", (2, 0), "").state,
            FindingState::Good
        );
    }

    #[tokio::test]
    async fn an_engine_or_a_server_that_is_not_there_is_told_with_what_to_do() {
        let absent = engine(Err(DeployError::NoEngine {
            why: "nobody answers".into(),
        }))
        .await;
        assert_eq!((absent.len(), absent[0].state), (1, FindingState::Missing));
        assert!(
            absent[0].fix.is_some() && absent[0].found.contains("nobody answers"),
            "{absent:?}"
        );
        assert_eq!(doctor_of_target(&Home::at("/tmp").unwrap(), Target::Local).await, []);
    }

    #[test]
    fn this_machine_has_what_the_tests_need() {
        let findings = doctor(&Home::at("/tmp").unwrap());
        let missing: Vec<_> = findings
            .iter()
            .filter(|one| one.state == FindingState::Missing)
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(
            findings
                .iter()
                .any(|one| one.what == "postgres" && one.found.contains("/postgres "))
        );
    }

    #[test]
    fn little_room_is_told_before_it_is_too_little() {
        assert_eq!(judge_disk("/", 100 << 20).state, FindingState::Missing);
        assert_eq!(judge_disk("/", 500 << 20).state, FindingState::Poor);
        assert_eq!(judge_disk("/", 5 << 30).state, FindingState::Good);
        assert_eq!(files(Some(256)).state, FindingState::Poor);
    }
}
