//! A private Redis (or Valkey): a Unix socket, and no files but its users'.

use std::path::PathBuf;

use super::{
    files,
    place::Place,
    processes::{Ending, Kind, ProcessSpec, find_program},
    secrets::Secrets,
};
use crate::{DeployError, blueprint::digest_bytes, stores::redis::users};

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
    files::write(
        &place.redis().join("users.acl"),
        users(secrets, false).as_bytes(),
        0o600,
        user,
    )
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
