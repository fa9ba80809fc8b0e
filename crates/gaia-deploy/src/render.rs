//! A cluster as plain files, for whoever keeps what runs in version control.

use gaia_kubernetes::Kind;
use gaia_names::{Secret, Target};

use crate::{
    Blueprint, DeployError, Observed,
    secrets::Secrets,
    targets::{
        compose::{self, render::FOLDER},
        kubernetes::objects,
    },
};

/// One file.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Where it belongs, below a folder of the reader's choice.
    pub path: String,
    /// What stands in it.
    pub text: Secret,
    /// Whether it holds secrets.
    pub is_secret: bool,
}

/// The files of a cluster on Compose or Kubernetes. Secrets that are not made yet are made here, and others the next time.
///
/// # Errors
///
/// For a target without files.
pub fn render(observed: &Observed, blueprint: &Blueprint) -> Result<Vec<Rendered>, DeployError> {
    let mut secrets = match &observed.secrets {
        Some(secrets) => secrets.clone(),
        None => Secrets::make()?,
    };
    secrets.complete(blueprint)?;
    let before = observed
        .record
        .as_ref()
        .map(|record| record.ports.clone())
        .unwrap_or_default();
    let ports = objects::ports(blueprint, &before);
    match blueprint.target {
        Target::Local => Err(DeployError::Input(
            "the local target has no manifests; add `--target compose` or `--target kubernetes`".to_owned(),
        )),
        Target::Compose => {
            let project = compose::render::render(&compose::render::Input {
                blueprint,
                secrets: &secrets,
                ports: &ports,
                owner: &compose::observing::owner(&observed.folder),
                user: compose::work::user(),
                made_with: observed.record.as_ref().and_then(|record| record.made_with.as_ref()),
                cores: None,
            });
            let project = project.ok_or(DeployError::OtherBlueprint)?;
            let mut files = vec![plain(compose::render::FILE, project.text)];
            for (role, (_, contents)) in project.files {
                let named = contents
                    .into_iter()
                    .map(|(name, text)| (format!("{FOLDER}/{}/{name}", role.name()), text));
                files.extend(named.map(|(path, text)| secret(path, text)));
            }
            let bundles = project.bundles.into_iter();
            files.extend(bundles.map(|(name, text)| secret(format!("{FOLDER}/bundles/{name}"), text)));
            Ok(files)
        }
        Target::Kubernetes => {
            let input = objects::Input {
                blueprint,
                secrets: &secrets,
                ports: &ports,
                known: &observed.known,
            };
            let all = objects::all(&input).ok_or(DeployError::OtherBlueprint)?;
            let mut files = Vec::new();
            for (number, object) in all.iter().enumerate() {
                let kind = object.kind.name.to_ascii_lowercase();
                let path = format!("{number:02}-{kind}-{}.yaml", object.name);
                let text = compose::render::to_yaml(&object.value)?;
                files.push(match object.kind {
                    Kind::SECRET => secret(path, Secret::new(text)),
                    _ => plain(&path, text),
                });
            }
            Ok(files)
        }
    }
}

fn plain(path: &str, text: String) -> Rendered {
    Rendered {
        path: path.to_owned(),
        text: Secret::new(text),
        is_secret: false,
    }
}

fn secret(path: String, text: Secret) -> Rendered {
    Rendered {
        path,
        text,
        is_secret: true,
    }
}
