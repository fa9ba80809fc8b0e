//! The steps of an apply, each of which may be done again after it was killed at any point.

use std::{collections::BTreeSet, time::Duration};

use gaia_names::{GameId, Service, Store};
use rustix::process::Signal;

use super::{
    destroying, files, nats,
    place::Place,
    ports, postgres,
    record::{Life, Record},
    redis, running,
    secrets::Secrets,
    services,
    supervisor::{control, control::Question},
};
use crate::{
    Action, Blueprint, ClusterFolder, DeployError, Home, Program, Step,
    admin_api::Gateway,
    apply::Made,
    blueprint::digest_bytes,
    plan::ids::{
        FOLDERS, FORGOTTEN_SECRETS, FORMER_SECRETS, LEFTOVERS, NATS_ACCOUNTS, NEW_SECRETS, PORTS, POSTGRES_DATA,
        POSTGRES_MIGRATIONS, POSTGRES_ROLES, RECORD, REDIS_USERS, SECRETS, SUPERVISOR, bundle_digest, bundle_step,
        folders_digest, service_step, store_step,
    },
    stores::{self, addresses::Addresses, migrations},
};

/// How long NATS may take until it has read its accounts again.
const RELOAD: Duration = Duration::from_secs(10);

/// What the steps of one apply work with.
pub(crate) struct Work<'a> {
    home: &'a Home,
    folder: &'a ClusterFolder,
    place: Place,
    blueprint: &'a Blueprint,
    pub(crate) record: Record,
    secrets: Option<Secrets>,
    program: &'a Program,
    first_gateway_port: u16,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        home: &'a Home,
        folder: &'a ClusterFolder,
        blueprint: &'a Blueprint,
        record: Record,
        program: &'a Program,
        first_gateway_port: u16,
    ) -> Result<Self, DeployError> {
        let secrets = files::read_json(&folder.secrets(), "a cluster's secrets")?;
        let place = Place::at(folder.path());
        Ok(Self {
            home,
            folder,
            place,
            blueprint,
            record,
            secrets,
            program,
            first_gateway_port,
        })
    }

    /// Does what a step says.
    pub(crate) async fn carry_out(&mut self, step: &Step) -> Result<Made, DeployError> {
        match step.id.0.as_str() {
            LEFTOVERS => self.leftovers().await,
            FOLDERS => self.folders(),
            SECRETS => self.make_secrets(),
            NEW_SECRETS | FORMER_SECRETS | FORGOTTEN_SECRETS => {
                let secrets = self.secrets.as_mut().ok_or(DeployError::OtherBlueprint)?;
                let made = secrets.carry_on(step)?;
                files::write_json(&self.folder.secrets(), secrets, 0o600)?;
                Ok(made)
            }
            PORTS => self.choose_ports(),
            POSTGRES_DATA => {
                postgres::init(&self.place, self.secrets()?).await?;
                Ok(Some((self.place.postgres_data().display().to_string(), String::new())))
            }
            SUPERVISOR => {
                let id = running::start_supervisor(self.folder, self.program).await?;
                Ok(Some((id, String::new())))
            }
            POSTGRES_ROLES => {
                let secrets = self.secrets()?;
                let (digest, superuser) = (
                    stores::postgres::roles_digest(secrets),
                    self.addresses().superuser(secrets),
                );
                stores::postgres::apply_roles(&superuser, secrets, secrets.are_ending()).await?;
                Ok(Some((stores::postgres::DATABASE.to_owned(), digest)))
            }
            POSTGRES_MIGRATIONS => {
                migrations::migrate(&self.addresses().owner(self.secrets()?)).await?;
                Ok(Some((stores::postgres::DATABASE.to_owned(), migrations::digest())))
            }
            REDIS_USERS => {
                let secrets = self.secrets()?;
                let (digest, owner) = (
                    stores::redis::users_digest(secrets),
                    self.addresses().redis_owner(secrets),
                );
                stores::redis::apply_users(&owner, secrets, secrets.are_ending()).await?;
                Ok(Some((
                    self.place.redis().join("users.acl").display().to_string(),
                    digest,
                )))
            }
            NATS_ACCOUNTS => self.nats_accounts().await,
            // Nothing was missing but the note itself, which is written at the end.
            RECORD => Ok(None),
            _ => self.part(step).await,
        }
    }

    /// The steps of which there are several.
    async fn part(&mut self, step: &Step) -> Result<Made, DeployError> {
        if let Some(store) = Store::ALL.iter().find(|store| store_step(store.as_str()) == step.id) {
            return self.store(*store).await;
        }
        if let Some(game) = self.blueprint.games.keys().find(|game| bundle_step(game) == step.id) {
            return self.publish(game).await;
        }
        let wanted = self
            .blueprint
            .instances()
            .find(|(_, _, instance)| service_step(instance) == step.id);
        if let Some((service, _, instance)) = wanted {
            return self.instance(service, &instance).await;
        }
        let gone = self
            .record
            .instances
            .keys()
            .find(|instance| service_step(instance) == step.id)
            .cloned();
        match gone {
            Some(instance) if step.action == Action::Remove => self.remove_instance(&instance).await,
            _ => Err(DeployError::OtherBlueprint),
        }
    }

    async fn leftovers(&mut self) -> Result<Made, DeployError> {
        destroying::stop_all(self.folder).await?;
        if self.record.life == Life::Keeping {
            destroying::remove_all_but_data(self.folder)?;
            self.record.begin_anew();
            return Ok(None);
        }
        destroying::remove_all_but_record(self.folder)?;
        self.record.begin_anew();
        self.secrets = None;
        Ok(None)
    }

    fn folders(&self) -> Result<Made, DeployError> {
        self.place.prepare()?;
        for name in ["services", "bundles", "run"] {
            files::make_folder(&self.folder.path().join(name), 0o700, None)?;
        }
        Ok(Some((self.folder.path().display().to_string(), folders_digest())))
    }

    fn make_secrets(&mut self) -> Result<Made, DeployError> {
        let mut secrets = match self.secrets.take() {
            Some(secrets) => secrets,
            // Others would lock us out of what those before have made.
            None if self.place.postgres_data().exists() => {
                return Err(DeployError::Input(format!(
                    "{} is missing and the data in {} cannot be opened without it; put it back, or run `gaia destroy {}`",
                    self.folder.secrets().display(),
                    self.place.postgres().display(),
                    self.blueprint.cluster
                )));
            }
            None => Secrets::make()?,
        };
        secrets.complete(self.blueprint)?;
        files::write_json(&self.folder.secrets(), &secrets, 0o600)?;
        self.secrets = Some(secrets);
        Ok(Some((self.folder.secrets().display().to_string(), String::new())))
    }

    fn choose_ports(&mut self) -> Result<Made, DeployError> {
        // What is taken is looked at now, not when the plan was made; but only what nobody of ours listens on.
        let ours = super::supervisor::desired(self.folder)?
            .into_iter()
            .filter(|spec| spec.find().is_some());
        let running: BTreeSet<String> = ours.map(|spec| spec.name).collect();
        let gateway_runs = running.iter().any(|name| name.starts_with(Service::Gateway.as_str()));
        let ports = &self.record.ports;
        let nats = ports.nats.filter(|_| !running.contains(Store::Nats.as_str()));
        let ops = ports
            .ops
            .iter()
            .filter(|(name, _)| !running.contains(*name))
            .map(|(_, port)| *port);
        let gateways = ports.gateway.values().filter(|_| !gateway_runs).copied();
        let lost = nats
            .into_iter()
            .chain(ops)
            .chain(gateways)
            .filter(|port| !ports::is_free(*port))
            .collect();
        ports::choose(
            self.home,
            self.folder,
            &mut self.record,
            self.blueprint,
            &lost,
            self.first_gateway_port,
        )?;
        let all: Vec<String> = self.record.ports.all().map(|port| port.to_string()).collect();
        Ok(Some((format!("127.0.0.1:{}", all.join(",")), String::new())))
    }

    async fn store(&mut self, store: Store) -> Result<Made, DeployError> {
        let secrets = self.secrets()?;
        let spec = match store {
            Store::Postgres => {
                postgres::write_files(&self.place)?;
                postgres::spec(&self.place)?
            }
            Store::Redis => {
                redis::write_files(&self.place, secrets)?;
                redis::spec(&self.place)?
            }
            Store::Nats => {
                let port = self.nats_port()?;
                nats::write_files(&self.place, secrets, port)?;
                nats::spec(&self.place, port)?
            }
        };
        let digest = spec.revision.clone();
        let id = running::ensure(self.folder, spec, (&self.record.ports, secrets)).await?;
        Ok(Some((id, digest)))
    }

    async fn nats_accounts(&mut self) -> Result<Made, DeployError> {
        let secrets = self.secrets()?;
        nats::write_accounts(&self.place, secrets)?;
        let report = control::ask(self.folder, "tell about NATS", &Question::Status)
            .await?
            .report;
        let process = report.and_then(|mut report| report.processes.remove(Store::Nats.as_str()));
        if let Some(id) = process.and_then(|process| process.id) {
            id.signal(Signal::HUP)?;
        }
        stores::nats::wait_for_accounts(&self.addresses().nats, &stores::nats::reader(secrets), RELOAD).await?;
        let file = self.place.nats().join("accounts.conf").display().to_string();
        Ok(Some((file, stores::nats::accounts_digest(secrets))))
    }

    async fn instance(&mut self, service: Service, instance: &str) -> Result<Made, DeployError> {
        let secrets = self.secrets()?;
        let settings = services::settings(self.folder, self.blueprint, &self.record, secrets, (service, instance));
        let settings = settings.ok_or(DeployError::OtherBlueprint)?;
        if service == Service::Chat {
            for game in self.blueprint.games.keys() {
                self.write_bundle(game)?;
            }
        }
        files::make_folder(&self.folder.run().join(instance), 0o700, None)?;
        files::write(&self.folder.settings(instance), settings.as_bytes(), 0o600, None)?;
        let spec = services::spec(self.folder, self.program, service, instance, &settings);
        let id = running::ensure(self.folder, spec, (&self.record.ports, secrets)).await?;
        Ok(Some((id, digest_bytes(settings.as_bytes()))))
    }

    async fn remove_instance(&mut self, instance: &str) -> Result<Made, DeployError> {
        running::remove(self.folder, instance).await?;
        files::remove_file(&self.folder.settings(instance))?;
        files::remove_folder(&self.folder.run().join(instance))?;
        self.record.instances.remove(instance);
        self.record.ports.ops.remove(instance);
        Ok(None)
    }

    async fn publish(&mut self, game: &GameId) -> Result<Made, DeployError> {
        self.write_bundle(game)?;
        let own = self.blueprint.games.get(game).ok_or(DeployError::OtherBlueprint)?;
        let tokens = self.secrets()?.admin_tokens(game);
        let mut gateways = self
            .blueprint
            .instances()
            .filter(|(service, _, _)| *service == Service::Gateway);
        let port = gateways.find_map(|(_, _, instance)| self.record.ports.ops.get(&instance).copied());
        let gateway = Gateway::Port(port.ok_or(DeployError::OtherBlueprint)?);
        gateway.publish(&own.bundle, &tokens).await?;
        Ok(Some((
            self.folder.bundle(game).display().to_string(),
            bundle_digest(self.blueprint, game),
        )))
    }

    fn write_bundle(&self, game: &GameId) -> Result<(), DeployError> {
        let own = self.blueprint.games.get(game).ok_or(DeployError::OtherBlueprint)?;
        files::write_json(&self.folder.bundle(game), &own.bundle, 0o600)
    }

    fn addresses(&self) -> Addresses {
        self.place.addresses(self.record.ports.nats.unwrap_or_default())
    }

    fn secrets(&self) -> Result<&Secrets, DeployError> {
        self.secrets.as_ref().ok_or(DeployError::OtherBlueprint)
    }

    fn nats_port(&self) -> Result<u16, DeployError> {
        self.record.ports.nats.ok_or(DeployError::OtherBlueprint)
    }
}
