//! Which images a cluster runs.

use gaia_names::Store;
use gaia_spec::Images;

/// Gaia itself, as `scripts/images` calls it.
fn gaia() -> String {
    format!("gaia:{}", env!("CARGO_PKG_VERSION"))
}

/// The image of Gaia itself: the config's, or the usual one.
pub(crate) fn of_gaia(images: &Images) -> String {
    images.gaia.clone().unwrap_or_else(gaia)
}

/// The image of a store: the config's, or the official one that this version was written for.
pub(crate) fn of_store(images: &Images, store: Store) -> String {
    let usual = match store {
        Store::Postgres => "docker.io/library/postgres:17-bookworm",
        Store::Redis => "docker.io/valkey/valkey:8-bookworm",
        Store::Nats => "docker.io/library/nats:2-alpine",
    };
    images.stores.get(&store).cloned().unwrap_or_else(|| usual.to_owned())
}
