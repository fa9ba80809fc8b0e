//! Whom Redis (or Valkey) knows: one user per game, on its own keys alone.

use std::time::Duration;

use gaia_names::{GameId, Secret};
use gaia_protocol::settings::RedisAccess;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    aio::MultiplexedConnection,
};
use sha2::{Digest, Sha256};

use crate::{DeployError, blueprint::digest_bytes, secrets::Secrets};

/// Where it listens.
pub(crate) const PORT: u16 = 6379;
/// The user that makes the others.
pub(crate) const APPLY_USER: &str = "gaia_apply";

/// What a game may do with its own keys. Nothing here works on keys that it does not name, so the key pattern holds;
/// Redis checks what a script does against the same rules.
const GAME_RULES: &str = "-@all +get +set +setex +getdel +getex +del +unlink +exists +expire +pexpire +expireat +persist \
     +ttl +pttl +type +incr +incrby +decr +decrby +append +strlen +mget +mset +setnx +setrange +getrange +lrange +rpush \
     +lpush +rpop +lpop +ltrim +llen +lindex +hget +hset +hsetnx +hdel +hgetall +hmget +hexists +hincrby +hlen +hkeys \
     +hvals +sadd +srem +smembers +sismember +scard +zadd +zrem +zrange +zrangebyscore +zremrangebyscore \
     +zremrangebyrank +zcard +zcount +zscore +zincrby +eval +evalsha +script|load +publish +subscribe +unsubscribe +ping \
     +time +multi +exec +discard +watch +unwatch +hello +auth +reset +quit \
     +client|setname +client|id";

/// The digest of who its users are, secrets apart.
pub(crate) fn users_digest<'a>(games: impl Iterator<Item = &'a GameId>) -> String {
    let games: Vec<&str> = games.map(GameId::as_str).collect();
    digest_bytes(format!("{GAME_RULES} {}", games.join(" ")).as_bytes())
}

pub(crate) fn users(secrets: &Secrets) -> String {
    let mut text = format!(
        "user default off resetkeys resetchannels -@all\nuser {APPLY_USER} on {} ~* &* +@all\n",
        hashed(&secrets.redis_apply)
    );
    for (game, own) in &secrets.games {
        text.push_str(&format!("user {game} {}\n", rules(game, &own.redis).join(" ")));
    }
    text
}

fn rules(game: &GameId, password: &Secret) -> Vec<String> {
    let own = [
        "on".to_owned(),
        hashed(password),
        format!("~game:{game}:*"),
        format!("&game:{game}:*"),
    ];
    own.into_iter()
        .chain(GAME_RULES.split_whitespace().map(str::to_owned))
        .collect()
}

/// Redis' form of a password that need not be kept as it is.
fn hashed(password: &Secret) -> String {
    let digest = Sha256::digest(password.expose().as_bytes());
    digest
        .iter()
        .fold(String::from("#"), |text, byte| text + &format!("{byte:02x}"))
}

/// Asks whether it answers.
pub(crate) async fn ping(owner: &RedisAccess) -> Result<(), DeployError> {
    let mut connection = connect(owner).await?;
    redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .map_err(DeployError::redis("ask for a sign of life"))
}

/// Makes its users those of the games, without disturbing who is connected, and has it keep them in its file.
pub(crate) async fn apply_users(owner: &RedisAccess, secrets: &Secrets) -> Result<(), DeployError> {
    let mut connection = set_users(owner, secrets).await?;
    let mut save = redis::cmd("ACL");
    save.arg("SAVE")
        .query_async::<()>(&mut connection)
        .await
        .map_err(DeployError::redis("keep its users"))
}

/// As [`apply_users`], for a Redis that reads them from a file which it may not write.
pub(crate) async fn set_users(owner: &RedisAccess, secrets: &Secrets) -> Result<MultiplexedConnection, DeployError> {
    let mut connection = connect(owner).await?;
    let mut acl = redis::cmd("ACL");
    let known: Vec<String> = acl
        .arg("USERS")
        .query_async(&mut connection)
        .await
        .map_err(DeployError::redis("list users"))?;
    for (game, own) in &secrets.games {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER")
            .arg(game.as_str())
            .arg("reset")
            .arg(rules(game, &own.redis));
        set.query_async::<()>(&mut connection)
            .await
            .map_err(DeployError::redis("set a user"))?;
    }
    let is_ours =
        |name: &str| name == "default" || name == APPLY_USER || secrets.games.keys().any(|game| game.as_str() == name);
    for name in known.iter().filter(|name| !is_ours(name)) {
        let mut remove = redis::cmd("ACL");
        remove.arg("DELUSER").arg(name);
        remove
            .query_async::<()>(&mut connection)
            .await
            .map_err(DeployError::redis("remove a user"))?;
    }
    Ok(connection)
}

async fn connect(access: &RedisAccess) -> Result<MultiplexedConnection, DeployError> {
    let failed = DeployError::redis("connect");
    let login = RedisConnectionInfo::default()
        .set_username(&access.user)
        .set_password(access.password.expose());
    let address = match (access.address.strip_prefix("unix:"), access.address.rsplit_once(':')) {
        (Some(socket), _) => ConnectionAddr::Unix(socket.into()),
        (None, Some((host, port))) => ConnectionAddr::Tcp(host.to_owned(), port.parse().unwrap_or_default()),
        (None, None) => ConnectionAddr::Tcp(access.address.clone(), PORT),
    };
    let info: ConnectionInfo = address.into_connection_info().map_err(DeployError::redis("connect"))?;
    let client = Client::open(info.set_redis_settings(login)).map_err(failed)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(DeployError::redis("connect"))
}
