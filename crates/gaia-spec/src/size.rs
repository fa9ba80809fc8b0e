//! What the sizes stand for: the table of the design.

use std::collections::BTreeMap;

use gaia_names::{Service, Store};

use crate::game::{Replicas, Resources, Size, Sizing};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Size {
    /// How many of each service a cluster of this size has, and what one may use.
    #[must_use]
    pub fn services(self) -> BTreeMap<Service, Sizing> {
        let all = match self {
            Size::Small => [
                (Service::Gateway, just(2, 256 * MIB, 250)),
                (Service::Auth, just(2, 256 * MIB, 250)),
                (Service::Chat, just(2, GIB, 500)),
            ],
            Size::Medium => [
                (Service::Gateway, just(5, 512 * MIB, 500)),
                (Service::Auth, just(3, 512 * MIB, 500)),
                (Service::Chat, just(10, 2 * GIB, 1000)),
            ],
            Size::Large => [
                (Service::Gateway, or_more(just(10, GIB, 1000))),
                (Service::Auth, or_more(just(5, GIB, 1000))),
                (Service::Chat, or_more(just(20, 4 * GIB, 2000))),
            ],
        };
        all.into()
    }

    /// How many of each store a cluster of this size has, and what one may use.
    #[must_use]
    pub fn stores(self) -> BTreeMap<Store, Sizing> {
        let all = match self {
            Size::Small => [
                (Store::Postgres, just(1, GIB, 500)),
                (Store::Redis, just(1, 256 * MIB, 250)),
                (Store::Nats, just(1, 256 * MIB, 250)),
            ],
            Size::Medium => [
                (Store::Postgres, just(1, 4 * GIB, 2000)),
                (Store::Redis, clustered(just(3, GIB, 500))),
                (Store::Nats, clustered(just(3, 512 * MIB, 500))),
            ],
            Size::Large => [
                (Store::Postgres, just(1, 16 * GIB, 4000)),
                (Store::Redis, or_more(clustered(just(5, 4 * GIB, 1000)))),
                (Store::Nats, clustered(just(3, GIB, 1000))),
            ],
        };
        all.into()
    }
}

const fn just(count: u32, memory_bytes: u64, cpu_millicores: u32) -> Sizing {
    Sizing {
        replicas: Replicas {
            count,
            or_more: false,
            is_clustered: false,
        },
        resources: Resources {
            memory_bytes,
            cpu_millicores,
        },
    }
}

const fn or_more(mut sizing: Sizing) -> Sizing {
    sizing.replicas.or_more = true;
    sizing
}

const fn clustered(mut sizing: Sizing) -> Sizing {
    sizing.replicas.is_clustered = true;
    sizing
}
