//! The folders of three stores, and the OS user that the stores run as.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::files;
use crate::{DeployError, home::fits_a_socket, stores::addresses::Addresses};

/// A user of the operating system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OsUser {
    /// The name.
    pub(crate) name: String,
    /// The user's number.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
}

impl OsUser {
    /// Whom the stores run as: nobody in particular (the user of this process) unless that is root, which Postgres
    /// refuses; then `postgres`, which Debian's package makes, else `nobody`.
    pub(crate) fn for_stores() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::find(&passwd, "postgres").or_else(|| Self::find(&passwd, "nobody"))
    }

    fn find(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self {
            name: name.to_owned(),
            uid,
            gid,
        })
    }
}

/// Where three stores keep what they have: a cluster's folder, or a test's.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: PathBuf,
    /// Whom the stores run as; none for the user of this process.
    pub(crate) user: Option<OsUser>,
}

impl Place {
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            user: OsUser::for_stores(),
        }
    }

    /// The paths alone, for what is only compared or reached.
    pub(crate) fn paths(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            user: None,
        }
    }

    /// Postgres' folder: its socket, and below it the data.
    pub(crate) fn postgres(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub(crate) fn postgres_data(&self) -> PathBuf {
        self.postgres().join("data")
    }

    pub(crate) fn redis(&self) -> PathBuf {
        self.root.join("redis")
    }

    pub(crate) fn redis_socket(&self) -> PathBuf {
        self.redis().join("redis.sock")
    }

    pub(crate) fn nats(&self) -> PathBuf {
        self.root.join("nats")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Where the stores of the place answer, NATS on a port of loopback.
    pub(crate) fn addresses(&self, nats_port: u16) -> Addresses {
        Addresses {
            postgres: self.postgres().display().to_string(),
            redis: format!("unix:{}", self.redis_socket().display()),
            nats: format!("127.0.0.1:{nats_port}"),
        }
    }

    /// Refuses a place where the stores could not work, before anything is made.
    pub(crate) fn check(&self) -> Result<(), DeployError> {
        let text = self.root.to_str().unwrap_or("\0");
        if text.contains(|c: char| c.is_control() || "'\"\\,".contains(c)) {
            let shown = text.escape_debug();
            let why = "is not fit for the stores' config files: it holds a quote, a comma, a backslash or no text";
            return Err(DeployError::Input(format!(
                "the folder {shown} {why}; set GAIA_HOME to another folder"
            )));
        }
        fits_a_socket(self.postgres().join(".s.PGSQL.5432"))?;
        fits_a_socket(self.redis_socket())?;
        Ok(())
    }

    /// Makes the stores' folders, and refuses a place where the stores could not work.
    pub(crate) fn prepare(&self) -> Result<(), DeployError> {
        self.check()?;
        // Only who may list a folder learns what is in it; passing through shows nothing.
        files::make_folder(&self.root, if self.user.is_some() { 0o711 } else { 0o700 }, None)?;
        if let Some(user) = &self.user {
            may_enter(&self.root, user)?;
        }
        files::make_folder(&self.logs(), 0o700, None)?;
        for folder in [self.postgres(), self.redis(), self.nats()] {
            files::make_folder(&folder, 0o700, self.user.as_ref())?;
        }
        Ok(())
    }
}

/// Refuses a folder that the stores' user could not reach.
fn may_enter(folder: &Path, user: &OsUser) -> Result<(), DeployError> {
    for part in folder.ancestors() {
        let found = fs::metadata(part).map_err(DeployError::file("look at", part))?;
        let bit = match () {
            () if found.uid() == user.uid => 0o100,
            () if found.gid() == user.gid => 0o010,
            () => 0o001,
        };
        if found.permissions().mode() & bit == 0 {
            return Err(DeployError::Untraversable {
                folder: part.to_owned(),
                user: user.name.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "postgresql:x:1:2::/:/bin/sh\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let found = OsUser::find(passwd, "postgres");
        assert_eq!(
            found,
            Some(OsUser {
                name: "postgres".into(),
                uid: 101,
                gid: 104
            })
        );
        assert_eq!(OsUser::find(passwd, "nobody"), None);
    }
}
