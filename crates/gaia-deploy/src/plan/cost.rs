//! What a cluster costs a month by a price book, and what each step changes of it. Pure.

use std::{collections::BTreeMap, fmt};

use chrono::NaiveDate;
use gaia_names::Target;
use gaia_protocol::money::MILLION;
use gaia_spec::{PriceBook, UnitPrices};
use serde::{Deserialize, Serialize};

use super::{
    Plan, StepId,
    ids::{part_step, service_step, store_step},
};
use crate::{
    Blueprint, Observed,
    blueprint::instance_name,
    containers::parts::{self, Part, Role},
    targets::compose::render::node,
};

/// The hours of a month, as those who ask for money count them: a twelfth of a year.
const HOURS: u128 = 730;

/// What a cluster costs a month, in millionths of a currency: what its parts ask for, by a price book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// What the amounts are in: `USD`.
    pub currency: String,
    /// What it costs as it is; 0 if nothing was ever applied in full.
    pub before: u64,
    /// What it will cost.
    pub after: u64,
    /// The least and the most, where the load says how many of a service run. `after` is what it begins with.
    pub by_load: Option<(u64, u64)>,
}

impl Plan {
    /// The same plan with what it costs, if the book has prices for the target. Pure.
    #[must_use]
    pub fn priced(mut self, observed: &Observed, blueprint: &Blueprint, book: &PriceBook, day: NaiveDate) -> Self {
        let Some(prices) = units(book, blueprint, day) else {
            return self;
        };
        let after = by_step(blueprint, &prices, Running::AsSized);
        let running = match observed.is_meant_to_run() {
            true => Running::AsSized,
            false => Running::Nothing,
        };
        let applied = observed.applied();
        let known = applied.and_then(|applied| Some((applied, units(book, applied, day)?)));
        let before = known.map_or_else(BTreeMap::new, |(applied, prices)| by_step(applied, &prices, running));
        for step in &mut self.steps {
            let of = |all: &BTreeMap<StepId, u64>| all.get(&step.id).copied().unwrap_or(0);
            let change = signed(of(&after)).saturating_sub(signed(of(&before)));
            step.cost_change = (change != 0).then_some(change);
        }
        let by_load = blueprint.scaler().map(|scaler| {
            let total = |count: u32| by_step(blueprint, &prices, Running::EachService(count)).values().sum();
            (total(scaler.min_replicas.max(1)), total(scaler.max_replicas.max(1)))
        });
        self.cost = Some(Cost {
            currency: book.currency.clone(),
            before: before.values().sum(),
            after: after.values().sum(),
            by_load,
        });
        self
    }
}

/// How many of the services are counted.
#[derive(Clone, Copy)]
enum Running {
    /// As many as the blueprint says.
    AsSized,
    /// This many of each.
    EachService(u32),
    /// The cluster is stopped: its volumes stay.
    Nothing,
}

fn units(book: &PriceBook, blueprint: &Blueprint, day: NaiveDate) -> Option<UnitPrices> {
    let home = blueprint.needs.regions.first().map_or("", String::as_str);
    book.on(blueprint.target, home, day)
}

/// What each part costs a month, by the step that makes it.
fn by_step(blueprint: &Blueprint, units: &UnitPrices, running: Running) -> BTreeMap<StepId, u64> {
    let mut all = BTreeMap::new();
    for part in parts::all(blueprint) {
        let count = match (running, part.role) {
            // It ends when it has done what it is for; and a machine's inference belongs to all its clusters.
            (_, Role::Setup) => continue,
            (_, Role::Inference) if blueprint.target == Target::Local => continue,
            (Running::Nothing, _) => 0,
            (Running::EachService(count), Role::Service(_)) => count,
            _ => part.replicas,
        };
        let volume = part.data.as_ref().map_or(0, |data| {
            (u128::from(data.bytes) * u128::from(units.volume_gib_month)) >> 30
        });
        for number in 1..=part.replicas {
            add(&mut all, step_of(blueprint.target, &part, number), volume);
        }
        for number in 1..=count {
            add(
                &mut all,
                step_of(blueprint.target, &part, number),
                running_cost(&part, units),
            );
        }
    }
    all
}

/// What one of a part costs a month while it runs.
fn running_cost(part: &Part, units: &UnitPrices) -> u128 {
    let cores = u128::from(part.resources.cpu_millicores) * u128::from(units.vcpu_hour) * HOURS / 1_000;
    let memory = (u128::from(part.resources.memory_bytes) * u128::from(units.memory_gib_hour) * HOURS) >> 30;
    cores + memory
}

fn add(all: &mut BTreeMap<StepId, u64>, step: StepId, micros: u128) {
    let sum = all.entry(step).or_insert(0);
    *sum = sum.saturating_add(u64::try_from(micros).unwrap_or(u64::MAX));
}

/// The step that makes one of a part, counted from 1.
fn step_of(target: Target, part: &Part, number: u32) -> StepId {
    match (target, part.role) {
        (Target::Kubernetes, Role::Store(store)) => StepId(format!("statefulset:{store}")),
        (Target::Kubernetes, role) => StepId(format!("deployment:{}", role.name())),
        (_, Role::Store(store)) if part.replicas > 1 => store_step(&node(store, number)),
        (_, Role::Store(store)) => store_step(store.as_str()),
        (_, Role::Setup | Role::Inference) => part_step(part.role.name()),
        (_, Role::Service(service)) => service_step(&instance_name(service, u16::try_from(number).unwrap_or(u16::MAX))),
    }
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

impl Cost {
    /// A change for people: `+$12.30`, `-$4.00`.
    pub(super) fn change(&self, micros: i64) -> String {
        let sign = if micros < 0 { '-' } else { '+' };
        format!("{sign}{}", amount(&self.currency, micros.unsigned_abs()))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} a month", amount(&self.currency, self.after))?;
        if let Some((least, most)) = self.by_load {
            let of = |micros| amount(&self.currency, micros);
            write!(f, ", by load from {} to {}", of(least), of(most))?;
        }
        match signed(self.after).saturating_sub(signed(self.before)) {
            0 => Ok(()),
            change => write!(f, " ({})", self.change(change)),
        }
    }
}

/// An amount for people, to the cent: `$12.30`, `12.30 EUR`.
fn amount(currency: &str, micros: u64) -> String {
    let cents = micros.saturating_add(MILLION / 200) / (MILLION / 100);
    let number = format!("{}.{:02}", cents / 100, cents % 100);
    match currency {
        "USD" => format!("${number}"),
        other => format!("{number} {other}"),
    }
}
