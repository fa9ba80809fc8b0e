//! What can go wrong between a blueprint and a running cluster, and what to do about it.

use std::{io, path::PathBuf};

use gaia_names::{ClusterName, GameId, Target};

/// A failure of drawing up, planning, applying or observing. The text says what failed, what that means and what to
/// do next; the cause is its source.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The input makes no cluster.
    #[error("{0}")]
    Input(String),
    /// The plan was made for another state of the cluster.
    #[error(
        "cluster `{cluster}` has changed since this plan was made (it was made on generation {planned}, now it is \
         {found}); nothing was touched; plan again and apply that"
    )]
    Stale {
        /// The cluster.
        cluster: ClusterName,
        /// The generation that the plan was made on.
        planned: u64,
        /// The generation found.
        found: u64,
    },
    /// The plan belongs to another blueprint.
    #[error("this plan was made for another blueprint than the one given; nothing was touched; plan again")]
    OtherBlueprint,
    /// Somebody else is at work on the cluster.
    #[error("cluster `{cluster}` is being changed by {holder}; wait until that ends, or stop that process")]
    Locked {
        /// The cluster.
        cluster: ClusterName,
        /// Who holds the lock: process id, command and since when.
        holder: String,
    },
    /// There is no such cluster on this machine.
    #[error("there is no cluster `{cluster}` in {home}; `gaia list` shows those that are there")]
    NoSuchCluster {
        /// The cluster.
        cluster: ClusterName,
        /// Where it was looked for.
        home: PathBuf,
    },
    /// The cluster is on another target.
    #[error(
        "cluster `{cluster}` runs on the target `{found}` and was asked for on `{wanted}`; leave `--target` out, or \
         `gaia destroy {cluster}` first"
    )]
    Elsewhere {
        /// The cluster.
        cluster: ClusterName,
        /// Where it is.
        found: Target,
        /// Where it was asked for.
        wanted: Target,
    },
    /// Something of the right name was made by somebody else.
    #[error("{what} was not made by this Gaia, and nothing was touched; {help}")]
    Foreign {
        /// What was found.
        what: String,
        /// What to do.
        help: String,
    },
    /// The API server of Kubernetes does not do as asked.
    #[error(transparent)]
    Kubernetes(#[from] gaia_kubernetes::Fault),
    /// The Docker engine does not answer.
    #[error(
        "the Docker engine does not answer: {why}; start it (`systemctl start docker`), or let this user speak to it \
         (`usermod -aG docker <user>`)"
    )]
    NoEngine {
        /// What Docker said.
        why: String,
    },
    /// There is no such process in the cluster.
    #[error("cluster `{cluster}` runs no process `{process}`; it runs {known}")]
    NoSuchProcess {
        /// The cluster.
        cluster: ClusterName,
        /// What was asked for.
        process: String,
        /// What there is.
        known: String,
    },
    /// A Unix socket's path would be longer than the system takes.
    #[error(
        "the path {path} is {length} bytes long and a Unix socket's may have 100; set GAIA_HOME to a shorter folder \
         and run the command again"
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The stores' user may not pass through a folder.
    #[error(
        "the stores run as the user `{user}`, who may not enter {folder}; set GAIA_HOME to a folder below one that \
         everybody may enter (such as /var/lib/gaia), or run `chmod o+x {folder}`"
    )]
    Untraversable {
        /// The folder that bars the way.
        folder: PathBuf,
        /// The stores' user.
        user: String,
    },
    /// A program that Gaia needs is not installed.
    #[error("{what} was not found; {fix}")]
    Missing {
        /// The program.
        what: String,
        /// How to get it.
        fix: String,
    },
    /// A file or folder could not be used.
    #[error("failed to {doing} {path}")]
    File {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of Gaia's own holds something else than it should.
    #[error(
        "{path} cannot be read as {what}; if it was changed by hand, put it back, else destroy the cluster and bring \
         it up again"
    )]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A program failed.
    #[error("{program} failed ({outcome}): {said}")]
    Program {
        /// Which.
        program: String,
        /// Its exit status, or why it could not be started.
        outcome: String,
        /// The last it said.
        said: String,
    },
    /// Something did not become ready in time.
    #[error("{what} was not ready after {seconds} s: {why}; its log is {log}")]
    NotReady {
        /// What.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// The last reason.
        why: String,
        /// Where to read more.
        log: PathBuf,
    },
    /// A store did not answer in time.
    #[error("{what} did not answer within {seconds} s: {why}")]
    Silent {
        /// Which.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// The last reason.
        why: String,
    },
    /// No port was free.
    #[error("no free port was found on 127.0.0.1 between {from} and {to}; stop something that listens there")]
    NoPort {
        /// The first that was tried.
        from: u16,
        /// The last that was tried.
        to: u16,
    },
    /// Postgres refused something.
    #[error("Postgres: failed to {doing}")]
    Postgres {
        /// What was being done, as a verb.
        doing: String,
        /// Why not.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A migration is not what was applied before.
    #[error(
        "migration {set}/{name} {fault}; this Gaia cannot use the cluster's database; run the version that made it, \
         or a newer one"
    )]
    Migration {
        /// The set: `gaia`, `auth` or `chat`.
        set: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// Redis refused something.
    #[error("Redis: failed to {doing}")]
    Redis {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Why not.
        #[source]
        source: redis::RedisError,
    },
    /// The supervisor did not do as asked.
    #[error("the supervisor of `{cluster}` did not {doing}: {why}; `gaia up` starts it again if it is gone")]
    Supervisor {
        /// The cluster.
        cluster: String,
        /// What it was asked to do, as a verb.
        doing: &'static str,
        /// Why not.
        why: String,
    },
    /// The gateway did not take a bundle.
    #[error(
        "the gateway did not take the bundle of `{game}`: {why}; `gaia logs` shows more, and `gaia up` tries again"
    )]
    Publish {
        /// The game.
        game: String,
        /// Why not.
        why: String,
    },
    /// The admin API of a game did not do what was asked.
    #[error("the admin API of `{game}` says no: {why}")]
    Admin {
        /// The game.
        game: GameId,
        /// Why not.
        why: String,
    },
    /// Something is left after destroy.
    #[error("after destroying `{cluster}` this is left: {left}; run `gaia destroy` again")]
    Left {
        /// The cluster.
        cluster: ClusterName,
        /// What.
        left: String,
    },
    /// The operating system refused something else.
    #[error("failed to {doing}")]
    System {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl DeployError {
    /// For `map_err` on file operations.
    pub(crate) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// For `map_err` on Postgres.
    pub(crate) fn postgres(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Postgres { doing, source }
    }

    /// For `map_err` on Redis.
    pub(crate) fn redis(doing: &'static str) -> impl FnOnce(redis::RedisError) -> Self {
        move |source| Self::Redis { doing, source }
    }

    /// For `map_err` on system calls.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |source| Self::System {
            doing,
            source: source.into(),
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn with_cause(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}
