//! Leaves nothing behind, even when the test process is killed.

use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

/// Reads folders until its input ends, which the kernel sees to however this process ends. Then it kills what was
/// started in them, which is known by its command line or by the folder that it stands in, and removes them.
const SCRIPT: &str = r#"
set -f
folders=""
while read -r folder; do folders="$folders $folder"; done
for folder in $folders; do
  for round in 1 2 3; do
    for process in $(ls /proc); do
      case $process in *[!0-9]*) continue;; esac
      [ "$process" = "$$" ] && continue
      line=$(tr '\0' ' ' < "/proc/$process/cmdline" 2>/dev/null) || continue
      place=$(readlink "/proc/$process/cwd" 2>/dev/null)
      case "$line $place/" in *"$folder/"*) kill -9 "$process" 2>/dev/null;; esac
    done
  done
  rm -rf "$folder" 2>/dev/null || { sleep 1; rm -rf "$folder"; }
done
"#;

/// A new empty folder that is removed, with every process that lives in it, when this process ends. Its path is short,
/// because Unix sockets allow about a hundred bytes, and others may pass through it, because Postgres does not run as
/// root.
///
/// # Panics
///
/// Where no folder can be made or the reaper cannot be started.
#[must_use]
pub fn scratch_folder() -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix("gaia-")
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir_in("/tmp")
        .expect("a folder in /tmp")
        .keep();
    watch(&folder);
    folder
}

fn watch(folder: &Path) {
    static REAPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        use std::os::unix::process::CommandExt;
        #[expect(
            clippy::zombie_processes,
            reason = "it ends after this process, which therefore cannot wait for it"
        )]
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal must reach the tests and not this.
            .process_group(0)
            .spawn()
            .expect("sh is there");
        Mutex::new(child.stdin.expect("its input is piped"))
    });
    let mut reaper = reaper.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(reaper, "{}", folder.display()).expect("the reaper listens");
}
