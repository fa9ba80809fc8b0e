//! Where everything that Gaia keeps on a machine lies.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use gaia_kubernetes::Kubernetes;
use gaia_names::{ClusterName, GameId, Target};
use serde::{Deserialize, Serialize};

use crate::{DeployError, files, record::Record, targets::kubernetes::inventory::Inventory};

/// The longest path that is surely fit for a Unix socket, in bytes.
const LONGEST_SOCKET_PATH: usize = 100;

/// The folder with everything that Gaia keeps on this machine: `$GAIA_HOME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
    asked: Asked,
}

/// Where somebody says that a cluster is, or is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The target: a cluster that is on another one is an error.
    pub target: Option<Target>,
    /// The target of a cluster that is not there yet, where nothing else is said.
    pub usual: Option<Target>,
    /// The context of the kubeconfig, on Kubernetes.
    pub context: Option<String>,
}

/// Where a cluster on Kubernetes is, as its folder on this machine says. All else is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    context: String,
}

impl Home {
    /// The home at a path. A relative one is taken from the current folder. Nothing is created.
    ///
    /// # Errors
    ///
    /// If the current folder is gone.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, DeployError> {
        let path = path.as_ref();
        std::path::absolute(path)
            .map(|path| Self {
                path,
                asked: Asked::default(),
            })
            .map_err(DeployError::file("find", path))
    }

    /// Where home is when nobody says otherwise: `/var/lib/gaia` for root, else `$XDG_STATE_HOME/gaia`, else
    /// `~/.local/state/gaia`. None if an ordinary user has no home folder.
    #[must_use]
    pub fn usual(is_root: bool, xdg_state_home: Option<&Path>, user_home: Option<&Path>) -> Option<PathBuf> {
        if is_root {
            return Some(PathBuf::from("/var/lib/gaia"));
        }
        let state = xdg_state_home.filter(|path| path.is_absolute()).map(Path::to_owned);
        state
            .or_else(|| user_home.map(|home| home.join(".local/state")))
            .map(|state| state.join("gaia"))
    }

    /// The same home, where somebody says on which target clusters are.
    #[must_use]
    pub fn asked(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where clusters are, or are to be, as far as somebody says so.
    #[must_use]
    pub fn asked_target(&self) -> Option<Target> {
        self.asked.target.or(self.asked.usual)
    }

    /// The API server that somebody names, or the usual one.
    pub(crate) async fn kubernetes(&self) -> Result<Kubernetes, DeployError> {
        Ok(Kubernetes::connect(None, self.asked.context.as_deref()).await?)
    }

    /// Where a cluster is; where it is not there yet, what was asked for, else this machine.
    ///
    /// # Errors
    ///
    /// If it is somewhere else than was asked for.
    pub fn target_of(&self, cluster: &ClusterName) -> Result<Target, DeployError> {
        let folder = self.cluster(cluster);
        let found = match folder.pointer().exists() {
            true => Some(Target::Kubernetes),
            // One that cannot be read is shown as such by whoever looks at the cluster.
            false => Record::read(&folder).ok().flatten().map(|record| record.target),
        };
        match (found, self.asked.target) {
            (Some(found), Some(wanted)) if found != wanted => Err(DeployError::Elsewhere {
                cluster: cluster.clone(),
                found,
                wanted,
            }),
            (found, asked) => Ok(found.or(asked).or(self.asked.usual).unwrap_or(Target::Local)),
        }
    }

    /// The namespace of a cluster on Kubernetes.
    pub(crate) async fn inventory(&self, cluster: &ClusterName) -> Result<Inventory, DeployError> {
        let pointer: Option<Pointer> = files::read_json(&self.cluster(cluster).pointer(), "where a cluster is")?;
        let context = self.asked.context.clone().or(pointer.map(|pointer| pointer.context));
        Ok(Inventory {
            kubernetes: Kubernetes::connect(None, context.as_deref()).await?,
            cluster: cluster.clone(),
        })
    }

    /// Notes on this machine where a cluster on Kubernetes is.
    pub(crate) fn point_to(&self, inventory: &Inventory) -> Result<(), DeployError> {
        let folder = self.cluster(&inventory.cluster);
        files::make_folder(folder.path(), 0o700, None)?;
        let pointer = Pointer {
            context: inventory.kubernetes.context.clone(),
        };
        files::write_json(&folder.pointer(), &pointer, 0o600)
    }

    /// One cluster's folder, whether it exists or not.
    #[must_use]
    pub fn cluster(&self, name: &ClusterName) -> ClusterFolder {
        ClusterFolder {
            root: self.path.join("clusters").join(name.as_str()),
            name: name.clone(),
        }
    }

    /// The clusters that have a folder here, by name.
    ///
    /// # Errors
    ///
    /// If the folder is there and cannot be read.
    pub fn clusters(&self) -> Result<Vec<ClusterName>, DeployError> {
        let folder = self.path.join("clusters");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(DeployError::File {
                    doing: "read",
                    path: folder,
                    source,
                });
            }
        };
        let mut names: Vec<ClusterName> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Where the lock of a cluster lies: outside its folder, so that it outlasts a destroy.
    pub(crate) fn lock(&self, name: &ClusterName) -> PathBuf {
        self.path.join("locks").join(format!("{name}.lock"))
    }
}

/// One cluster's folder: `<home>/clusters/<cluster>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFolder {
    root: PathBuf,
    name: ClusterName,
}

impl ClusterFolder {
    /// The cluster folder at a path, whose last part is the cluster's name.
    ///
    /// # Errors
    ///
    /// If the last part is not a cluster's name.
    pub fn at(path: &Path) -> Result<Self, DeployError> {
        let root = std::path::absolute(path).map_err(DeployError::file("find", path))?;
        let last = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = last
            .parse()
            .map_err(|fault| DeployError::Input(format!("{}: {fault}", path.display())))?;
        Ok(Self { root, name })
    }

    /// Which cluster.
    #[must_use]
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The logs: one `<process>.log` for each process, the one before as `<process>.log.1`.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The log of one process: `postgres`, `chat-1`, `supervisor`.
    #[must_use]
    pub fn log(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    /// Where a game's bundle lies, as services boot with it.
    #[must_use]
    pub fn bundle(&self, game: &GameId) -> PathBuf {
        self.root.join("bundles").join(format!("{game}.json"))
    }

    /// The settings of one instance of a service.
    #[must_use]
    pub fn settings(&self, instance: &str) -> PathBuf {
        self.root.join("services").join(format!("{instance}.json"))
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    /// Says that the cluster is on Kubernetes, and where.
    pub(crate) fn pointer(&self) -> PathBuf {
        self.root.join("kubernetes.json")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets.json")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    pub(crate) fn desired(&self) -> PathBuf {
        self.run().join("desired.json")
    }

    pub(crate) fn observed(&self) -> PathBuf {
        self.run().join("observed.json")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    pub(crate) fn supervisor_lock(&self) -> PathBuf {
        self.run().join("supervisor.lock")
    }
}

/// Refuses a path that is too long for a Unix socket.
pub(crate) fn fits_a_socket(path: PathBuf) -> Result<PathBuf, DeployError> {
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        Err(DeployError::SocketPath { path, length })
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_where_the_system_keeps_state() {
        let usual = |root, xdg: Option<&str>| Home::usual(root, xdg.map(Path::new), Some(Path::new("/home/ada")));
        assert_eq!(usual(true, None), Some("/var/lib/gaia".into()));
        assert_eq!(usual(false, None), Some("/home/ada/.local/state/gaia".into()));
        assert_eq!(usual(false, Some("/state")), Some("/state/gaia".into()));
        assert_eq!(
            usual(false, Some("relative")),
            Some("/home/ada/.local/state/gaia".into())
        );
    }

    #[test]
    fn a_socket_path_that_is_too_long_names_gaia_home() {
        let fault = fits_a_socket(PathBuf::from(format!("/{}", "a".repeat(100))))
            .unwrap_err()
            .to_string();
        assert!(fault.contains("101 bytes") && fault.contains("GAIA_HOME"), "{fault}");
    }
}
