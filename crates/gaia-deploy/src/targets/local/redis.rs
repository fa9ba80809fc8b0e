//! A private Redis (or Valkey): a Unix socket, no files but its users', and one user per game.

use std::{path::PathBuf, time::Duration};

use gaia_names::{GameId, Secret};
use gaia_protocol::settings::RedisAccess;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, aio::MultiplexedConnection};
use sha2::{Digest, Sha256};

use super::{
    files,
    place::Place,
    processes::{Ending, Kind, ProcessSpec, find_program},
    secrets::Secrets,
};
use crate::{DeployError, blueprint::digest_bytes};

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

pub(crate) fn program() -> Result<PathBuf, DeployError> {
    let found = find_program("redis-server", &[]).or_else(|| find_program("valkey-server", &[]));
    found.ok_or_else(|| DeployError::Missing {
        what: "redis-server".to_owned(),
        fix: "install Redis 7 or Valkey 8: `apt-get install redis-server`".to_owned(),
    })
}

/// Its configuration. Redis is a cache here and may forget, so it writes nothing; it may not evict, because some of
/// what it holds (who is signed out) must not go while other things stay.
pub(crate) fn config(place: &Place) -> String {
    format!(
        "port 0\nunixsocket \"{socket}\"\nunixsocketperm 700\ndir \"{folder}\"\naclfile \"{folder}/users.acl\"\nsave \"\"\n\
         appendonly no\nmaxmemory 256mb\nmaxmemory-policy noeviction\nmaxclients 2000\ndaemonize no\n\
         protected-mode yes\ntimeout 0\ntcp-keepalive 60\nloglevel notice\nset-proc-title no\n",
        socket = place.redis_socket().display(),
        folder = place.redis().display(),
    )
}

/// Writes what it reads when it starts.
pub(crate) fn write_files(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    let user = place.user.as_ref();
    files::write(&place.redis().join("redis.conf"), config(place).as_bytes(), 0o600, user)?;
    files::write(&place.redis().join("users.acl"), users(secrets).as_bytes(), 0o600, user)
}

pub(crate) fn spec(place: &Place) -> Result<ProcessSpec, DeployError> {
    Ok(ProcessSpec {
        name: "redis".to_owned(),
        kind: Kind::Store,
        program: program()?,
        args: vec![place.redis().join("redis.conf").display().to_string()],
        folder: place.redis(),
        user: place.user.clone(),
        ending: Ending::Term,
        grace_ms: 5_000,
        revision: revision(place),
    })
}

/// The digest of what it reads only when it starts.
pub(crate) fn revision(place: &Place) -> String {
    digest_bytes(config(place).as_bytes())
}

/// The digest of who its users are, secrets apart.
pub(crate) fn users_digest<'a>(games: impl Iterator<Item = &'a GameId>) -> String {
    let games: Vec<&str> = games.map(GameId::as_str).collect();
    digest_bytes(format!("{GAME_RULES} {}", games.join(" ")).as_bytes())
}

fn users(secrets: &Secrets) -> String {
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

/// How a game's services reach it.
pub(crate) fn access(place: &Place, game: &GameId, password: &Secret) -> RedisAccess {
    let address = format!("unix:{}", place.redis_socket().display());
    RedisAccess {
        address,
        user: game.to_string(),
        password: password.clone(),
    }
}

/// How apply reaches it.
pub(crate) fn apply_access(place: &Place, secrets: &Secrets) -> RedisAccess {
    let address = format!("unix:{}", place.redis_socket().display());
    RedisAccess {
        address,
        user: APPLY_USER.to_owned(),
        password: secrets.redis_apply.clone(),
    }
}

/// Asks whether it answers.
pub(crate) async fn ping(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    let mut connection = connect(place, secrets).await?;
    redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .map_err(DeployError::redis("ask for a sign of life"))
}

/// Makes its users those of the games, without disturbing who is connected.
pub(crate) async fn apply_users(place: &Place, secrets: &Secrets) -> Result<(), DeployError> {
    let mut connection = connect(place, secrets).await?;
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
    let mut save = redis::cmd("ACL");
    save.arg("SAVE")
        .query_async::<()>(&mut connection)
        .await
        .map_err(DeployError::redis("keep its users"))
}

async fn connect(place: &Place, secrets: &Secrets) -> Result<MultiplexedConnection, DeployError> {
    let login = RedisConnectionInfo::default()
        .set_username(APPLY_USER)
        .set_password(secrets.redis_apply.expose());
    let address = redis::ConnectionAddr::Unix(place.redis_socket());
    let info: ConnectionInfo = address.into_connection_info().map_err(DeployError::redis("connect"))?;
    let client = Client::open(info.set_redis_settings(login)).map_err(DeployError::redis("connect"))?;
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(DeployError::redis("connect"))
}
