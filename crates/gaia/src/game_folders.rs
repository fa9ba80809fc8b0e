//! From games' folders to what a cluster is drawn up from.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use gaia_deploy::{ClusterInput, GameInput, Needs};
use gaia_names::{ClusterName, Secret, Service, Target};
use gaia_spec::{Checked, Fault, KeyReference, Reference, ToolSecretReference};

use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::{self, Failure},
    verbs::check::counted,
};

/// The longest file with a key, in bytes.
const LONGEST_KEY_FILE: u64 = 64 * 1024;

/// What a cluster is to be like.
#[derive(Args, Debug)]
pub(crate) struct Shape {
    /// The game's folder: games/zombie-survival. Several with --cluster share one cluster
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// The name of a cluster that several games share [default: a cluster of its own, called like the game]
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,
    /// How many instances of a service to run: chat=2, or chat=usual (may be given for each service) [default: what was
    /// asked for before, else as many as usual]
    #[arg(long, value_name = "SERVICE=N", value_parser = instances)]
    replicas: Vec<(Service, Option<u16>)>,
    #[command(flatten)]
    pub(crate) home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// What the folders ask for.
pub(crate) struct Wanted {
    /// What the cluster is drawn up from.
    pub(crate) input: ClusterInput,
    /// How many instances are asked for now; none is the usual number.
    pub(crate) replicas: BTreeMap<Service, Option<u16>>,
    /// What the game's maker should know; nothing of it stops the game.
    pub(crate) warnings: Vec<String>,
}

/// Checks the folders and finds the keys of their routes.
///
/// # Errors
///
/// If a folder has errors, or the folders do not make one cluster.
pub(crate) fn read(shape: &Shape) -> anyhow::Result<Wanted> {
    if shape.folders.len() > 1 && shape.cluster.is_none() {
        return Err(
            Failure::new("several games need a name for the cluster that they share")
                .bad_input()
                .help("add --cluster <name>, or give one folder at a time for clusters of their own")
                .into(),
        );
    }
    let mut games = Vec::new();
    let mut needs: Option<Needs> = None;
    let mut warnings = Vec::new();
    for folder in &shape.folders {
        let checked = check(folder)?;
        warnings.extend(checked.warnings.iter().map(told));
        let own = Needs::of(&checked.game);
        needs = Some(match needs.take() {
            Some(before) => before.with(own),
            None => own,
        });
        let route_keys = keys(&checked.key_references(), &mut warnings);
        games.push(GameInput {
            bundle: checked.bundle(),
            route_keys,
            tool_secrets: tool_secrets(&checked.tool_secret_references(), &mut warnings),
        });
    }
    let own_name = games.first().map(|game| ClusterName::from(&game.bundle.game));
    let (Some(name), Some(needs)) = (shape.cluster.clone().or(own_name), needs) else {
        return Err(Failure::new("no folder was given")
            .bad_input()
            .help("see `gaia help up`")
            .into());
    };
    Ok(Wanted {
        input: ClusterInput {
            name,
            target: shape.home.target.unwrap_or(Target::Local),
            needs,
            games,
            replicas: BTreeMap::new(),
            inference: None,
        },
        replicas: shape.replicas.iter().copied().collect(),
        warnings,
    })
}

pub(crate) fn check(folder: &Path) -> anyhow::Result<Checked> {
    let faults = match gaia_spec::check_folder(folder) {
        Ok(checked) => return Ok(checked),
        Err(faults) => faults,
    };
    let usual = Path::new("games").join(folder);
    let help = if !folder.exists() && usual.is_dir() {
        format!("did you mean {}?", usual.display())
    } else if folder.exists() {
        format!("mend that; `gaia check {}` says when it is good", folder.display())
    } else {
        "give the path of a game's folder; `gaia new <name>` makes one".to_owned()
    };
    let what = format!(
        "{} has {}, so nothing was touched",
        folder.display(),
        counted(faults.errors(), "error")
    );
    Err(Failure::new(what).bad_input().because(faults).help(help).into())
}

/// A warning's text without the word, which is said where it is shown.
pub(crate) fn told(warning: &Fault) -> String {
    warning.to_string().replacen(" warning: ", " ", 1)
}

fn keys(references: &[KeyReference], warnings: &mut Vec<String>) -> BTreeMap<String, Secret> {
    let mut keys = BTreeMap::new();
    for KeyReference { route, reference } in references {
        match key(reference) {
            Ok(key) => {
                keys.insert(route.clone(), key);
            }
            Err(why) => {
                warnings.push(format!(
                    "route `{route}` has no key, so characters answer without it: {why}"
                ));
            }
        }
    }
    keys
}

/// The secrets of tool servers, and a warning for each that is not there.
pub(crate) fn tool_secrets(references: &[ToolSecretReference], warnings: &mut Vec<String>) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    for ToolSecretReference {
        server,
        name,
        reference,
    } in references
    {
        match key(reference) {
            Ok(secret) => drop(secrets.insert(name.clone(), secret)),
            Err(why) => warnings.push(format!(
                "tool server `{server}` has no `{name}`, so characters do without it: {why}"
            )),
        }
    }
    secrets
}

fn key(reference: &Reference) -> Result<Secret, String> {
    let path = match reference {
        Reference::Env(variable) => {
            let help = format!("the variable {variable} is not set here; set it and run `gaia up` again");
            return environment::secret(variable).ok_or(help);
        }
        Reference::File(path) => path,
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_KEY_FILE).read_to_string(&mut text));
    read.map_err(|fault| format!("{} cannot be read: {}", path.display(), failure::chain(&fault)))?;
    match text.trim() {
        "" => Err(format!("{} is empty", path.display())),
        key => Ok(Secret::new(key)),
    }
}

/// A service and how many of it, none being as many as usual.
pub(crate) fn instances(given: &str) -> Result<(Service, Option<u16>), String> {
    let (service, count) = given
        .split_once('=')
        .ok_or("write it as service=number, such as chat=2")?;
    let service = service.parse()?;
    if count == "usual" {
        return Ok((service, None));
    }
    let count = count.parse().ok().filter(|count| *count > 0);
    let count = count.ok_or("the number must be 1 or more, such as chat=2, or `usual`")?;
    Ok((service, Some(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_name_a_service_and_a_number() {
        assert_eq!(instances("chat=2"), Ok((Service::Chat, Some(2))));
        assert_eq!(instances("chat=usual"), Ok((Service::Chat, None)));
        for bad in ["chat", "chat=", "chat=0", "chat=-1", "chat=70000", "cat=2", "=2"] {
            assert!(instances(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_key_is_a_warning_that_names_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, " secret-key \n").unwrap();
        let reference = |route: &str, reference| KeyReference {
            route: route.into(),
            reference,
        };
        let references = [
            reference("there", Reference::File(file)),
            reference("gone", Reference::File(folder.path().join("gone"))),
            reference("unset", Reference::Env("GAIA_TEST_NOT_SET".into())),
        ];
        let mut warnings = Vec::new();
        let keys = keys(&references, &mut warnings);
        assert_eq!(keys.get("there").map(Secret::expose), Some("secret-key"));
        assert_eq!(keys.len(), 1);
        assert!(
            warnings[0].contains("`gone`") && warnings[0].contains("cannot be read"),
            "{warnings:?}"
        );
        assert!(warnings[1].contains("GAIA_TEST_NOT_SET"), "{warnings:?}");
    }
}
