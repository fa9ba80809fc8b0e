//! The three stores of a cluster without a supervisor, for tests that run services in their own process.

mod redis_nodes;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use gaia_names::{GameId, Store};
use gaia_protocol::settings::{PostgresAccess, RedisAccess};
use rustix::process::Signal;
use tokio::time::sleep;

use self::redis_nodes::RedisNodes;
use super::{
    files, nats,
    place::Place,
    postgres,
    processes::{Ending, ProcessId, ProcessSpec},
    redis,
    secrets::Secrets,
};
use crate::{
    DeployError,
    error::with_cause,
    stores::{
        self,
        addresses::{Addresses, GameAccess},
        migrations,
    },
};

/// How long a store may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const STEP: Duration = Duration::from_millis(10);
/// How often other ports are tried for what listens on one.
const PORTS_TO_TRY: usize = 5;

/// Postgres, Redis and NATS in a folder of their own, migrated, killed when dropped. The folder stays.
#[derive(Debug)]
pub struct Stores {
    place: Place,
    secrets: Secrets,
    nats_port: u16,
    children: BTreeMap<Store, Child>,
    /// Redis in cluster mode, in place of one process.
    redis_nodes: Option<RedisNodes>,
}

impl Stores {
    /// Prepares the folder (made if missing; its path short enough for Unix sockets), starts the three stores, waits
    /// until they answer and migrates.
    ///
    /// # Errors
    ///
    /// If a program is missing or a store does not start.
    pub async fn start(folder: &Path) -> Result<Self, DeployError> {
        Self::start_with(folder, false).await
    }

    /// The same with a Redis in cluster mode: three nodes with the keys and one that follows each.
    ///
    /// # Errors
    ///
    /// If a program is missing or a store does not start.
    pub async fn start_with_redis_cluster(folder: &Path) -> Result<Self, DeployError> {
        Self::start_with(folder, true).await
    }

    async fn start_with(folder: &Path, has_cluster: bool) -> Result<Self, DeployError> {
        let root = std::path::absolute(folder).map_err(DeployError::file("find", folder))?;
        let place = Place::at(&root);
        place.prepare()?;
        let mut stores = Self {
            place,
            secrets: Secrets::make()?,
            nats_port: 0,
            children: BTreeMap::new(),
            redis_nodes: None,
        };
        if has_cluster {
            stores.start_redis_nodes().await?;
        } else {
            redis::write_files(&stores.place, &stores.secrets)?;
            stores.spawn(Store::Redis, &redis::spec(&stores.place)?)?;
        }
        postgres::init(&stores.place, &stores.secrets).await?;
        postgres::write_files(&stores.place)?;
        stores.spawn(Store::Postgres, &postgres::spec(&stores.place)?)?;
        stores.start_nats().await?;
        stores.wait(Store::Redis).await?;
        stores.wait(Store::Postgres).await?;
        stores::postgres::apply_roles(&stores.addresses().superuser(&stores.secrets), &stores.secrets, false).await?;
        migrations::migrate(&stores.addresses().owner(&stores.secrets)).await?;
        Ok(stores)
    }

    /// Makes users, roles and accounts for one more game. The same game twice gives the same credentials.
    ///
    /// # Errors
    ///
    /// If a store refuses.
    pub async fn provision_game(&mut self, game: &GameId) -> Result<GameAccess, DeployError> {
        if !self.secrets.games.contains_key(game) {
            self.secrets.add_game(game)?;
            stores::postgres::apply_roles(&self.addresses().superuser(&self.secrets), &self.secrets, false).await?;
            stores::redis::apply_users(&self.addresses().redis_owner(&self.secrets), &self.secrets, false).await?;
            nats::write_accounts(&self.place, &self.secrets)?;
            if let Some(id) = self.pid(Store::Nats).and_then(ProcessId::of) {
                id.signal(Signal::HUP)?;
            }
            stores::nats::wait_for_accounts(&self.addresses().nats, &stores::nats::reader(&self.secrets), PATIENCE)
                .await?;
        }
        self.addresses()
            .of_game(&self.secrets, game)
            .ok_or(DeployError::OtherBlueprint)
    }

    /// The superuser, for tests that look behind row-level security.
    #[must_use]
    pub fn superuser(&self) -> PostgresAccess {
        self.addresses().superuser(&self.secrets).access
    }

    /// The owner of the tables, which bypasses row-level security.
    #[must_use]
    pub fn owner(&self) -> PostgresAccess {
        self.addresses().owner(&self.secrets).access
    }

    /// The Redis user that may do everything.
    #[must_use]
    pub fn redis_owner(&self) -> RedisAccess {
        self.addresses().redis_owner(&self.secrets).access
    }

    /// Has Redis forget all that it holds.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn empty_redis(&self) -> Result<(), DeployError> {
        stores::redis::empty(&self.addresses().redis_owner(&self.secrets)).await
    }

    /// Kills the node that has a key, of a Redis in cluster mode, with SIGKILL.
    ///
    /// # Errors
    ///
    /// If none has it, or it cannot be killed.
    pub async fn kill_redis_node_of(&mut self, key: &str) -> Result<(), DeployError> {
        let place = stores::redis::place_of(&self.addresses().redis_owner(&self.secrets), key).await?;
        match (&mut self.redis_nodes, place) {
            (Some(nodes), Some(place)) => nodes.kill(place),
            _ => Err(self.not_ready(Store::Redis, format!("no node has `{key}`"))),
        }
    }

    /// Kills one store with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If it cannot be killed.
    pub async fn kill(&mut self, store: Store) -> Result<(), DeployError> {
        if let (Store::Redis, Some(nodes)) = (store, &mut self.redis_nodes) {
            return nodes.kill_all();
        }
        let Some(mut child) = self.children.remove(&store) else {
            return Ok(());
        };
        let failed = |source| DeployError::System {
            doing: "kill a store",
            source,
        };
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
        Ok(())
    }

    /// Starts a killed store again, on the same data and address, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub async fn start_again(&mut self, store: Store) -> Result<(), DeployError> {
        if let (Store::Redis, Some(nodes)) = (store, &mut self.redis_nodes) {
            nodes.start_again()?;
            self.wait(store).await?;
            return stores::redis::form(&self.addresses().redis_owner(&self.secrets)).await;
        }
        let spec = match store {
            Store::Postgres => postgres::spec(&self.place)?,
            Store::Redis => redis::spec(&self.place)?,
            Store::Nats => nats::spec(&self.place, self.nats_port)?,
        };
        let until = Instant::now() + PATIENCE;
        loop {
            self.spawn(store, &spec)?;
            match self.wait(store).await {
                // After a kill, Postgres refuses to start until the last of its old children has noticed.
                Err(_) if self.has_ended(store) && Instant::now() < until => sleep(STEP).await,
                outcome => return outcome,
            }
        }
    }

    /// The process id of a store, if it runs.
    #[must_use]
    pub fn pid(&self, store: Store) -> Option<u32> {
        self.children.get(&store).map(Child::id)
    }

    /// Stops all three.
    ///
    /// # Errors
    ///
    /// If one does not end.
    pub async fn stop(mut self) -> Result<(), DeployError> {
        for (store, child) in &self.children {
            let ending = if *store == Store::Postgres {
                Ending::Int
            } else {
                Ending::Term
            };
            if let Some(id) = ProcessId::of(child.id()) {
                id.signal(ending.signal())?;
            }
        }
        let until = Instant::now() + PATIENCE;
        drop(self.redis_nodes.take());
        for store in Store::ALL {
            while !self.has_ended(*store) {
                if Instant::now() > until {
                    return Err(self.not_ready(*store, "it does not end".to_owned()));
                }
                sleep(STEP).await;
            }
        }
        self.children.clear();
        Ok(())
    }

    fn addresses(&self) -> Addresses {
        let mut addresses = self.place.addresses(self.nats_port);
        if let Some(nodes) = &self.redis_nodes {
            addresses.redis = nodes.address();
        }
        addresses
    }

    async fn start_nats(&mut self) -> Result<(), DeployError> {
        for attempt in 1.. {
            self.nats_port = unused_port()?;
            nats::write_files(&self.place, &self.secrets, self.nats_port)?;
            self.spawn(Store::Nats, &nats::spec(&self.place, self.nats_port)?)?;
            match self.wait(Store::Nats).await {
                // Somebody else may have taken the port between the look and the start.
                Err(_) if self.has_ended(Store::Nats) && attempt < PORTS_TO_TRY => {}
                outcome => return outcome,
            }
        }
        Ok(())
    }

    async fn start_redis_nodes(&mut self) -> Result<(), DeployError> {
        for attempt in 1.. {
            // Those of the last attempt must be gone: a node locks its folder.
            self.redis_nodes = None;
            self.redis_nodes = Some(RedisNodes::start(&self.place, &mut self.secrets)?);
            match self.wait(Store::Redis).await {
                // As with NATS, and they have twelve ports.
                Err(_) if self.has_ended(Store::Redis) && attempt < PORTS_TO_TRY => {}
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        stores::redis::form(&self.addresses().redis_owner(&self.secrets)).await
    }

    fn spawn(&mut self, store: Store, spec: &ProcessSpec) -> Result<(), DeployError> {
        let child = spec.spawn(&self.log(store))?;
        self.children.insert(store, child);
        Ok(())
    }

    async fn wait(&mut self, store: Store) -> Result<(), DeployError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = match store {
                Store::Postgres => stores::postgres::ping(&self.addresses().superuser(&self.secrets)).await,
                Store::Redis => stores::redis::ping(&self.addresses().redis_owner(&self.secrets)).await,
                Store::Nats => stores::nats::greet(&self.addresses().nats).await,
            };
            let has_ended = self.has_ended(store);
            match answer {
                Ok(()) if !has_ended => return Ok(()),
                Ok(()) => return Err(self.not_ready(store, "it ended".to_owned())),
                Err(fault) if has_ended || Instant::now() > until => {
                    return Err(self.not_ready(store, with_cause(&fault)));
                }
                Err(_) => sleep(STEP).await,
            }
        }
    }

    fn has_ended(&mut self, store: Store) -> bool {
        if let (Store::Redis, Some(nodes)) = (store, &mut self.redis_nodes) {
            return nodes.log_of_ended().is_some();
        }
        self.children
            .get_mut(&store)
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn not_ready(&mut self, store: Store, why: String) -> DeployError {
        let nodes = self.redis_nodes.as_mut().filter(|_| store == Store::Redis);
        let log = nodes
            .and_then(RedisNodes::log_of_ended)
            .unwrap_or_else(|| self.log(store));
        let why = format!("{why}; it said last: {}", files::last_words(&log));
        DeployError::NotReady {
            what: store.to_string(),
            seconds: PATIENCE.as_secs(),
            why,
            log,
        }
    }

    fn log(&self, store: Store) -> PathBuf {
        self.place.logs().join(format!("{store}.log"))
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        for (store, child) in &mut self.children {
            // Postgres takes its own children with it on SIGQUIT; killed, it would leave them to notice by themselves.
            // What is ended is gone whether or not it could still be waited for.
            let _ = match (store, ProcessId::of(child.id())) {
                (Store::Postgres, Some(id)) => id.signal(Signal::QUIT).ok(),
                _ => child.kill().ok(),
            };
            let _ = child.wait();
        }
    }
}

fn unused_port() -> Result<u16, DeployError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.port())
        .map_err(|source| DeployError::System {
            doing: "find a free port",
            source,
        })
}
