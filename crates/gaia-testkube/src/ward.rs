//! What one cluster starts, and how all of it ends.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// Ends everything when the test process ends.
const WATCHDOG: &str = include_str!("watchdog.sh");

/// A folder and the processes that run in it. Dropping it ends them and removes it, and so does the end of the test
/// process, even by a kill.
pub(crate) struct Ward {
    folder: PathBuf,
    watchdog: Child,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// All of them are in one process group: the first one's.
    group: Option<i32>,
    children: BTreeMap<String, Child>,
}

impl Ward {
    /// An empty folder with a short path, because Unix sockets allow about a hundred bytes. Others may pass through it,
    /// because pods do not all run as root.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gaia-kube-")
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir_in("/tmp")
            .expect("a folder in /tmp")
            .keep();
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "gaia-kube-watchdog"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal must reach the tests and not this.
            .process_group(0)
            .spawn()
            .expect("sh is there");
        Self {
            folder,
            watchdog,
            running: Mutex::default(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a child wrote.
    pub(crate) fn log_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Starts a child in the folder, with what it writes in `<name>.log`.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> u32 {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let log = File::options().create(true).append(true).open(self.log_of(name));
        let log = log.expect("a log can be written");
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log)
            .process_group(running.group.unwrap_or(0))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let pid = child.id();
        if running.group.is_none() {
            running.group = Some(i32::try_from(pid).expect("a pid fits"));
            let mut watchdog = self.watchdog.stdin.as_ref().expect("its input is piped");
            writeln!(watchdog, "{pid}").expect("the watchdog listens");
        }
        running.children.insert(name.to_owned(), child);
        pid
    }

    /// Kills a child and waits for its end.
    pub(crate) fn kill(&self, name: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = running.children.remove(name) {
            end(&mut child);
        }
    }

    /// Panics with a child's last words if one has ended by itself.
    pub(crate) fn must_run(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, child) in &mut running.children {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{name} ended ({status}); its last words:\n{}", self.last_words(name));
            }
        }
    }

    fn last_words(&self, name: &str) -> String {
        let log = fs::read_to_string(self.log_of(name)).unwrap_or_default();
        let from = log.lines().count().saturating_sub(15);
        log.lines().skip(from).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        for child in running.children.values_mut() {
            end(child);
        }
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

/// Killing what has ended already is no error worth a word.
fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}
