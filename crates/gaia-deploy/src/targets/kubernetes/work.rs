//! The steps of an apply on Kubernetes, each of which may be done again after it was killed at any point.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::Utc;
use gaia_kubernetes::Kind;
use gaia_names::{GameId, Store};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    inventory::Inventory,
    keeping,
    objects::{self, CLUSTER, Object, step_of},
    observing::{Found, claims, why_not},
    off_hours,
    sight::kind_of,
};
use crate::{
    Action, Blueprint, DeployError, Step,
    apply::Made,
    error::with_cause,
    plan::ids::{
        FORGOTTEN_SECRETS, FORMER_SECRETS, LEFTOVERS, NEW_SECRETS, RECORD, SECRETS, bundle_digest, bundle_step,
    },
    record::{Life, Record},
    secrets::Secrets,
};

/// How long a part may take until it is well: an image may have to be fetched, a disk to be made.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long it may take until a namespace is gone with all that it holds.
pub(super) const ENDING: Duration = Duration::from_secs(180);
/// What scales by the clock or the load.
const SCALERS: [Kind; 3] = [Kind::CRON_JOB, Kind::AUTOSCALER, Kind::SCALED_OBJECT];
/// How often NATS is asked to read its accounts again, where somebody waits for that.
const RELOAD: Duration = Duration::from_secs(2);
/// How long pods are waited for that drain. What is on a node that is lost ends never.
const DRAINING: Duration = Duration::from_secs(45);
/// When a pod's node was asked to look at its files again, as an annotation.
const READ_AGAIN: &str = "gaia.dev/read-again";
/// How often it is looked at meanwhile.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// What the steps of one apply work with.
pub(crate) struct Work<'a> {
    inventory: Inventory,
    blueprint: &'a Blueprint,
    pub(crate) record: Record,
    secrets: Option<Secrets>,
    /// Whether there is a namespace to keep the record in.
    pub(crate) has_namespace: bool,
    /// Those of the kinds that not every server has, that this one has.
    known: BTreeSet<Kind>,
}

impl<'a> Work<'a> {
    pub(crate) async fn new(
        inventory: Inventory,
        blueprint: &'a Blueprint,
        mut record: Record,
    ) -> Result<Self, DeployError> {
        let name = inventory.namespace();
        let namespace = inventory.kubernetes.get(Kind::NAMESPACE, "", &name).await?;
        let is_ending = |namespace: &Value| namespace["metadata"]["deletionTimestamp"].is_string();
        record.ports = objects::ports(blueprint, &record.ports);
        Ok(Self {
            secrets: inventory.secrets().await?,
            has_namespace: namespace.is_some_and(|namespace| !is_ending(&namespace)),
            known: inventory.kubernetes.knows(&objects::EXTRAS).await?,
            inventory,
            blueprint,
            record,
        })
    }

    /// Writes the record down, if there is where.
    pub(crate) async fn keep(&self) -> Result<(), DeployError> {
        match self.has_namespace {
            true => self.inventory.write_record(&self.record).await,
            false => Ok(()),
        }
    }

    /// Does what a step says.
    pub(crate) async fn carry_out(&mut self, step: &Step) -> Result<Made, DeployError> {
        match step.id.0.as_str() {
            LEFTOVERS if self.record.life == Life::Keeping => {
                stop_all(&self.inventory).await?;
                keeping::remove_all_but_data(&self.inventory).await?;
                self.record.begin_anew();
                self.record.ports = objects::ports(self.blueprint, &self.record.ports);
                Ok(None)
            }
            LEFTOVERS => {
                end(&self.inventory).await?;
                self.record.begin_anew();
                self.record.ports = objects::ports(self.blueprint, &self.record.ports);
                (self.secrets, self.has_namespace) = (None, false);
                Ok(None)
            }
            SECRETS => self.make_secrets().await,
            NEW_SECRETS | FORMER_SECRETS | FORGOTTEN_SECRETS => {
                if step.id.0 == FORMER_SECRETS {
                    self.until_drained().await?;
                }
                let secrets = self.secrets.as_mut().ok_or(DeployError::OtherBlueprint)?;
                let made = secrets.carry_on(step)?;
                self.inventory.write_secrets(secrets).await?;
                Ok(made)
            }
            RECORD => Ok(None),
            _ => self.object(step).await,
        }
    }

    async fn object(&mut self, step: &Step) -> Result<Made, DeployError> {
        if let Some(game) = self.blueprint.games.keys().find(|game| bundle_step(game) == step.id) {
            return self.publish(game).await;
        }
        let (kind, name) = kind_of(&step.id.0).ok_or(DeployError::OtherBlueprint)?;
        if step.action == Action::Remove {
            self.inventory
                .kubernetes
                .delete(kind, &self.inventory.namespace(), name)
                .await?;
            return Ok(None);
        }
        let wanted = self.wanted()?.into_iter().find(|object| object.step() == step.id);
        let wanted = wanted.ok_or(DeployError::OtherBlueprint)?;
        if kind == Kind::JOB {
            self.remove_jobs(&wanted, step.action).await?;
        }
        if kind == Kind::STATEFUL_SET {
            self.make_room(&wanted).await?;
        }
        let applied = self.inventory.kubernetes.apply(&wanted.value, false).await?;
        for warning in &applied.warnings {
            tracing::warn!("{}: {warning}", step.id);
        }
        if kind == Kind::NAMESPACE {
            self.has_namespace = true;
        }
        if step.action == Action::Create && kind == Kind::DEPLOYMENT {
            self.begin_with(&wanted, &applied.object).await?;
        }
        self.until_well(&wanted).await?;
        let uid = applied.object["metadata"]["uid"].as_str().unwrap_or_default();
        Ok(Some((uid.to_owned(), self.claims(&wanted).await?)))
    }

    /// The volumes that belong to a store from now on.
    async fn claims(&self, wanted: &Object) -> Result<String, DeployError> {
        if wanted.kind != Kind::STATEFUL_SET {
            return Ok(String::new());
        }
        let (namespace, selector) = (
            self.inventory.namespace(),
            format!("{CLUSTER}={}", self.blueprint.cluster),
        );
        let kubernetes = &self.inventory.kubernetes;
        let all = kubernetes.list(Kind::VOLUME_CLAIM, &namespace, &selector).await?;
        Ok(claims(&all, &wanted.name))
    }

    fn wanted(&self) -> Result<Vec<Object>, DeployError> {
        let stand_in;
        let secrets = match &self.secrets {
            Some(secrets) => secrets,
            // The namespace comes before the secrets and holds none of them.
            None => {
                let mut made = Secrets::make()?;
                made.complete(self.blueprint)?;
                stand_in = made;
                &stand_in
            }
        };
        let input = objects::Input {
            blueprint: self.blueprint,
            secrets,
            ports: &self.record.ports,
            known: &self.known,
        };
        objects::all(&input).ok_or(DeployError::OtherBlueprint)
    }

    async fn make_secrets(&mut self) -> Result<Made, DeployError> {
        let namespace = self.inventory.namespace();
        let mut secrets = match self.secrets.take() {
            Some(secrets) => secrets,
            None => {
                let selector = format!("{CLUSTER}={}", self.blueprint.cluster);
                let claims = self
                    .inventory
                    .kubernetes
                    .list(Kind::VOLUME_CLAIM, &namespace, &selector)
                    .await?;
                // Others would lock us out of what those before have made.
                if !claims.is_empty() {
                    return Err(DeployError::Input(format!(
                        "the secret `{}` is missing in the namespace {namespace} and its data cannot be opened without \
                         it; put it back, or run `gaia destroy {}`",
                        super::inventory::SECRETS,
                        self.blueprint.cluster
                    )));
                }
                Secrets::make()?
            }
        };
        secrets.complete(self.blueprint)?;
        self.inventory.write_secrets(&secrets).await?;
        self.secrets = Some(secrets);
        Ok(Some((
            format!("{namespace}/{}", super::inventory::SECRETS),
            String::new(),
        )))
    }

    /// Where something scales a deployment, the size says how many it begins with.
    async fn begin_with(&self, wanted: &Object, applied: &Value) -> Result<(), DeployError> {
        if wanted.value["spec"]["replicas"].is_number() || applied["spec"]["replicas"] != 1 {
            return Ok(());
        }
        let parts = crate::containers::parts::all(self.blueprint);
        let part = parts.iter().find(|part| part.role.name() == wanted.name);
        let replicas = part.map_or(1, |part| part.replicas);
        let change = json!({ "spec": { "replicas": replicas } });
        let namespace = self.inventory.namespace();
        let asked = self
            .inventory
            .kubernetes
            .patch(wanted.kind, &namespace, &wanted.name, "scale", &change);
        Ok(asked.await?)
    }

    /// Waits until a workload does what it is for.
    async fn until_well(&self, wanted: &Object) -> Result<(), DeployError> {
        let (began, mut told) = (Instant::now(), None);
        let namespace = self.inventory.namespace();
        loop {
            let is_time = |told: &Option<Instant>| told.is_none_or(|told| told.elapsed() >= RELOAD);
            if wanted.kind == Kind::JOB && is_time(&told) {
                // It waits until NATS knows whom it is to know.
                if let Err(fault) = self.reload_nats(told.is_none()).await {
                    tracing::debug!(error = %with_cause(&fault), "NATS cannot be signalled now");
                }
                told = Some(Instant::now());
            }
            let found = self
                .inventory
                .kubernetes
                .get(wanted.kind, &namespace, &wanted.name)
                .await?;
            let found = found.unwrap_or_default();
            let why = match progress(wanted.kind, &found) {
                Progress::Done => return Ok(()),
                Progress::Failed(why) => (true, why),
                Progress::Going(why) => (false, why),
            };
            let (hopeless, why) = match self.pods_say(wanted).await? {
                Some((hopeless, said)) => (hopeless || why.0, format!("{}; {said}", why.1)),
                None => why,
            };
            if hopeless || began.elapsed() > PATIENCE {
                return Err(DeployError::Silent {
                    what: wanted.step().0,
                    seconds: began.elapsed().as_secs(),
                    why,
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until those pods have ended that were told to: they use what they began with.
    async fn until_drained(&self) -> Result<(), DeployError> {
        let (namespace, began) = (self.inventory.namespace(), Instant::now());
        let selector = format!("{CLUSTER}={}", self.blueprint.cluster);
        while began.elapsed() < DRAINING {
            let pods = self.inventory.kubernetes.list(Kind::POD, &namespace, &selector).await?;
            let is_ending = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_string();
            if !pods.iter().any(is_ending) {
                break;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Has the servers of NATS read their accounts again. Whoever waits for that sees whether they have.
    async fn reload_nats(&self, is_first: bool) -> Result<(), DeployError> {
        let namespace = self.inventory.namespace();
        let selector = format!(
            "{CLUSTER}={},app.kubernetes.io/name={}",
            self.blueprint.cluster,
            Store::Nats
        );
        let kubernetes = &self.inventory.kubernetes;
        for pod in kubernetes.list(Kind::POD, &namespace, &selector).await? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            if is_first {
                // Otherwise its node may take a minute to bring it what a secret holds now.
                let change = json!({ "metadata": { "annotations": { READ_AGAIN: Utc::now().to_rfc3339() } } });
                kubernetes.patch(Kind::POD, &namespace, name, "", &change).await?;
            }
            let command = ["nats-server", "--signal", "reload=1"];
            kubernetes.exec(&namespace, name, &command, "", RELOAD * 5).await?;
        }
        Ok(())
    }

    /// What is wrong with the pods of a workload, and whether waiting is of no use.
    async fn pods_say(&self, wanted: &Object) -> Result<Option<(bool, String)>, DeployError> {
        let labels = &wanted.value["spec"]["template"]["metadata"]["labels"];
        let part = labels["app.kubernetes.io/name"].as_str().unwrap_or_default();
        let selector = format!("{CLUSTER}={},app.kubernetes.io/name={part}", self.blueprint.cluster);
        let namespace = self.inventory.namespace();
        let image = &wanted.value["spec"]["template"]["spec"]["containers"][0]["image"];
        for pod in self.inventory.kubernetes.list(Kind::POD, &namespace, &selector).await? {
            // One of an image that nobody wants any more goes by itself.
            if pod["spec"]["containers"][0]["image"] != *image {
                continue;
            }
            let why = why_not(&pod);
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let is_image = ["ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff"]
                .iter()
                .any(|reason| why.starts_with(reason));
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
            let is_looping = why.starts_with("CrashLoopBackOff") && restarts.is_some_and(|count| count > 2);
            if is_looping {
                let said = self.inventory.kubernetes.logs(&namespace, name, 5, true).await;
                let said = said.unwrap_or_default().trim().replace('\n', " | ");
                return Ok(Some((
                    true,
                    format!("the pod {name} ends again and again; it said last: {said}"),
                )));
            }
            if is_image {
                let help = "build the image or correct `infrastructure.images`";
                return Ok(Some((true, format!("the pod {name}: {why}; {help}"))));
            }
            if pod["status"]["containerStatuses"][0]["ready"] != true {
                return Ok(Some((false, format!("the pod {name}: {why}"))));
            }
        }
        Ok(None)
    }

    /// Removes the jobs that one comes in place of; itself too, if it is to run again.
    async fn remove_jobs(&self, wanted: &Object, action: Action) -> Result<(), DeployError> {
        let (namespace, kind) = (self.inventory.namespace(), wanted.kind);
        let selector = format!("{CLUSTER}={}", self.blueprint.cluster);
        for job in self.inventory.kubernetes.list(kind, &namespace, &selector).await? {
            let name = job["metadata"]["name"].as_str().unwrap_or_default();
            if step_of(kind, name) == wanted.step() && (name != wanted.name || action == Action::Restart) {
                self.inventory.kubernetes.delete(kind, &namespace, name).await?;
                self.until_gone(kind, name).await?;
            }
        }
        Ok(())
    }

    /// Whether a stateful set keeps something cannot be changed; where that differs, another one is made.
    async fn make_room(&self, wanted: &Object) -> Result<(), DeployError> {
        let (namespace, kind) = (self.inventory.namespace(), wanted.kind);
        let keeps = |object: &Value| {
            let claims = object["spec"]["volumeClaimTemplates"].as_array();
            claims.is_some_and(|claims| !claims.is_empty())
        };
        let found = self.inventory.kubernetes.get(kind, &namespace, &wanted.name).await?;
        if found.is_some_and(|found| keeps(&found) != keeps(&wanted.value)) {
            self.inventory.kubernetes.delete(kind, &namespace, &wanted.name).await?;
            self.until_gone(kind, &wanted.name).await?;
        }
        Ok(())
    }

    async fn until_gone(&self, kind: Kind, name: &str) -> Result<(), DeployError> {
        let (began, namespace) = (Instant::now(), self.inventory.namespace());
        while self.inventory.kubernetes.get(kind, &namespace, name).await?.is_some() {
            if began.elapsed() > ENDING {
                return Err(still_there(format!("{} `{name}`", kind.name), began));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn publish(&self, game: &GameId) -> Result<Made, DeployError> {
        let own = self.blueprint.games.get(game).ok_or(DeployError::OtherBlueprint)?;
        let secrets = self.secrets.as_ref().ok_or(DeployError::OtherBlueprint)?;
        let tokens = secrets.admin_tokens(game);
        let found = Found::look(&self.inventory).await?;
        let made = (objects::GAME_CONFIG.to_owned(), bundle_digest(self.blueprint, game));
        if off_hours::is_closed(self.blueprint, &found.objects) {
            tracing::info!("`{game}` is closed; it opens with this bundle");
            return Ok(Some(made));
        }
        let gateway = found.gateway(&self.inventory.kubernetes, &self.inventory.namespace());
        let gateway = gateway.ok_or_else(|| DeployError::Publish {
            game: game.to_string(),
            why: "no gateway is ready".to_owned(),
        })?;
        gateway.publish(&own.bundle, &tokens).await?;
        Ok(Some(made))
    }
}

/// How a workload is on its way.
enum Progress {
    Done,
    Going(String),
    Failed(String),
}

fn progress(kind: Kind, found: &Value) -> Progress {
    let (spec, status) = (&found["spec"], &found["status"]);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let is_seen = number(&status["observedGeneration"]) >= number(&found["metadata"]["generation"]);
    let condition = |name: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .find(|one| one["type"] == name)
            .cloned()
            .unwrap_or_default()
    };
    let ready = number(&status["readyReplicas"]);
    let going = format!("{ready} of {wanted} are ready");
    match kind {
        Kind::DEPLOYMENT => {
            let rolled = [
                &status["updatedReplicas"],
                &status["availableReplicas"],
                &status["replicas"],
            ]
            .iter()
            .all(|count| number(count) == wanted);
            let late = condition("Progressing");
            match (is_seen && rolled, late["reason"].as_str()) {
                (true, _) => Progress::Done,
                (_, Some("ProgressDeadlineExceeded")) if is_seen => Progress::Failed(going),
                _ => refused(&condition("ReplicaFailure")).unwrap_or(Progress::Going(going)),
            }
        }
        Kind::STATEFUL_SET => {
            let is_new = status["currentRevision"] == status["updateRevision"];
            match is_seen && is_new && ready == wanted {
                true => Progress::Done,
                false => Progress::Going(going),
            }
        }
        Kind::JOB => match (number(&status["succeeded"]), condition("Failed")["status"].as_str()) {
            (1.., _) => Progress::Done,
            (_, Some("True")) => Progress::Failed("it has failed".to_owned()),
            _ => Progress::Going("it runs still".to_owned()),
        },
        _ => Progress::Done,
    }
}

/// Whether the controller may not make pods, as with a quota that is too small.
fn refused(condition: &Value) -> Option<Progress> {
    let message = condition["message"]
        .as_str()
        .filter(|_| condition["status"] == "True")?;
    Some(Progress::Going(message.chars().take(300).collect()))
}

/// Restarts a part by its pods: one by one, where there are several.
pub(crate) async fn restart(inventory: &Inventory, pod: &str) -> Result<(), DeployError> {
    let (namespace, began) = (inventory.namespace(), Instant::now());
    let before = inventory
        .kubernetes
        .get(Kind::POD, &namespace, pod)
        .await?
        .unwrap_or_default();
    let part = before["metadata"]["labels"]["app.kubernetes.io/name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    inventory.kubernetes.delete(Kind::POD, &namespace, pod).await?;
    let selector = format!("{CLUSTER}={},app.kubernetes.io/name={part}", inventory.cluster);
    loop {
        let pods = inventory.kubernetes.list(Kind::POD, &namespace, &selector).await?;
        let is_same = |one: &Value| one["metadata"]["uid"] == before["metadata"]["uid"];
        let ready = |one: &Value| one["status"]["containerStatuses"][0]["ready"] == true;
        if !pods.is_empty() && !pods.iter().any(is_same) && pods.iter().all(ready) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let why = pods.first().map(why_not).unwrap_or_default();
            return Err(DeployError::Silent {
                what: part,
                seconds: began.elapsed().as_secs(),
                why,
            });
        }
        sleep(LOOK).await;
    }
}

/// Ends a cluster's namespace with all that it holds, and waits until it is gone.
pub(crate) async fn end(inventory: &Inventory) -> Result<(), DeployError> {
    let name = inventory.namespace();
    let began = Instant::now();
    inventory.kubernetes.delete(Kind::NAMESPACE, "", &name).await?;
    loop {
        let Some(found) = inventory.kubernetes.get(Kind::NAMESPACE, "", &name).await? else {
            return Ok(());
        };
        if began.elapsed() > ENDING {
            let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
            let why = conditions
                .filter(|condition| condition["status"] == "True")
                .filter_map(|condition| condition["message"].as_str())
                .collect::<Vec<_>>()
                .join("; ");
            return Err(still_there(format!("the namespace {name} ({why})"), began));
        }
        sleep(LOOK).await;
    }
}

/// Stops all pods of a cluster and keeps what its volumes hold: services first, then stores.
pub(crate) async fn stop_all(inventory: &Inventory) -> Result<(), DeployError> {
    let namespace = inventory.namespace();
    let selector = format!("{CLUSTER}={}", inventory.cluster);
    let known = inventory.kubernetes.knows(&SCALERS).await?;
    let running = [Kind::DEPLOYMENT, Kind::JOB, Kind::STATEFUL_SET];
    // Whatever would start again what is stopped goes first.
    for kind in known.into_iter().chain(running) {
        for object in inventory.kubernetes.list(kind, &namespace, &selector).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            inventory.kubernetes.delete(kind, &namespace, name).await?;
        }
        let began = Instant::now();
        while !inventory.kubernetes.list(kind, &namespace, &selector).await?.is_empty() {
            if began.elapsed() > ENDING {
                return Err(still_there(kind.plural.to_owned(), began));
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

pub(super) fn still_there(what: String, began: Instant) -> DeployError {
    DeployError::Silent {
        what,
        seconds: began.elapsed().as_secs(),
        why: "it was to go and is still there".to_owned(),
    }
}
