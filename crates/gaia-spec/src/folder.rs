//! The files of a game's folder, read with limits.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::fault::{Fault, Faults, Findings, Place, nearest, shown};

/// The longest `config.yaml`, in bytes.
const LONGEST_CONFIG: u64 = 256 << 10;
/// The longest file of a persona, in bytes.
const LONGEST_PERSONA: u64 = 256 << 10;
/// The most that the files of all personas may hold together, in bytes: with what the bundle adds it stays below the
/// 8 MiB that a cluster takes.
const LONGEST_PERSONAS: usize = 6 << 20;
/// The most files of personas.
const MOST_PERSONAS: usize = 64;
/// The most entries of `personas/` that are looked at.
const MOST_ENTRIES: usize = 1000;

/// What was found in the folder.
pub(crate) struct Sources {
    /// The folder's name.
    pub(crate) name: String,
    /// The folder, as messages name it.
    pub(crate) folder: String,
    pub(crate) config: Option<Source>,
    /// What was accepted of the tools.
    pub(crate) lock: Option<Source>,
    /// By name.
    pub(crate) personas: Vec<Source>,
    /// What is wrong with the files as files.
    pub(crate) faults: Vec<Fault>,
}

/// A file.
pub(crate) struct Source {
    /// As messages name it.
    pub(crate) file: String,
    /// Its name without `.md` or `.yaml`.
    pub(crate) name: String,
    /// What stands in it; `None` where that cannot be read, which has been reported.
    pub(crate) text: Option<String>,
}

/// Reads the folder. `Err` means that there is nothing to check.
pub(crate) fn read(folder: &Path) -> Result<Sources, Faults> {
    let refuse = |message: String, help: Option<String>| {
        let mut findings = Findings::of(folder.display().to_string());
        let fault = findings.error(Place::START, message);
        fault.help = help;
        Faults::sorted(vec![fault.clone()])
    };
    let root = folder.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse("there is no such folder".to_owned(), neighbour_of(folder)),
        _ => refuse(format!("the folder cannot be read: {error}"), None),
    })?;
    if !root.is_dir() {
        return Err(refuse(
            "this is not a folder".to_owned(),
            Some("name the folder that holds config.yaml".to_owned()),
        ));
    }
    let name = folder
        .file_name()
        .or(root.file_name())
        .map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let mut reader = Reader {
        folder,
        root: &root,
        faults: Vec::new(),
    };
    let config = reader.config();
    let lock = folder.join("tools.lock");
    let lock = fs::symlink_metadata(&lock)
        .is_ok()
        .then(|| reader.source(&lock, "tools", LONGEST_CONFIG));
    let personas = reader.personas();
    Ok(Sources {
        name,
        folder: folder.display().to_string(),
        config,
        lock,
        personas,
        faults: reader.faults,
    })
}

/// A folder beside the missing one that is called almost like it.
fn neighbour_of(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder.parent()?).ok()?.take(MOST_ENTRIES).flatten();
    let names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let nearest = nearest(&folder.file_name()?.to_string_lossy(), names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", folder.with_file_name(nearest).display()))
}

struct Reader<'a> {
    folder: &'a Path,
    root: &'a Path,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn config(&mut self) -> Option<Source> {
        let path = self.folder.join("config.yaml");
        if fs::symlink_metadata(&path).is_ok() {
            return Some(self.source(&path, "config", LONGEST_CONFIG));
        }
        if fs::symlink_metadata(path.with_extension("yml")).is_ok() {
            self.error(
                &path.with_extension("yml"),
                Place::START,
                "the config must be called `config.yaml`",
                "rename it",
            );
        }
        None
    }

    fn personas(&mut self) -> Vec<Source> {
        let folder = self.folder.join("personas");
        if fs::symlink_metadata(&folder).is_err() {
            return Vec::new();
        }
        if !folder
            .canonicalize()
            .is_ok_and(|real| real.starts_with(self.root) && real.is_dir())
        {
            self.error(
                &folder,
                Place::START,
                "this must be a folder inside the game's folder",
                "put the personas into it",
            );
            return Vec::new();
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.error(
                    &folder,
                    Place::START,
                    &format!("the folder cannot be read: {error}"),
                    "look at its permissions",
                );
                return Vec::new();
            }
        };
        let mut paths: Vec<_> = entries
            .take(MOST_ENTRIES + 1)
            .flatten()
            .map(|entry| entry.path())
            .collect();
        let has_more = paths.len() > MOST_ENTRIES;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        paths.sort();
        if has_more || paths.len() > MOST_PERSONAS {
            let message = format!("there are more than {MOST_PERSONAS} personas or {MOST_ENTRIES} files here");
            self.error(
                &folder,
                Place::START,
                &message,
                "keep the others outside the game's folder",
            );
            return Vec::new();
        }
        let personas: Vec<_> = paths
            .iter()
            .map(|path| self.source(path, &stem_of(path), LONGEST_PERSONA))
            .collect();
        let bytes: usize = personas
            .iter()
            .filter_map(|persona| persona.text.as_ref().map(String::len))
            .sum();
        if bytes > LONGEST_PERSONAS {
            let message = format!("the personas are larger than {} MiB together", LONGEST_PERSONAS >> 20);
            self.error(&folder, Place::START, &message, "make them shorter, or have fewer");
        }
        personas
    }

    fn source(&mut self, path: &Path, name: &str, longest: u64) -> Source {
        Source {
            file: shown_path(path),
            name: name.to_owned(),
            text: self.text(path, longest),
        }
    }

    fn text(&mut self, path: &Path, longest: u64) -> Option<String> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                return self.refuse(
                    path,
                    &format!("the file cannot be read: {error}"),
                    "look at its link and permissions",
                );
            }
        };
        if !real.starts_with(self.root) {
            return self.refuse(
                path,
                "this link leads out of the game's folder",
                "put the file itself here",
            );
        }
        if !real.is_file() {
            return self.refuse(path, "this is not a file", "put a file here");
        }
        let mut bytes = Vec::new();
        if let Err(error) = File::open(&real).and_then(|file| file.take(longest + 1).read_to_end(&mut bytes)) {
            return self.refuse(
                path,
                &format!("the file cannot be read: {error}"),
                "look at its permissions",
            );
        }
        if bytes.len() as u64 > longest {
            return self.refuse(
                path,
                &format!("the file is larger than {} KiB", longest >> 10),
                "make it shorter",
            );
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
                self.error(
                    path,
                    end_of(&good),
                    "the file is not UTF-8 from here on",
                    "save it as UTF-8",
                );
                None
            }
        }
    }

    fn refuse(&mut self, path: &Path, message: &str, help: &str) -> Option<String> {
        self.error(path, Place::START, message, help);
        None
    }

    fn error(&mut self, path: &Path, place: Place, message: &str, help: &str) {
        let mut findings = Findings::of(shown_path(path));
        findings.error(place, message).helping(help);
        self.faults.extend(findings.into_list());
    }
}

fn stem_of(path: &Path) -> String {
    path.file_stem()
        .map_or(String::new(), |stem| stem.to_string_lossy().into_owned())
}

/// A path as messages name it: the folder as it was given, and a name that cannot upset a terminal.
fn shown_path(path: &Path) -> String {
    let name = path
        .file_name()
        .map_or(String::new(), |name| shown(&name.to_string_lossy()));
    path.parent()
        .map_or_else(PathBuf::new, Path::to_path_buf)
        .join(name)
        .display()
        .to_string()
}

/// The place just behind a text.
fn end_of(text: &str) -> Place {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX - 1) + 1;
    let last = text.rsplit('\n').next().unwrap_or_default();
    Place {
        line: number(text.matches('\n').count()),
        column: number(last.chars().count()),
    }
}
