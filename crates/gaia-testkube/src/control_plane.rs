//! etcd, the API server, the controllers and the scheduler.

mod parts;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::JoinHandle, time::timeout};

use crate::{
    Api, PodMetrics, eventually,
    paper_nodes::PaperNodes,
    pki::Pki,
    programs::{background, free_port, program},
    storage,
    ward::Ward,
};

/// Nothing that a test asks kubectl takes long.
const KUBECTL: Duration = Duration::from_secs(60);

/// Everything of a Kubernetes cluster but its nodes, with the rules of production: RBAC, admission, quotas, service
/// accounts. There is a default `StorageClass`, whose volumes are folders that follow their pods as network disks do.
///
/// Some times are shortened: a node that is silent for 8 s is lost, and its pods move after 3 more; autoscalers look
/// every second and scale down after 3.
pub struct ControlPlane {
    api: Api,
    server: String,
    kubeconfig: PathBuf,
    namespaces: AtomicUsize,
    paper: OnceCell<PaperNodes>,
    metrics: OnceCell<PodMetrics>,
    volumes: JoinHandle<()>,
    pub(crate) pki: Pki,
    pub(crate) ward: Ward,
}

/// Where a control plane is to be found.
pub(crate) struct Place {
    pub(crate) ward: Ward,
    /// Where the API server listens. The others listen on loopback.
    pub(crate) address: Ipv4Addr,
    /// The range of the services' addresses. Its first address is the API server's.
    pub(crate) services: String,
    pub(crate) first_service: Ipv4Addr,
}

impl ControlPlane {
    /// One that the tests of this process share. Each makes namespaces of its own there.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// One for a test alone.
    ///
    /// # Panics
    ///
    /// Where a part does not start.
    pub async fn start() -> Self {
        Self::start_at(Place {
            ward: Ward::new(),
            address: Ipv4Addr::LOCALHOST,
            services: "10.96.0.0/16".into(),
            first_service: Ipv4Addr::new(10, 96, 0, 1),
        })
        .await
    }

    pub(crate) async fn start_at(place: Place) -> Self {
        let Place { ward, address, .. } = &place;
        let server = format!("https://{address}:{}", free_port());
        let pki = Pki::new(ward.folder().join("pki"));
        let kubeconfig = ward.folder().join("admin.kubeconfig");
        let admin = pki.issue("test-admin", Some("system:masters"), &[]);
        pki.kubeconfig(&kubeconfig, &server, &admin);
        parts::start(&place, &server, &pki);
        let api = Api::new(&server, &pki.authority(), &admin);
        eventually("the API server is ready", async || {
            ward.must_run();
            api.get("/readyz").await.ok()
        })
        .await;
        storage::class(&api).await;
        let volumes = background().spawn(storage::serve(api.clone(), ward.folder().join("volumes")));
        let control_plane = Self {
            server,
            kubeconfig,
            namespaces: AtomicUsize::default(),
            paper: OnceCell::new(),
            metrics: OnceCell::new(),
            volumes,
            pki,
            ward: place.ward,
            api,
        };
        control_plane.has_accounts("default").await;
        control_plane
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Its API as an administrator, who may do everything.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A kubeconfig file of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig file of a user who may do what RBAC lets that user and group do: at first next to nothing.
    #[must_use]
    pub fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> PathBuf {
        let path = self
            .ward
            .folder()
            .join(format!("{}.kubeconfig", user.replace(':', "-")));
        self.pki
            .kubeconfig(&path, &self.server, &self.pki.issue(user, group, &[]));
        path
    }

    /// The API as such a user.
    #[must_use]
    pub fn api_of(&self, user: &str, group: Option<&str>) -> Api {
        Api::new(&self.server, &self.pki.authority(), &self.pki.issue(user, group, &[]))
    }

    /// A new namespace whose name begins as wished, ready for pods.
    ///
    /// # Panics
    ///
    /// Where it cannot be made.
    pub async fn namespace(&self, wish: &str) -> String {
        let name = format!("{wish}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.api
            .create("/api/v1/namespaces", &namespace)
            .await
            .expect("a namespace");
        self.has_accounts(&name).await;
        name
    }

    /// Runs kubectl as an administrator: what it wrote, or else what it complained of.
    ///
    /// # Errors
    ///
    /// Where kubectl ends with an error, or not within a minute.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.kubectl_command();
        let output = command.args(arguments).kill_on_drop(true).output();
        let output = timeout(KUBECTL, output).await;
        let output = output.map_err(|_| format!("kubectl took over {KUBECTL:?}"))?;
        let output = output.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// kubectl as an administrator, for what goes on beside a test.
    #[must_use]
    pub fn kubectl_command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(program("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command.arg("--cache-dir").arg(self.ward.folder().join("kubectl"));
        command
    }

    /// Adds nodes that exist on paper only, until there are so many: pods are bound to them, and said to run and to be
    /// ready at once, but nothing runs. A pod that is not to be restarted is said to have succeeded.
    ///
    /// # Panics
    ///
    /// Where the API refuses them.
    pub async fn paper_nodes(&self, count: usize) {
        let start = async || PaperNodes::start(self.api.clone());
        self.paper.get_or_init(start).await.grow_to(&self.api, count).await;
    }

    /// What pods are said to use, for autoscalers.
    ///
    /// # Panics
    ///
    /// Where the API server does not take it as the source of metrics.
    pub async fn pod_metrics(&self) -> &PodMetrics {
        self.metrics
            .get_or_init(async || PodMetrics::start(&self.api, &self.pki).await)
            .await
    }

    /// Pods need the service account that the controllers make.
    async fn has_accounts(&self, namespace: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        eventually("there is a service account", async || {
            self.ward.must_run();
            self.api.get(&path).await.ok()
        })
        .await;
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.volumes.abort();
    }
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}
