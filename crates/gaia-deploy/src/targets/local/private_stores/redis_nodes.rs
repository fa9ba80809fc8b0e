//! A Redis in cluster mode for tests: six private processes on loopback, three with the keys and three that follow.

use std::{net::Ipv4Addr, path::PathBuf, process::Child};

use super::{Ending, ProcessSpec, files, unused_port};
use crate::{
    DeployError,
    secrets::{Secrets, random},
    stores::redis::{node_config, users},
    targets::local::{place::Place, processes::Kind, redis},
};

/// How many there are.
const COUNT: usize = 6;
/// How far a node's second port is from its first.
const TO_BUS: u16 = 10_000;

/// The nodes, those that run and those that were killed.
#[derive(Debug)]
pub(super) struct RedisNodes {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    spec: ProcessSpec,
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl RedisNodes {
    /// Starts them. They are no cluster yet.
    pub(super) fn start(place: &Place, secrets: &mut Secrets) -> Result<Self, DeployError> {
        secrets.nodes = random()?;
        let mut nodes = Vec::new();
        for number in 1..=COUNT {
            let (port, folder) = (two_unused_ports()?, place.redis().join(format!("{number}")));
            let user = place.user.as_ref();
            files::make_folder(&folder, 0o700, user)?;
            let config = format!(
                "port {port}\nbind {ip}\ndir \"{folder}\"\naclfile \"{folder}/users.acl\"\nsave \"\"\nappendonly no\n\
                 maxmemory 64mb\nmaxmemory-policy noeviction\ndaemonize no\nset-proc-title no\n{}",
                node_config(secrets),
                ip = Ipv4Addr::LOCALHOST,
                folder = folder.display(),
            );
            files::write(&folder.join("redis.conf"), config.as_bytes(), 0o600, user)?;
            files::write(&folder.join("users.acl"), users(secrets, true).as_bytes(), 0o600, user)?;
            let spec = ProcessSpec {
                name: format!("redis-{number}"),
                kind: Kind::Store,
                program: redis::program()?,
                args: vec![folder.join("redis.conf").display().to_string()],
                folder,
                user: place.user.clone(),
                ending: Ending::Term,
                grace_ms: 5_000,
                revision: String::new(),
            };
            let log = place.logs().join(format!("redis-{number}.log"));
            nodes.push(Node {
                spec,
                port,
                log,
                child: None,
            });
        }
        let mut all = Self { nodes };
        all.start_again()?;
        Ok(all)
    }

    /// Where they answer.
    pub(super) fn address(&self) -> String {
        let each = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        each.collect::<Vec<_>>().join(",")
    }

    /// Starts those that do not run, with what they know of the cluster and nothing else.
    pub(super) fn start_again(&mut self) -> Result<(), DeployError> {
        for node in self.nodes.iter_mut().filter(|node| node.child.is_none()) {
            node.child = Some(node.spec.spawn(&node.log)?);
        }
        Ok(())
    }

    /// Kills one with SIGKILL, by its place.
    pub(super) fn kill(&mut self, index: usize) -> Result<(), DeployError> {
        let child = self.nodes.get_mut(index).and_then(|node| node.child.take());
        let Some(mut child) = child else { return Ok(()) };
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|source| DeployError::System {
            doing: "kill a node of Redis",
            source,
        })
    }

    pub(super) fn kill_all(&mut self) -> Result<(), DeployError> {
        (0..self.nodes.len()).try_for_each(|index| self.kill(index))
    }

    /// What one wrote that has ended by itself, if one has.
    pub(super) fn log_of_ended(&mut self) -> Option<PathBuf> {
        let mut running = self
            .nodes
            .iter_mut()
            .filter_map(|node| Some((node.child.as_mut()?, &node.log)));
        let ended = running.find_map(|(child, log)| (!matches!(child.try_wait(), Ok(None))).then_some(log));
        ended.cloned()
    }
}

impl Drop for RedisNodes {
    fn drop(&mut self) {
        // What is ended is gone whether or not it could still be waited for.
        let _ = self.kill_all();
    }
}

/// A port that is free and has a free second one.
fn two_unused_ports() -> Result<u16, DeployError> {
    loop {
        let port = unused_port()?;
        let second = port.checked_add(TO_BUS);
        if second.is_some_and(|second| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, second)).is_ok()) {
            return Ok(port);
        }
    }
}
