//! What plans cost, and how many instances are asked for.

use std::collections::BTreeMap;

use gaia_names::{Service, Target};
use gaia_spec::{Autoscaler, PriceBook, Size};
use insta::assert_snapshot;

use super::{after, first, input, nothing, plan};
use crate::{Blueprint, ClusterInput, Needs, Observed, Plan, record::Life};

/// Whole numbers for a month: a core 10, a GiB of memory 5, a GiB of a volume 1.
fn price_book(target: Target) -> PriceBook {
    let text = format!(
        "currency: EUR\nprices:\n  - {{target: {target}, vcpu_hour: 0.013699, memory_gib_hour: 0.00685, volume_gib_month: 1}}\n"
    );
    PriceBook::read("prices.yaml", &text).unwrap()
}

fn priced(observed: &Observed, input: ClusterInput, book: &PriceBook) -> Plan {
    let blueprint = Blueprint::draw_up(input, &observed.parent()).unwrap();
    let day = "2026-11-01".parse().unwrap();
    Plan::between(observed, &blueprint).priced(observed, &blueprint, book, day)
}

#[test]
fn a_plan_says_what_each_step_changes_of_a_months_costs() {
    let book = price_book(Target::Local);
    let chats = |count| ClusterInput {
        replicas: BTreeMap::from([(Service::Chat, count)]),
        ..input("dark")
    };
    assert_snapshot!(priced(&after(&first()), chats(2), &book), @r#"
    cluster `kos`, generation 1 -> 2
      change   ports           some are not chosen yet
      create   service:chat-2  there is none yet (+10.00 EUR a month)
    1 to create, 1 to change, 0 to restart, 0 to remove
    about 55.00 EUR a month (+10.00 EUR)
    "#);
    let mut stopped = after(&first());
    stopped.record.as_mut().unwrap().life = Life::Stopped;
    let plan = priced(&stopped, input("dark"), &book);
    let cost = plan.cost.unwrap();
    assert_eq!(cost.before, 10_000_000, "what is stopped costs what its volume does");
    assert_eq!(
        priced(&after(&first()), input("dark"), &book).cost.unwrap().before,
        cost.after
    );
    let free = priced(&nothing(), input("dark"), &PriceBook::shipped().unwrap());
    assert!(!free.to_string().contains("a month"), "{free}");
    assert_eq!(
        priced(&nothing(), input("dark"), &price_book(Target::Compose)).cost,
        None
    );
}

#[test]
fn a_cluster_that_follows_the_load_has_a_range_of_costs() {
    let scaled = |max_replicas| ClusterInput {
        target: Target::Kubernetes,
        needs: Needs {
            autoscaler: Some(Autoscaler {
                min_replicas: 1,
                max_replicas,
                target_cpu_percent: 70,
            }),
            ..Needs::of_size(Size::Small)
        },
        ..input("dark")
    };
    let observed = Observed {
        target: Target::Kubernetes,
        ..nothing()
    };
    let plan = priced(&observed, scaled(50), &PriceBook::shipped().unwrap());
    assert_snapshot!(
        plan.to_string().lines().last().unwrap(),
        @"about $136.04 a month, by load from $101.62 to $1788.09 (+$136.04)"
    );
    let cost = plan.cost.unwrap();
    let changes: i64 = plan.steps.iter().filter_map(|step| step.cost_change).sum();
    assert_eq!(
        u64::try_from(changes).unwrap(),
        cost.after,
        "every part has a step that says what it costs"
    );
    let twice = priced(&observed, scaled(1), &PriceBook::shipped().unwrap())
        .cost
        .unwrap();
    assert_eq!(twice.by_load.map(|(least, most)| least == most), Some(true));
}

#[test]
fn a_number_that_follows_the_load_is_not_asked_for_by_name() {
    let mut scaled = ClusterInput {
        target: Target::Kubernetes,
        ..input("dark")
    };
    scaled.needs.autoscaler = Some(Autoscaler {
        min_replicas: 2,
        max_replicas: 9,
        target_cpu_percent: 70,
    });
    let refused = scaled
        .scale(&BTreeMap::from([(Service::Chat, Some(3))]))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("from 2 to 9") && refused.contains("horizontalPodAutoscaler"),
        "{refused}"
    );
    scaled.scale(&BTreeMap::from([(Service::Chat, None)])).unwrap();
    scaled.target = Target::Compose;
    scaled.scale(&BTreeMap::from([(Service::Chat, Some(3))])).unwrap();
    scaled.scale(&BTreeMap::from([(Service::Auth, Some(2))])).unwrap();
    assert_eq!(
        scaled.replicas,
        BTreeMap::from([(Service::Auth, 2), (Service::Chat, 3)])
    );
}

#[test]
fn what_is_asked_for_by_name_is_written_down_also_where_nothing_differs() {
    let one = ClusterInput {
        replicas: BTreeMap::from([(Service::Chat, 1)]),
        ..input("dark")
    };
    assert_snapshot!(plan(&after(&first()), one), @r#"
    cluster `kos`, generation 1 -> 2
      change   record  what is asked for is another thing, but nothing differs by it
    0 to create, 1 to change, 0 to restart, 0 to remove
    "#);
}
