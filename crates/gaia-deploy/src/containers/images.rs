//! Which images a cluster runs.

use std::{collections::BTreeMap, sync::LazyLock};

use gaia_names::Store;
use gaia_spec::Images;
use serde::Deserialize;

/// The images of others, by name and digest.
static OTHERS: LazyLock<BTreeMap<String, Image>> = LazyLock::new(|| {
    // The file is part of the program, and a test reads it.
    serde_json::from_str(include_str!("../../../../images/images.json")).unwrap_or_default()
});

#[derive(Debug, Deserialize)]
struct Image {
    name: String,
    tag: String,
    digest: String,
}

/// The image of Gaia itself: the config's, or the one that `docker build` makes of this version.
pub(crate) fn of_gaia(images: &Images) -> String {
    let usual = || format!("gaia:{}", env!("CARGO_PKG_VERSION"));
    images.gaia.clone().unwrap_or_else(usual)
}

/// The image of a store: the config's, or the official one.
pub(crate) fn of_store(images: &Images, store: Store) -> String {
    let usual = || {
        let image = OTHERS.get(store.as_str());
        image.map_or_else(
            || store.to_string(),
            |Image { name, tag, digest }| {
                let registry = if name.contains('/') {
                    "docker.io"
                } else {
                    "docker.io/library"
                };
                format!("{registry}/{name}:{tag}@{digest}")
            },
        )
    };
    images.stores.get(&store).cloned().unwrap_or_else(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_has_an_image_with_a_digest_and_may_have_another() {
        for store in Store::ALL {
            let usual = of_store(&Images::default(), *store);
            assert!(usual.starts_with("docker.io/") && usual.contains("@sha256:"), "{usual}");
        }
        let own = Images {
            stores: [(Store::Redis, "redis:7".to_owned())].into(),
            ..Images::default()
        };
        assert_eq!(of_store(&own, Store::Redis), "redis:7");
    }
}
