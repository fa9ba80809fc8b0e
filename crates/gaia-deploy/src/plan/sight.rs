//! Each resource, as found and as wanted, and the step that lies between.

use gaia_names::{GameId, Service, Store};

use super::{
    Action, Drift, Step, StepId,
    ids::{
        FOLDERS, FORGOTTEN_SECRETS, FORMER_SECRETS, LEFTOVERS, NEW_SECRETS, PORTS, POSTGRES_DATA, RECORD, SECRETS,
        SUPERVISOR, bundle_digest, bundle_step, folders_digest, service_step, store_step,
    },
};
use crate::{
    Blueprint, Observed, ObservedProcess,
    record::{Life, Record},
    secrets::Secrets,
    targets::local::{nats, place::Place, ports, postgres, redis, services},
};

/// What is there beside what should be.
pub(crate) struct Sight<'a> {
    pub(crate) observed: &'a Observed,
    pub(crate) blueprint: &'a Blueprint,
    /// The record, unless what it speaks of goes away.
    pub(crate) record: Option<&'a Record>,
    /// The secrets as they are to be, where there are any yet. What is missing of them, or is to be others, is made when the
    /// plan is carried out; what stands for it here differs from what is there just as well.
    pub(crate) secrets: Option<Secrets>,
    /// Whether they are others than before.
    pub(crate) rotates: bool,
}

pub(crate) const INTERRUPTED: &str = "an earlier command ended in the middle of it";
const NONE_YET: &str = "there is none yet";

/// What does not work while a store does not.
pub(crate) fn store_down(store: Store) -> &'static str {
    match store {
        Store::Postgres => "players get a 503",
        Store::Redis => "rate limits and recent messages are forgotten",
        Store::Nats => "requests wait or fail",
    }
}

impl Sight<'_> {
    /// Whether a destroy ended in the middle.
    pub(crate) fn is_leftover(&self) -> bool {
        let record = self.observed.record.as_ref();
        record.is_some_and(Record::is_ending)
    }

    /// What a destroy has left that ended in the middle.
    pub(crate) fn leftovers(&self) -> Step {
        let record = self.observed.record.as_ref();
        let why = match record.map(|record| record.life) {
            Some(Life::Keeping) => "a destroy that keeps the data ended in the middle: it is ended first",
            _ => "a destroy ended in the middle: what is left of it goes first",
        };
        step(LEFTOVERS, Action::Remove, why, Some("nothing works"))
    }

    pub(crate) fn is_interrupted(&self, id: &str) -> bool {
        self.record
            .and_then(|record| record.intent.as_ref())
            .is_some_and(|intent| intent.step.0 == id)
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.record
            .is_some_and(|record| record.resources.contains_key(&StepId(id.to_owned())))
    }

    /// A step whose resource says by its digest whether it is as it should be.
    pub(crate) fn made(&self, id: &str, wanted: &str, differs: &str) -> Option<Step> {
        if self.is_interrupted(id) {
            return Some(step(id, Action::Change, INTERRUPTED, None));
        }
        let found = self
            .record
            .and_then(|record| record.resources.get(&StepId(id.to_owned())));
        match found {
            None => Some(step(id, Action::Create, NONE_YET, None)),
            Some(found) if found.digest != wanted => Some(step(id, Action::Change, differs, None)),
            Some(_) => None,
        }
    }

    /// As [`Sight::made`], for what is made in Postgres.
    pub(crate) fn made_in_postgres(&self, id: &str, wanted: &str, differs: &str) -> Option<Step> {
        let again = || {
            let why = "it was made in a database that is gone";
            step(id, Action::Change, why, None).drifted(Drift::Data)
        };
        match self.lost_data(Store::Postgres).filter(|_| self.has(id)) {
            Some(_) => Some(again()),
            None => self.made(id, wanted, differs),
        }
    }

    /// Whether what was applied is what is asked for, in full and to run: what differs then has come to differ.
    pub(crate) fn was_applied(&self) -> bool {
        let is_whole = |record: &Record| !record.is_unfinished() && record.digest == self.blueprint.digest;
        // Keys are no part of the digest. What cannot be read of them is somebody's doing.
        let told = self.observed.credentials();
        let is_told = told.is_none_or(|told| self.blueprint.credentials.are_told(&told, self.blueprint.target));
        let is_meant = self.observed.is_meant_to_run() && !self.replaces_secrets();
        is_meant && self.record.is_some_and(is_whole) && is_told
    }

    /// The steps, those alone with a drift where that is what they are about.
    pub(crate) fn with_true_drift(&self, mut steps: Vec<Step>) -> Vec<Step> {
        let was_applied = self.was_applied();
        for step in &mut steps {
            step.drift = step.drift.filter(|drift| match drift {
                // What somebody asks for now may explain the rest.
                Drift::Config | Drift::Scale | Drift::Image => was_applied,
                Drift::Missing => self.observed.is_meant_to_run(),
                Drift::Orphan | Drift::Data => true,
            });
        }
        steps
    }

    /// Why what a store keeps is lost, if it is.
    pub(crate) fn lost_data(&self, store: Store) -> Option<&str> {
        let lost = self.observed.lost_data.get(&store).filter(|_| self.record.is_some())?;
        Some(lost)
    }

    /// What is left to be written down where nothing else is to be done.
    pub(crate) fn note(&self) -> Option<Step> {
        let is_noted = |record: &Record| !record.is_unfinished() && record.digest == self.blueprint.digest;
        let why = match self.record {
            Some(record) if is_noted(record) => return None,
            Some(record) if !record.is_unfinished() => "what is asked for is another thing, but nothing differs by it",
            _ => "an earlier command ended before it noted that all was done",
        };
        Some(step(RECORD, Action::Change, why, None))
    }

    pub(crate) fn folders(&self) -> Option<Step> {
        self.made(
            FOLDERS,
            &folders_digest(),
            "this version of Gaia lays them out differently",
        )
    }

    pub(crate) fn secrets(&self) -> Option<Step> {
        if self.rotates {
            let why = "others were asked for; the former ones hold until nothing uses them";
            return Some(step(NEW_SECRETS, Action::Change, why, None));
        }
        let kept = self.observed.secrets.as_ref().filter(|_| self.record.is_some());
        let missing = |secrets: &Secrets| {
            self.blueprint
                .games
                .keys()
                .find(|game| !secrets.games.contains_key(*game))
                .cloned()
        };
        match kept {
            None => Some(step(SECRETS, Action::Create, "there are none yet", None)),
            Some(secrets) => match missing(secrets) {
                Some(game) => Some(step(SECRETS, Action::Change, &format!("`{game}` has none yet"), None)),
                None if secrets.games.len() != self.blueprint.games.len() => {
                    Some(step(SECRETS, Action::Change, "a game that is gone has some", None))
                }
                None if !secrets.has_nodes(self.blueprint) => Some(step(
                    SECRETS,
                    Action::Change,
                    "the nodes of its stores have none yet",
                    None,
                )),
                None => self
                    .is_interrupted(SECRETS)
                    .then(|| step(SECRETS, Action::Change, INTERRUPTED, None)),
            },
        }
    }

    /// Whether secrets are being replaced.
    pub(crate) fn replaces_secrets(&self) -> bool {
        self.secrets.as_ref().is_some_and(|secrets| secrets.former.is_some())
    }

    /// What becomes of secrets that were replaced, once all else is done.
    pub(crate) fn former_secrets(&self) -> Option<Step> {
        let former = self.secrets.as_ref()?.former.as_ref()?;
        let (id, why) = match former.are_ending {
            false => (
                FORMER_SECRETS,
                "no service uses them any more: the stores are to forget them",
            ),
            true => (FORGOTTEN_SECRETS, "the stores have forgotten them"),
        };
        Some(step(id, Action::Remove, why, None))
    }

    pub(crate) fn ports(&self) -> Option<Step> {
        let Some(record) = self.record else {
            return Some(step(PORTS, Action::Create, "none are chosen yet", None));
        };
        if let Some(port) = self.observed.lost_ports.first() {
            let why = format!("another program listens on port {port}, which was ours");
            return Some(step(PORTS, Action::Change, &why, None).drifted(Drift::Config));
        }
        let are_chosen = ports::are_chosen(&record.ports, self.blueprint);
        let action = if self.has(PORTS) {
            Action::Change
        } else {
            Action::Create
        };
        match () {
            () if !are_chosen => Some(step(PORTS, action, "some are not chosen yet", None)),
            () if self.is_interrupted(PORTS) => Some(step(PORTS, Action::Change, INTERRUPTED, None)),
            () => None,
        }
    }

    pub(crate) fn postgres_data(&self) -> Option<Step> {
        if let Some(lost) = self.lost_data(Store::Postgres) {
            return Some(step(POSTGRES_DATA, Action::Create, lost, None).drifted(Drift::Data));
        }
        let is_made = self.has(POSTGRES_DATA) && !self.is_interrupted(POSTGRES_DATA);
        (!is_made).then(|| step(POSTGRES_DATA, Action::Create, NONE_YET, None))
    }

    pub(crate) fn supervisor(&self) -> Option<Step> {
        if self.record.is_some() && self.observed.supervisor.is_some() {
            return None;
        }
        match self.has(SUPERVISOR) {
            false => Some(step(SUPERVISOR, Action::Create, NONE_YET, None)),
            true => {
                let restart = step(SUPERVISOR, Action::Restart, &self.why_not_running(None), None);
                Some(restart.drifted(Drift::Missing))
            }
        }
    }

    fn why_not_running(&self, process: Option<&ObservedProcess>) -> String {
        match process.and_then(|process| process.last_exit.as_ref()) {
            _ if !self.observed.is_meant_to_run() => "the cluster was stopped".to_owned(),
            Some(exit) => format!("it does not run; it ended with {exit}"),
            None => "it does not run".to_owned(),
        }
    }

    pub(crate) fn process(&self, name: &str) -> Option<&ObservedProcess> {
        self.observed.processes.get(name).filter(|_| self.record.is_some())
    }

    pub(crate) fn store(&self, store: Store) -> Option<Step> {
        let id = store_step(store.as_str());
        let down = store_down(store);
        if !self.has(&id.0) {
            return Some(step(&id.0, Action::Create, NONE_YET, None));
        }
        let found = self.process(store.as_str()).filter(|process| process.is_running());
        let Some(found) = found else {
            // What does not run is down already.
            let why = self.why_not_running(self.process(store.as_str()));
            return Some(step(&id.0, Action::Restart, &why, None).drifted(Drift::Missing));
        };
        let place = Place::paths(self.observed.folder.path());
        let port = self.record.and_then(|record| record.ports.nats).unwrap_or_default();
        let wanted = match store {
            Store::Postgres => postgres::revision(&place),
            Store::Redis => redis::revision(&place),
            Store::Nats => nats::revision(port),
        };
        match () {
            () if found.revision.is_empty() => Some(step(
                &id.0,
                Action::Restart,
                "it is not known what it was started with",
                Some(down),
            )),
            () if found.revision != wanted => Some(
                step(&id.0, Action::Restart, "its configuration is another one", Some(down)).drifted(Drift::Config),
            ),
            () if self.is_interrupted(&id.0) => Some(step(&id.0, Action::Change, INTERRUPTED, None)),
            () => None,
        }
    }

    pub(crate) fn removed(&self) -> impl Iterator<Item = Step> {
        let wanted: Vec<String> = self.blueprint.instances().map(|(_, _, instance)| instance).collect();
        let recorded = self.record.into_iter().flat_map(|record| record.instances.keys());
        let gone: Vec<Step> = recorded
            .filter(|instance| !wanted.contains(instance))
            .map(|instance| {
                step(
                    &service_step(instance).0,
                    Action::Remove,
                    "fewer instances are wanted",
                    None,
                )
            })
            .collect();
        gone.into_iter()
    }

    pub(crate) fn instance(&self, service: Service, instance: &str) -> Option<Step> {
        let id = service_step(instance);
        let is_alone = self.blueprint.replicas.get(&service).is_none_or(|count| *count == 1);
        let down = is_alone.then_some(match service {
            Service::Gateway => "players' connections close; they connect again",
            Service::Auth => "nobody can sign in",
            Service::Chat => "messages get no reply",
        });
        let restart = |why: &str| Some(step(&id.0, Action::Restart, why, down).drifted(Drift::Config));
        let found = self.observed.settings.get(instance).filter(|_| self.has(&id.0));
        let Some(found) = found else {
            return Some(step(&id.0, Action::Create, NONE_YET, None));
        };
        let Some(process) = self.process(instance).filter(|process| process.is_running()) else {
            let why = self.why_not_running(self.process(instance));
            return Some(step(&id.0, Action::Restart, &why, None).drifted(Drift::Missing));
        };
        let wanted = self.record.zip(self.secrets.as_ref()).and_then(|(record, secrets)| {
            services::settings(
                &self.observed.folder,
                self.blueprint,
                record,
                secrets,
                (service, instance),
            )
        });
        match wanted {
            None => restart("its ports or credentials change"),
            Some(wanted) if wanted != *found && self.replaces_secrets() => restart("it is to use other secrets"),
            Some(wanted) if wanted != *found => restart(&services::difference(service, found, &wanted)),
            Some(_) if self.has_lost_nats() => restart("the port of NATS changes"),
            Some(wanted) if services::revision(&wanted) != process.revision => {
                restart("it was started with other settings or by another version of Gaia")
            }
            Some(_) => self
                .is_interrupted(&id.0)
                .then(|| step(&id.0, Action::Change, INTERRUPTED, None)),
        }
    }

    fn has_lost_nats(&self) -> bool {
        let port = self.record.and_then(|record| record.ports.nats);
        port.is_some_and(|port| self.observed.lost_ports.contains(&port))
    }

    pub(crate) fn bundle(&self, game: &GameId) -> Option<Step> {
        let id = bundle_step(game);
        let generation = self.blueprint.games.get(game).map_or(0, |own| own.bundle.generation);
        let publish = format!("publish generation {generation}");
        let differs = self.made(
            &id.0,
            &bundle_digest(self.blueprint, game),
            &format!("{publish}: its content has changed"),
        );
        if differs.is_some() {
            return differs.map(|step| match step.action {
                Action::Create => Step { why: publish, ..step },
                _ => step,
            });
        }
        let used = self
            .observed
            .bundles_in_use
            .get(game)
            .and_then(|used| used.as_ref().ok())?;
        (used.generation < generation).then(|| {
            let why = format!("{publish}: the cluster uses generation {}", used.generation);
            step(&id.0, Action::Change, &why, None).drifted(Drift::Config)
        })
    }
}

impl Step {
    /// The same, because of a drift.
    pub(crate) fn drifted(mut self, drift: Drift) -> Self {
        self.drift = Some(drift);
        self
    }
}

/// A step.
pub(crate) fn step(id: &str, action: Action, why: &str, down: Option<&str>) -> Step {
    Step {
        id: StepId(id.to_owned()),
        action,
        why: why.to_owned(),
        down: down.map(str::to_owned),
        drift: None,
        cost_change: None,
    }
}
