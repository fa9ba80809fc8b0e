//! Whom Redis (or Valkey) knows: one user per game, on its own keys alone. In cluster mode each node knows the same users.

mod cluster;

use std::time::Duration;

use gaia_names::{GameId, Secret};
use gaia_protocol::settings::RedisAccess;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    aio::MultiplexedConnection,
};
use sha2::{Digest, Sha256};

pub(crate) use self::cluster::{form, place_of};
use super::addresses::Admin;
use crate::{DeployError, blueprint::digest_bytes, secrets::Secrets};

/// Where it listens.
pub(crate) const PORT: u16 = 6379;
/// Where the nodes of a cluster speak to each other.
pub(crate) const BUS_PORT: u16 = 16_379;
/// The user that makes the others.
pub(crate) const APPLY_USER: &str = "gaia_apply";
/// The user as whom the nodes of a cluster follow each other.
pub(crate) const NODE_USER: &str = "gaia_node";

/// What a game may do with its own keys. Nothing here works on keys that it does not name, so the key pattern holds;
/// Redis checks what a script does against the same rules.
const GAME_RULES: &str = "-@all +get +set +setex +getdel +getex +del +unlink +exists +expire +pexpire +expireat +persist \
     +ttl +pttl +type +incr +incrby +decr +decrby +append +strlen +mget +mset +setnx +setrange +getrange +lrange +rpush \
     +lpush +rpop +lpop +ltrim +llen +lindex +hget +hset +hsetnx +hdel +hgetall +hmget +hexists +hincrby +hlen +hkeys \
     +hvals +sadd +srem +smembers +sismember +scard +zadd +zrem +zrange +zrangebyscore +zremrangebyscore \
     +zremrangebyrank +zcard +zcount +zscore +zincrby +eval +evalsha +script|load +publish +subscribe +unsubscribe +ping \
     +time +multi +exec +discard +watch +unwatch +hello +auth +reset +quit \
     +client|setname +client|id";

/// What a game may do besides in cluster mode: ask where its keys are, and in a script which node it is on.
const CLUSTER_RULES: &str = "+cluster|slots +cluster|myid +asking";
/// What the nodes of a cluster may do with each other: copy, and find each other again.
const NODE_RULES: &str = "-@all +psync +replconf +ping +cluster|nodes +cluster|meet";

/// The digest of who its users are, and what opens them.
pub(crate) fn users_digest(secrets: &Secrets) -> String {
    digest_bytes(users(secrets, false).as_bytes())
}

/// Whether an address is that of several nodes in cluster mode.
pub(crate) fn is_cluster(address: &str) -> bool {
    address.contains(',')
}

pub(crate) fn users(secrets: &Secrets, is_cluster: bool) -> String {
    let mut text = format!(
        "user default off resetkeys resetchannels -@all\nuser {APPLY_USER} on {} ~* &* +@all\n",
        apply_passwords(secrets).join(" ")
    );
    if is_cluster {
        text.push_str(&format!(
            "user {NODE_USER} on {} {NODE_RULES}\n",
            hashed(&secrets.nodes)
        ));
    }
    for (user, rules) in game_users(secrets, is_cluster) {
        text.push_str(&format!("user {user} {}\n", rules.join(" ")));
    }
    text
}

fn apply_passwords(secrets: &Secrets) -> Vec<String> {
    secrets.known().map(|known| hashed(&known.redis_apply)).collect()
}

/// The users of the games, each with its rules.
fn game_users(secrets: &Secrets, is_cluster: bool) -> Vec<(String, Vec<String>)> {
    let of = |known: &Secrets| {
        let users = known.games.iter();
        let users = users.map(|(game, own)| (known.redis_user(game), rules(game, &own.redis, is_cluster)));
        users.collect::<Vec<_>>()
    };
    secrets.known().flat_map(of).collect()
}

fn rules(game: &GameId, password: &Secret, is_cluster: bool) -> Vec<String> {
    let own = [
        "on".to_owned(),
        hashed(password),
        format!("~game:{game}:*"),
        format!("&game:{game}:*"),
    ];
    let more = if is_cluster { CLUSTER_RULES } else { "" };
    own.into_iter()
        .chain(GAME_RULES.split_whitespace().map(str::to_owned))
        .chain(more.split_whitespace().map(str::to_owned))
        .collect()
}

/// Redis' form of a password that need not be kept as it is.
fn hashed(password: &Secret) -> String {
    let digest = Sha256::digest(password.expose().as_bytes());
    digest
        .iter()
        .fold(String::from("#"), |text, byte| text + &format!("{byte:02x}"))
}

/// One line of the configuration each for what makes a server a node of a cluster. Its users must know [`NODE_USER`].
pub(crate) fn node_config(secrets: &Secrets) -> String {
    format!(
        "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 2000\n\
         cluster-require-full-coverage no\ncluster-replica-validity-factor 0\nrepl-diskless-sync yes\n\
         repl-diskless-sync-delay 0\nmasteruser {NODE_USER}\nmasterauth {}\n",
        secrets.nodes.expose()
    )
}

/// Each node of its address by itself.
fn nodes(owner: &Admin<RedisAccess>) -> impl Iterator<Item = Admin<RedisAccess>> + '_ {
    owner.access.address.split(',').map(|address| {
        let mut node = owner.clone();
        address.clone_into(&mut node.access.address);
        node
    })
}

/// Asks whether it answers.
pub(crate) async fn ping(owner: &Admin<RedisAccess>) -> Result<(), DeployError> {
    for node in nodes(owner) {
        let mut connection = connect(&node).await?;
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await
            .map_err(DeployError::redis("ask for a sign of life"))?;
    }
    Ok(())
}

/// Forgets all that it holds, as a Redis does that is started again.
pub(crate) async fn empty(owner: &Admin<RedisAccess>) -> Result<(), DeployError> {
    for node in nodes(owner) {
        let mut connection = connect(&node).await?;
        let role: Vec<redis::Value> = redis::cmd("ROLE")
            .query_async(&mut connection)
            .await
            .map_err(DeployError::redis("ask for its role"))?;
        // What follows another is emptied by it.
        if role.first() == Some(&redis::Value::BulkString(b"master".to_vec())) {
            redis::cmd("FLUSHALL")
                .query_async::<()>(&mut connection)
                .await
                .map_err(DeployError::redis("empty it"))?;
        }
    }
    Ok(())
}

/// Makes its users those of the games, without disturbing who is connected as one of them, and has it keep them in its file.
/// Where former passwords end, whoever else came in as the first user is thrown out.
pub(crate) async fn apply_users(
    owner: &Admin<RedisAccess>,
    secrets: &Secrets,
    ends_admins: bool,
) -> Result<(), DeployError> {
    for mut connection in set_users(owner, secrets, ends_admins).await? {
        let mut save = redis::cmd("ACL");
        save.arg("SAVE")
            .query_async::<()>(&mut connection)
            .await
            .map_err(DeployError::redis("keep its users"))?;
    }
    Ok(())
}

/// As [`apply_users`], for a Redis that reads them from a file which it may not write.
pub(crate) async fn set_users(
    owner: &Admin<RedisAccess>,
    secrets: &Secrets,
    ends_admins: bool,
) -> Result<Vec<MultiplexedConnection>, DeployError> {
    let mut connections = Vec::new();
    for node in nodes(owner) {
        let mut connection = connect(&node).await?;
        set_users_of(&mut connection, secrets, is_cluster(&owner.access.address)).await?;
        if ends_admins {
            let mut end = redis::cmd("CLIENT");
            end.arg("KILL").arg("USER").arg(APPLY_USER).arg("SKIPME").arg("yes");
            end.query_async::<()>(&mut connection)
                .await
                .map_err(DeployError::redis("end other connections"))?;
        }
        connections.push(connection);
    }
    Ok(connections)
}

async fn set_users_of(
    connection: &mut MultiplexedConnection,
    secrets: &Secrets,
    is_cluster: bool,
) -> Result<(), DeployError> {
    let mut acl = redis::cmd("ACL");
    let known: Vec<String> = acl
        .arg("USERS")
        .query_async(connection)
        .await
        .map_err(DeployError::redis("list users"))?;
    let users = game_users(secrets, is_cluster);
    let games = users
        .iter()
        .map(|(user, rules)| (user.as_str(), "reset", rules.clone()));
    for (user, first, rules) in [(APPLY_USER, "resetpass", apply_passwords(secrets))]
        .into_iter()
        .chain(games)
    {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg(user).arg(first).arg(rules);
        set.query_async::<()>(connection)
            .await
            .map_err(DeployError::redis("set a user"))?;
    }
    // Who is connected as one that goes is thrown out.
    let is_ours =
        |name: &str| ["default", APPLY_USER, NODE_USER].contains(&name) || users.iter().any(|(user, _)| user == name);
    for name in known.iter().filter(|name| !is_ours(name)) {
        let mut remove = redis::cmd("ACL");
        remove.arg("DELUSER").arg(name);
        remove
            .query_async::<()>(connection)
            .await
            .map_err(DeployError::redis("remove a user"))?;
    }
    Ok(())
}

/// Connects, with the former password where the new one is not known there yet.
async fn connect(admin: &Admin<RedisAccess>) -> Result<MultiplexedConnection, DeployError> {
    let is_refused = |fault: &redis::RedisError| fault.kind() == redis::ErrorKind::AuthenticationFailed;
    let outcome = connect_with(&admin.access, &admin.access.password).await;
    let outcome = match (outcome, &admin.former) {
        (Err(fault), Some(former)) if is_refused(&fault) => connect_with(&admin.access, former).await,
        (outcome, _) => outcome,
    };
    outcome.map_err(DeployError::redis("connect"))
}

async fn connect_with(access: &RedisAccess, password: &Secret) -> Result<MultiplexedConnection, redis::RedisError> {
    let login = RedisConnectionInfo::default()
        .set_username(&access.user)
        .set_password(password.expose());
    let address = match (access.address.strip_prefix("unix:"), access.address.rsplit_once(':')) {
        (Some(socket), _) => ConnectionAddr::Unix(socket.into()),
        (None, Some((host, port))) => ConnectionAddr::Tcp(host.to_owned(), port.parse().unwrap_or_default()),
        (None, None) => ConnectionAddr::Tcp(access.address.clone(), PORT),
    };
    let info: ConnectionInfo = address.into_connection_info()?;
    let client = Client::open(info.set_redis_settings(login))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    client.get_multiplexed_async_connection_with_config(&config).await
}
